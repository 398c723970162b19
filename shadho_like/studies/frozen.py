"""A trial of ours as a trial of Optuna's: frozen, with its parameters, values, curve and attributes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from shadho_like.following import Seen
from shadho_like.studies.distributions import Parameters
from shadho_like.trial import Trial, TrialState

STATES: Mapping[TrialState, OptunaState] = {
    TrialState.PENDING: OptunaState.WAITING,
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.PAUSED: OptunaState.RUNNING,
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.STOPPED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.CANCELED: OptunaState.PRUNED,
}
"""Optuna knows no pause, and no end by the user's wish; a trial's own state is among its attributes."""


class Freezer:
    """Makes Optuna's trials of an experiment's.

    Args:
        config: what the experiment began with.

    Attributes:
        metrics: minimize or maximize, for each metric that is searched, by its name.
        directions: the same as Optuna has it, in the same order.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._parameters = Parameters(config["space"])
        self._metric: str = config["metric"]
        self.metrics = searched_metrics(config)
        self.directions = [StudyDirection[direction.upper()] for direction in self.metrics.values()]

    def freeze(self, seen: Seen, trial_id: int) -> FrozenTrial:
        """Return Optuna's form of a trial."""
        trial = seen.trial
        sample = self._parameters.sample(trial.hparams)
        values = self._values(trial)
        state = self._state(trial, values)
        began = trial.created_s if trial.started_s is None else trial.started_s
        return FrozenTrial(
            number=trial.number,
            state=state,
            value=None,
            values=None if state is OptunaState.FAIL else values,
            datetime_start=None if state is OptunaState.WAITING else _local(began),
            datetime_complete=_local(trial.finished_s or began) if state.is_finished() else None,
            params=sample.params,
            distributions=sample.distributions,
            user_attrs=self._attributes(trial, sample.others),
            system_attrs={},
            # Optuna's steps are whole numbers.
            intermediate_values={int(length): value for length, value in sorted((seen.curve or seen.results).items())},
            trial_id=trial_id,
        )

    def _values(self, trial: Trial) -> list[float] | None:
        """Return a trial's metrics, where it has all of them."""
        if trial.metric is None:
            return None
        values = {**trial.metrics, self._metric: trial.metric}
        numbers = [values.get(name) for name in self.metrics]
        known = [float(number) for number in numbers if isinstance(number, int | float)]
        return known if len(known) == len(numbers) else None

    @staticmethod
    def _state(trial: Trial, values: list[float] | None) -> OptunaState:
        state = STATES[trial.state]
        if state is OptunaState.COMPLETE and values is None:
            # A complete trial of Optuna's has a value; what a user's own search method was told may be no number.
            return OptunaState.PRUNED
        began = trial.started_s is not None
        return OptunaState.WAITING if state is OptunaState.RUNNING and not began else state

    def _attributes(self, trial: Trial, others: Mapping[str, Any]) -> dict[str, Any]:
        """Return what else is known of a trial; another metric or hyperparameter of one of our names gets a longer one."""
        ours: dict[str, Any] = {"state": trial.state.value, "length": trial.validated}
        if trial.started_s is not None:
            ours |= {"attempts": trial.attempt, "host": trial.host}
        if trial.failure is not None:
            ours |= {"failure": trial.failure.message, "failure_kind": trial.failure.kind.value}
        metrics = {f"metrics.{name}" if name in _OURS else name: value for name, value in trial.metrics.items()}
        hparams = {f"hyperparameters.{name}" if name in _OURS or name in metrics else name: value for name, value in others.items()}
        return {**hparams, **metrics, **ours}


_OURS = frozenset({"state", "length", "attempts", "host", "failure", "failure_kind"})


def _local(time_s: float) -> datetime:
    """Return a Unix time as Optuna keeps times: this machine's, without a zone."""
    return datetime.fromtimestamp(time_s)  # noqa: DTZ006


def searched_metrics(config: Mapping[str, Any]) -> Mapping[str, str]:
    """Return minimize or maximize for each metric that an experiment searches, by its name."""
    several: Mapping[str, str] | None = config["method"]["keys"].get("metrics")
    return several or {config["metric"]: "minimize" if config["smaller_is_better"] else "maximize"}
