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

MOST_SHOWN = 1500
"""How many trials of a study a browser draws within a second or two."""

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

    from shadho_like.studies.storage import ExperimentStorage
    from shadho_like.studies.thinning import ThinnedStorage

    storage = ExperimentStorage(directories)
    whole, drawn = wsgi(storage), wsgi(ThinnedStorage(storage, MOST_SHOWN))

    def charts(environ: Environ, start_response: StartResponse) -> Any:
        return (whole if _OF_ALL_TRIALS.fullmatch(environ.get("PATH_INFO", "")) else drawn)(environ, start_response)

    return Pages(storage, charts)
