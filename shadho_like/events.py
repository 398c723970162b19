"""What can happen to an experiment: frozen values with a JSON form. The journal is a list of them with what each one caused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from shadho_like.errors import JournalError
from shadho_like.reports import Report, report_from_json
from shadho_like.trial import AttemptId, Failure, Json, Outcome, Success, Trial


class Action(str, Enum):
    """What a user asks of an experiment, from any terminal."""

    PAUSE = "pause"
    """Let running trials take a checkpoint and stop; start nothing until it is activated."""
    ACTIVATE = "activate"
    """Go on after a pause."""
    CANCEL = "cancel"
    """Stop as for a pause, then end the experiment."""
    KILL = "kill"
    """End the experiment, or one trial, at once."""
    CONTINUE = "continue"
    """Go on after the end; becomes `Continued`."""
    SET = "set"
    """Go on with other limits; becomes `Changed`, or `Continued` where the search method has to be asked for more."""


class Ending(str, Enum):
    """How what still runs is brought to its end."""

    DRAIN = "drain"
    """It may finish."""
    ASK = "ask"
    """It is asked to take a checkpoint and end."""
    NOW = "now"
    """It is killed."""


class StopReason(str, Enum):
    """Why a run of the driver ends although the search could go on."""

    TIMEOUT = "timeout"
    """The whole search's time is over."""
    INTERRUPTED = "interrupted"
    """The user pressed Ctrl-C, or the driver got SIGTERM."""
    FAILURES = "failures"
    """Trial after trial failed for the same reason."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A driver took the experiment up, for the first time or again. Whatever ran under an earlier driver runs no more.

    Attributes:
        time_s: Unix time, in seconds, as in every event.
        run: this run's id.
        host: the driver's host.
        pid: the driver's process id.
        max_trials: how many trials there may be in total, those of earlier runs counted; None for no limit.
        max_restarts: how often a trial is tried again after its own code failed.
    """

    time_s: float
    run: str
    host: str
    pid: int
    max_trials: int | None = None
    max_restarts: int = 0

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["run_started", self.time_s, self.run, self.host, self.pid, self.max_trials, self.max_restarts]


@dataclass(frozen=True, slots=True)
class RunStopping:
    """The run is to end; the experiment may be taken up again.

    Attributes:
        reason: what ends it.
        ending: what becomes of the attempts that run; none is started any more.
    """

    time_s: float
    reason: StopReason
    ending: Ending = Ending.NOW

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["run_stopping", self.time_s, self.reason.value, self.ending.value]


@dataclass(frozen=True, slots=True)
class Requested:
    """The user asked for something.

    Attributes:
        action: what.
        trial: the number of the one trial that it is about (only KILL); None for the whole experiment.
    """

    time_s: float
    action: Action
    trial: int | None = None

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["requested", self.time_s, self.action.value, self.trial]


@dataclass(frozen=True, slots=True)
class Continued:
    """The experiment goes on after its end.

    Attributes:
        keys: the search method's keys that grow, with their new values.
        trials: those that may be taken up again, as they ended.
    """

    time_s: float
    keys: Mapping[str, int]
    trials: tuple[Trial, ...]

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["continued", self.time_s, dict(self.keys), [trial.to_json() for trial in self.trials]]


@dataclass(frozen=True, slots=True)
class Changed:
    """The user gave the run under way other limits; the next run has its own.

    Attributes:
        keys: `max_trials`, how many trials there may be in total; `max_slots`, how many GPUs those that run may have together.
    """

    time_s: float
    keys: Mapping[str, int]

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["changed", self.time_s, dict(self.keys)]


@dataclass(frozen=True, slots=True)
class PatienceEnded:
    """What was asked to take a checkpoint and end had its time: it is killed if it still runs."""

    time_s: float

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["patience_ended", self.time_s]


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """An attempt began to run on a host."""

    time_s: float
    attempt: AttemptId
    host: str

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["attempt_started", self.time_s, *self.attempt, self.host]


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """An attempt ended by itself, well or with a failure. It need not have been said to have started.

    Attributes:
        started_s: when it began to run, Unix time in seconds.
        host: where it ran.
        outcome: what it brought back, or why it failed.
    """

    time_s: float
    attempt: AttemptId
    started_s: float
    host: str
    outcome: Outcome

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        head = ["attempt_finished", self.time_s, *self.attempt, self.started_s, self.host]
        if isinstance(self.outcome, Failure):
            return [*head, "failure", self.outcome.to_json()]
        more = [] if self.outcome.reported is None else [self.outcome.reported]
        return [*head, self.outcome.metric, self.outcome.metrics, *more]


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """An attempt's machine went away, or could not be had: no fault of the user's code."""

    time_s: float
    attempt: AttemptId
    host: str
    reason: str

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["attempt_lost", self.time_s, *self.attempt, self.host, self.reason]


@dataclass(frozen=True, slots=True)
class AttemptReported:
    """An attempt that runs said how it goes, in one or several reports."""

    time_s: float
    attempt: AttemptId
    reports: tuple[Report, ...]

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["attempt_reported", self.time_s, *self.attempt, [report.to_json() for report in self.reports]]


EngineEvent = AttemptStarted | AttemptReported | AttemptFinished | AttemptLost
Event = RunStarted | RunStopping | Requested | Continued | Changed | PatienceEnded | EngineEvent


def event_from_json(value: list[Any]) -> Event:
    """Read what an event's `to_json` gave.

    Raises:
        JournalError: it is none that this version knows.
    """
    kind, *rest = value
    if kind not in _READERS:
        message = f"the journal holds an event {kind!r} that this version does not know; a newer version wrote it"
        raise JournalError(message)
    return _READERS[kind](*rest)


def _finished(
    time_s: float, trial: int, attempt: int, started_s: float, host: str, metric: Any, metrics: Any, reported: Json = None
) -> AttemptFinished:
    outcome = Failure.from_json(metrics) if metric == "failure" else Success(metric, metrics, reported)
    return AttemptFinished(time_s, AttemptId(trial, attempt), started_s, host, outcome)


def _reported(time_s: float, trial: int, attempt: int, reports: list[Any]) -> AttemptReported:
    return AttemptReported(time_s, AttemptId(trial, attempt), tuple(map(report_from_json, reports)))


def _ending(value: str | bool) -> Ending:
    """Return how a run ended; the first format knew two ways, as a truth value."""
    if isinstance(value, bool):
        return Ending.DRAIN if value else Ending.NOW
    return Ending(value)


_READERS: Mapping[str, Callable[..., Event]] = {
    "run_started": RunStarted,
    "run_stopping": lambda time_s, reason, ending: RunStopping(time_s, StopReason(reason), _ending(ending)),
    "requested": lambda time_s, action, trial: Requested(time_s, Action(action), trial),
    "continued": lambda time_s, keys, trials: Continued(time_s, keys, tuple(map(Trial.from_json, trials))),
    "changed": Changed,
    "patience_ended": PatienceEnded,
    "attempt_started": lambda time_s, trial, attempt, host: AttemptStarted(time_s, AttemptId(trial, attempt), host),
    "attempt_reported": _reported,
    "attempt_finished": _finished,
    "attempt_lost": lambda time_s, trial, attempt, host, reason: AttemptLost(time_s, AttemptId(trial, attempt), host, reason),
}
