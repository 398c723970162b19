"""Trials as runs of Weights & Biases, grouped by their search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from shadho_like.callbacks.base import Callback, Search, flat
from shadho_like.errors import OptionError
from shadho_like.trial import Trial, TrialState

_MOST_KEPT = 10_000


class WandB(Callback):
    """Logs each trial as a run when it ends, with all that it reported since this driver began: a run takes a second or two to begin.

    Without a network, set `WANDB_MODE=offline`, and send the runs later with `wandb sync`.

    Args:
        project: Weights & Biases' name for what runs belong to, by default the search's own.
        settings: anything else that `wandb.init` takes.

    Raises:
        OptionError: wandb is not installed.
    """

    def __init__(self, project: str | None = None, **settings: Any) -> None:
        try:
            import wandb
        except ImportError as error:
            message = "WandB needs wandb: pip install 'shadho_like[wandb]'"
            raise OptionError(message) from error
        self._wandb = wandb
        self._project = project
        # What wandb would gather by itself: the script and its repository's state, the console, the machine's load.
        quiet = wandb.Settings(console="off", disable_code=True, disable_git=True, save_code=False, silent=True, x_disable_stats=True)
        self._settings = {"settings": quiet, **settings}

    def begin(self, search: Search) -> None:
        """Take the search's name."""
        self._search = search
        self._rows: defaultdict[int, list[tuple[float, dict[str, float]]]] = defaultdict(list)

    def measured(self, trial: Trial, kind: str, length: float, metrics: Mapping[str, float]) -> None:
        """Keep numbers for the trial's run."""
        rows = self._rows[trial.number]
        rows.append((length, {name if kind == "result" else f"{kind}/{name}": value for name, value in metrics.items()}))
        if len(rows) > _MOST_KEPT:
            del rows[1::2]

    def ended(self, trial: Trial) -> None:
        """Log the trial."""
        search = self._search
        rows = self._rows.pop(trial.number, [])
        run = self._wandb.init(
            project=self._project or search.name,
            group=f"{search.name} {search.id}",
            name=f"trial {trial.number}",
            id=f"{search.id}-{trial.number}",
            job_type="trial",
            config=flat(trial),
            reinit="create_new",
            resume="allow",
            **self._settings,
        )
        run.define_metric("*", step_metric="length")
        for length, metrics in rows:
            run.log({"length": length, **metrics})
        run.summary["state"] = trial.state.value
        if trial.failure is not None:
            run.summary["failure"] = trial.failure.message
        run.finish(exit_code=int(trial.state is TrialState.FAILED))
