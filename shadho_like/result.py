"""What a search found: read from its journal, so that a million trials cost no memory until they are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from shadho_like.errors import OptionError
from shadho_like.journal import JournalReader
from shadho_like.pareto import pareto_front
from shadho_like.table import write_csv
from shadho_like.trial import Hyperparameters, Trial

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from matplotlib.figure import Figure


_MOST_ROWS = 20


class Result:
    """The trials of an experiment.

    Args:
        directory: the experiment's directory.
        running: how many trials ran when the search stopped.

    Attributes:
        directory: the experiment's directory.
        best_trial: the trial with the best metric, or None where none has one.
        counts: how many trials are in each state, by the state's name.
        lost: attempts that machines lost.
        running: how many trials ran when the search stopped.
    """

    def __init__(self, directory: Path, *, running: int = 0) -> None:
        self.directory = directory
        self.running = running
        with JournalReader(directory) as journal:
            self._config = journal.config
            self.counts: Mapping[str, int] = journal.counts()
            self.lost = journal.lost_attempts()
            self.best_trial: Trial | None = journal.best(smaller_is_better=self._config["smaller_is_better"])

    @property
    def metric(self) -> str:
        """The name of the searched metric."""
        name: str = self._config["metric"]
        return name

    @property
    def best_hyperparameters(self) -> Hyperparameters | None:
        """The best trial's hyperparameters, or None where no trial has a metric."""
        return self.best_trial.hparams if self.best_trial else None

    @property
    def best_value(self) -> float | None:
        """The best trial's metric, or None."""
        return self.best_trial.metric if self.best_trial else None

    @property
    def metrics(self) -> Mapping[str, str]:
        """Minimize or maximize for each metric that was searched, by its name."""
        direction = "minimize" if self._config["smaller_is_better"] else "maximize"
        several: Mapping[str, str] | None = self._config["method"]["keys"].get("metrics")
        return several or {self.metric: direction}

    @cached_property
    def best_trials(self) -> list[Trial]:
        """The trials that no other beats: the Pareto front where several metrics were searched, else the best one."""
        if len(self.metrics) == 1:
            return [self.best_trial] if self.best_trial else []
        return pareto_front(self.trials, self.metrics, self.metric)

    @cached_property
    def trials(self) -> list[Trial]:
        """All trials, in the order of their creation."""
        with JournalReader(self.directory) as journal:
            return list(journal.trials())

    def plot_history(self) -> Figure:
        """Return a figure of each trial's metric in the order in which they ended, and of the best so far.

        Raises:
            OptionError: matplotlib is not installed; as in all `plot_` methods.
        """
        from shadho_like.plots.history import history

        with JournalReader(self.directory) as journal:
            return history(journal, self._config)

    def plot_parallel(self, hyperparameters: Sequence[str] | None = None) -> Figure:
        """Return a figure with a line for each trial through its hyperparameters to its metric.

        Args:
            hyperparameters: their dotted paths, as in `to_csv`; by default all that differ between trials.
        """
        from shadho_like.plots.parallel import parallel

        with JournalReader(self.directory) as journal:
            return parallel(journal, self._config, hyperparameters)

    def plot_rungs(self) -> Figure:
        """Return a figure of the trials' metric by how long they were trained, and of how many were trained so long."""
        from shadho_like.plots.rungs import rungs

        with JournalReader(self.directory) as journal:
            return rungs(journal, self._config)

    def plot_utilization(self) -> Figure:
        """Return a figure of how many trials ran at once over time, on which host."""
        from shadho_like.plots.utilization import utilization

        with JournalReader(self.directory) as journal:
            return utilization(journal, self._config)

    def to_csv(self, path: str | Path) -> None:
        """Write one line a trial: number, state, metric, a column for each hyperparameter by its dotted path, and its story."""
        with JournalReader(self.directory) as journal, Path(path).open("w", encoding="utf-8", newline="") as file:
            write_csv(journal.trials, self.metric, file)

    def to_dataframe(self) -> pd.DataFrame:
        """Return what `to_csv` writes as a pandas DataFrame.

        Raises:
            OptionError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            message = "to_dataframe needs pandas: pip install pandas (or use to_csv)"
            raise OptionError(message) from error
        import io

        text = io.StringIO()
        with JournalReader(self.directory) as journal:
            write_csv(journal.trials, self.metric, text)
        text.seek(0)
        return pd.read_csv(text)

    def to_optuna(self) -> optuna.Study:
        """Return the trials as an Optuna study in memory, to analyse, to plot, or to go on from with a sampler of Optuna's.

        Raises:
            OptionError: Optuna is not installed.
        """
        from shadho_like.studies import to_optuna

        return to_optuna(self.directory)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: where it stands, and the best trials."""
        from shadho_like.html_table import shown, trials_table

        with JournalReader(self.directory) as journal:
            trials = journal.best_trials(_MOST_ROWS, smaller_is_better=self._config["smaller_is_better"])
        counts = ", ".join(f"{count} {state.lower()}" for state, count in sorted(self.counts.items())) or "no trials"
        best = f"best {shown(self.metric)} <b>{shown(self.best_value)}</b> · " if self.best_trial else ""
        some = f"<p>The best {len(trials)}:</p>" if len(trials) == _MOST_ROWS else ""
        return f"<p>{best}{counts}</p>{some}{trials_table(trials, self.metric)}"

    def __repr__(self) -> str:
        best = f"best {self.metric} {self.best_value!r} at {json.dumps(self.best_hyperparameters)}" if self.best_trial else "no result"
        return f"Result({best}; {self.counts})"
