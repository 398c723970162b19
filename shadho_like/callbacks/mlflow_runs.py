"""A search as a run of MLflow, and each trial as a run below it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from shadho_like.callbacks.base import Callback, Search, flat
from shadho_like.errors import OptionError
from shadho_like.trial import Trial, TrialState

_STATUS = {TrialState.FAILED: "FAILED", TrialState.CANCELED: "KILLED"}
_MOST_PARAMS = 100
_LONGEST_PARAM = 500
_MS = 1000


class MLflow(Callback):
    """Logs to a tracking server, or into a file or folder.

    Args:
        tracking_uri: where to, as MLflow takes it; by default what `MLFLOW_TRACKING_URI` says.
        experiment: MLflow's name for what runs belong to, by default the search's own.

    Raises:
        OptionError: MLflow is not installed.
    """

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError as error:
            message = "MLflow needs mlflow or mlflow-skinny: pip install 'shadho_like[mlflow]'"
            raise OptionError(message) from error
        self._client = MlflowClient(tracking_uri)
        self._metric, self._param = Metric, Param
        self._experiment = experiment
        self._runs: dict[int, str] = {}

    def begin(self, search: Search) -> None:
        """Begin the search's run, or go on with it."""
        self._search, self._runs = search, {}
        name = self._experiment or search.name
        found = self._client.get_experiment_by_name(name)
        self._of = found.experiment_id if found is not None else self._client.create_experiment(name)
        tags = {"shadho.search": search.id, "shadho.method": search.method, "mlflow.runName": search.name}
        self._parent = self._found("search") or self._begun({**tags, "shadho.trial": "search"})
        self._client.set_terminated(self._parent, "RUNNING") if search.resumed else None

    def measured(self, trial: Trial, kind: str, length: float, metrics: Mapping[str, float]) -> None:
        """Log numbers."""
        now_ms = int(time.time() * _MS)
        called = {name if kind == "result" else f"{kind}.{name}": value for name, value in metrics.items()}
        logged = [self._metric(_name(name), value, now_ms, round(length)) for name, value in called.items()]
        self._client.log_batch(self._run(trial), metrics=logged)

    def ended(self, trial: Trial) -> None:
        """End a trial's run, with how it ended."""
        run = self._run(trial)
        self._client.set_tag(run, "shadho.state", trial.state.value)
        if trial.failure is not None:
            self._client.set_tag(run, "shadho.failure", trial.failure.message)
        self._client.set_terminated(run, _STATUS.get(trial.state, "FINISHED"))
        del self._runs[trial.number]

    def end(self) -> None:
        """End the search's run."""
        self._client.set_terminated(self._parent)

    def _run(self, trial: Trial) -> str:
        """Return a trial's run; an earlier run of the driver may have begun it."""
        if trial.number not in self._runs:
            found = self._found(str(trial.number)) if self._search.resumed else None
            self._runs[trial.number] = found or self._begun_trial(trial)
        return self._runs[trial.number]

    def _begun_trial(self, trial: Trial) -> str:
        tags = {"shadho.search": self._search.id, "shadho.trial": str(trial.number), "mlflow.runName": f"trial {trial.number}"}
        run = self._begun({**tags, "mlflow.parentRunId": self._parent})
        params = [self._param(_name(name), str(value)[:_LONGEST_PARAM]) for name, value in islice(flat(trial).items(), _MOST_PARAMS)]
        self._client.log_batch(run, params=params)
        return run

    def _begun(self, tags: Mapping[str, str]) -> str:
        return str(self._client.create_run(self._of, tags=dict(tags)).info.run_id)

    def _found(self, trial: str) -> str | None:
        text = f"tags.`shadho.search` = '{self._search.id}' and tags.`shadho.trial` = '{trial}'"
        runs: list[Any] = self._client.search_runs([self._of], text, max_results=1)
        return str(runs[0].info.run_id) if runs else None


def _name(text: str) -> str:
    """Return a name in the alphabet that MLflow takes."""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "_" for sign in text)[:250].strip("/. ") or "_"
