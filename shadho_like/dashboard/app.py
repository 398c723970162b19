"""All pages together: ours, and optuna-dashboard's over the same experiments."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from shadho_like.dashboard.pages import Pages
from shadho_like.dashboard.responses import Application, Environ, StartResponse
from shadho_like.errors import OptionError

MOST_SHOWN = 500
"""How many trials of a large study are drawn: as many as a browser's charts take within a second or two."""

MOST_CURVES = 50
"""Of how many of them the values on the way are drawn: each is a line with an entry in the legend, the dearest part of the page."""

_WAY_BACK = (
    b'<a href="/" style="position: fixed; right: 1.2rem; bottom: 1rem; z-index: 2000; padding: .45rem .9rem; border-radius: 1.2rem; '
    b'background: #1668dc; color: #fff; font: 14px system-ui, sans-serif; text-decoration: none">Workers, logs, pause</a>'
)

Headers = Sequence[tuple[str, str]]

_SMALL = 10_000
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
    whole, drawn = wsgi(storage), wsgi(DrawnStorage(storage, MOST_SHOWN, MOST_CURVES))

    def charts(environ: Environ, start_response: StartResponse) -> Any:
        path = environ.get("PATH_INFO", "")
        if path.startswith("/dashboard"):
            return _sent(drawn, environ, start_response, _with_way_back)
        if path.startswith("/api/"):
            return _sent(whole if _OF_ALL_TRIALS.fullmatch(path) else drawn, environ, start_response, _packed)
        return (whole if _OF_ALL_TRIALS.fullmatch(path) else drawn)(environ, start_response)

    threading.Thread(target=_prepare, args=(charts,), daemon=True).start()
    return Pages(storage, charts)


def _prepare(charts: Application) -> None:
    """Ask for what takes long the first time, the import of what computes importances among it, before a browser does."""
    for path in ("/api/studies/0", "/api/studies/0/param_importances"):
        environ: Environ = {"PATH_INFO": path}
        setup_testing_defaults(environ)
        b"".join(charts(environ, lambda *_: None))


def _sent(
    charts: Application, environ: Environ, start_response: StartResponse, change: Callable[[Environ, bytes], tuple[bytes, Headers]]
) -> list[bytes]:
    """Answer as optuna-dashboard does, with the body changed."""
    begun: list[Any] = []
    answer = charts(environ, lambda *head: begun.extend(head))
    try:
        body, more_headers = change(environ, b"".join(answer))
    finally:
        getattr(answer, "close", lambda: None)()
    status, headers, *more = begun
    rest = [(name, value) for name, value in headers if name.lower() != "content-length"]
    start_response(status, [*rest, ("Content-Length", str(len(body))), *more_headers], *more)
    return [body]


def _with_way_back(_: Environ, page: bytes) -> tuple[bytes, Headers]:
    """Return a page of optuna-dashboard's with a link to ours in it."""
    return page.replace(b"</body>", _WAY_BACK + b"</body>"), ()


def _packed(environ: Environ, body: bytes) -> tuple[bytes, Headers]:
    """Return an answer compressed where that pays: a study is a megabyte of JSON, and comes from a cluster through a tunnel."""
    if len(body) < _SMALL or "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):
        return body, ()
    return gzip.compress(body, compresslevel=1), (("Content-Encoding", "gzip"),)
