"""All pages together: ours, and optuna-dashboard's over the same experiments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shadho_like.dashboard.pages import Pages
from shadho_like.dashboard.responses import Application, Environ, StartResponse
from shadho_like.errors import OptionError

MOST_SHOWN = 500
"""How many trials of a large study are drawn: as many as a browser's charts take within a second or two."""

_WAY_BACK = (
    b'<a href="/" style="position: fixed; right: 1.2rem; bottom: 1rem; z-index: 2000; padding: .45rem .9rem; border-radius: 1.2rem; '
    b'background: #1668dc; color: #fff; font: 14px system-ui, sans-serif; text-decoration: none">Workers, logs, pause</a>'
)

_OF_ALL_TRIALS = re.compile(r"/csv/.*|/api/studies/\d+/param_importances")


def application(directories: Sequence[Path]) -> Application:
    """Return the pages of some experiments.

    Raises:
        JournalError: one is no experiment, or cannot be read.
        OptionError: optuna-dashboard is not installed.
    """
    if find_spec("optuna_dashboard") is None:
        message = "the charts are optuna-dashboard's: pip install 'shadho_like[dashboard]'"
        raise OptionError(message)
    from optuna_dashboard import wsgi

    from shadho_like.studies.drawing import DrawnStorage
    from shadho_like.studies.storage import ExperimentStorage

    storage = ExperimentStorage(directories)
    whole, drawn = wsgi(storage), wsgi(DrawnStorage(storage, MOST_SHOWN))

    def charts(environ: Environ, start_response: StartResponse) -> Any:
        path = environ.get("PATH_INFO", "")
        if path.startswith("/dashboard"):
            return _with_way_back(drawn, environ, start_response)
        return (whole if _OF_ALL_TRIALS.fullmatch(path) else drawn)(environ, start_response)

    return Pages(storage, charts)


def _with_way_back(charts: Application, environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer with a page of optuna-dashboard's that has a link to ours in it."""
    begun: list[Any] = []
    answer = charts(environ, lambda *head: begun.extend(head))
    try:
        body = b"".join(answer).replace(b"</body>", _WAY_BACK + b"</body>")
    finally:
        getattr(answer, "close", lambda: None)()
    status, headers, *more = begun
    rest = [(name, value) for name, value in headers if name.lower() != "content-length"]
    start_response(status, [*rest, ("Content-Length", str(len(body)))], *more)
    return [body]
