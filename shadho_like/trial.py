"""A trial, its attempts, and how both may end. Frozen data and one table of transitions; standard library only."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Any, NamedTuple

Json = bool | int | float | str | list[Any] | dict[str, Any] | None
Hyperparameters = dict[str, Any]
RequestId = uuid.UUID


class TrialState(str, Enum):
    """Where a trial is in its life."""

    PENDING = "PENDING"
    """Created; waits for an engine to take its next attempt."""
    RUNNING = "RUNNING"
    """An attempt of it runs."""
    PAUSED = "PAUSED"
    """Stopped by the user or between operations; goes on from its latest checkpoint."""
    COMPLETED = "COMPLETED"
    """Did all that the search method asked for."""
    STOPPED = "STOPPED"
    """Ended early by the search method, with what it had reached."""
    FAILED = "FAILED"
    """Its own code failed as often as it may, or its machines did."""
    CANCELED = "CANCELED"
    """Ended by the user before it was done."""

    @property
    def final(self) -> bool:
        """Whether the trial is over."""
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[TrialState, frozenset[TrialState]] = {
    TrialState.PENDING: frozenset(
        {TrialState.RUNNING, TrialState.PAUSED, TrialState.STOPPED, TrialState.FAILED, TrialState.CANCELED}
    ),
    TrialState.RUNNING: frozenset(
        {
            TrialState.PENDING,
            TrialState.PAUSED,
            TrialState.COMPLETED,
            TrialState.STOPPED,
            TrialState.FAILED,
            TrialState.CANCELED,
        }
    ),
    TrialState.PAUSED: frozenset(
        {TrialState.PENDING, TrialState.COMPLETED, TrialState.STOPPED, TrialState.FAILED, TrialState.CANCELED}
    ),
    TrialState.COMPLETED: frozenset(),
    TrialState.STOPPED: frozenset(),
    TrialState.FAILED: frozenset(),
    TrialState.CANCELED: frozenset(),
}


class FailureKind(str, Enum):
    """Why an attempt failed."""

    ERROR = "error"
    """The objective raised an exception."""
    EXIT_CODE = "exit_code"
    """The command ended with a status other than 0."""
    SIGNAL = "signal"
    """The command was killed by a signal (a segfault is one)."""
    OUT_OF_MEMORY = "out_of_memory"
    """Killed for using more memory than it had."""
    DISK = "disk"
    """Its sandbox grew over its limit."""
    TIME_LIMIT = "time_limit"
    """It ran longer than a trial may."""
    LOST_WORKER = "lost_worker"
    """Its worker went away, as often as that may happen."""
    BAD_RESULT = "bad_result"
    """It ended well but left no usable result: none at all, not a number, NaN, a missing metric."""
    PREEMPTED = "preempted"
    """It was asked to end, saved what it had, and ended; it goes on in another attempt."""
    INVALID_HP = "invalid_hp"
    """It said that these hyperparameters cannot work; it is not tried again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt, or in the end its trial, failed.

    Attributes:
        kind: the class of reason.
        message: one line for a person.
        log_tail: the last lines of its output or traceback, possibly empty.
    """

    kind: FailureKind
    message: str
    log_tail: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the plain form."""
        return {"kind": self.kind.value, "message": self.message, "log_tail": self.log_tail}

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> Failure:
        """Read what `to_json` gave."""
        return cls(FailureKind(value["kind"]), value["message"], value["log_tail"])


@dataclass(frozen=True, slots=True)
class Success:
    """What an attempt brought back.

    Attributes:
        metric: the searched metric; None if no number was reported, which only a user's own search method takes.
        metrics: any other values that the objective returned with it.
        reported: what the search method is told instead of the metric, where that is more than one number.
    """

    metric: float | None
    metrics: Mapping[str, Json] = field(default_factory=dict)
    reported: Json = None

    @property
    def told(self) -> Json:
        """What the search method is told."""
        return self.metric if self.reported is None else self.reported


Outcome = Success | Failure


class AttemptId(NamedTuple):
    """Names one run of a trial: the trial's number (from 0) and the attempt's (from 1)."""

    trial: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.trial}.{self.attempt}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a trial, as an engine gets it.

    Attributes:
        id: which trial, which attempt.
        hparams: the sample, as the objective gets it.
        seed: the trial's own seed, in 0..2**31-1.
        length: train up to here, in the user's unit; 1 for a plain objective.
        trained: what earlier attempts of the trial are known to have trained; this one goes on from there if it can.
        start_from: the checkpoint to start from where the trial has none of its own: its id, or the number of a trial for its newest.
        not_before_s: it is to wait until this Unix time, in seconds.
        compute_class: where it is to run; None for anywhere.
    """

    id: AttemptId
    hparams: Hyperparameters
    seed: int
    length: int = 1
    trained: int = 0
    start_from: str | None = None
    not_before_s: float = 0.0
    compute_class: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """An attempt as the journal shows it to a person."""

    id: AttemptId
    state: str
    host: str
    started_s: float | None
    finished_s: float | None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of the search space and all that happened to it.

    Attributes:
        number: from 0, in the order of creation.
        request_id: the search method's name for it.
        hparams: the sample.
        seed: the trial's own seed.
        state: see `TrialState`.
        length: train up to here (the newest ValidateAfter); 0 before any.
        asked: the length that its current or last attempt was to reach.
        validated: the last length whose validation the search method has seen.
        closing: whether the method wants it closed once `length` is reached.
        attempt: the number of its current or last attempt, from 1.
        restarts: attempts that ended in a failure of the user's own code.
        lost: attempts lost in a row to machines.
        metric: the searched metric, from its last validation.
        metrics: what else the objective returned.
        created_s, started_s, finished_s: Unix times, in seconds.
        host: where its last attempt ran.
        start_from: see `Attempt`.
        given_up: the last attempt that was given up as lost, and the length that it was to reach.
        failure: why it failed, where it did.
    """

    number: int
    request_id: RequestId
    hparams: Hyperparameters
    seed: int
    created_s: float
    state: TrialState = TrialState.PENDING
    length: int = 0
    asked: int = 0
    validated: int = 0
    closing: bool = False
    attempt: int = 1
    restarts: int = 0
    lost: int = 0
    metric: float | None = None
    metrics: Mapping[str, Json] = field(default_factory=dict)
    started_s: float | None = None
    finished_s: float | None = None
    host: str = ""
    start_from: str | None = None
    given_up: tuple[int, int] | None = None
    failure: Failure | None = None

    @property
    def attempt_id(self) -> AttemptId:
        """Its current or last attempt."""
        return AttemptId(self.number, self.attempt)

    def to_json(self) -> dict[str, Any]:
        """Return the plain form: the fields that differ from their defaults."""
        value: dict[str, Any] = {
            name: getattr(self, name)
            for name, default in _DEFAULTS.items()
            if getattr(self, name) != default and name not in {"state", "failure", "metrics"}
        }
        value |= {"number": self.number, "request_id": str(self.request_id), "hparams": self.hparams}
        value |= {"seed": self.seed, "created_s": self.created_s, "state": self.state.value, "metrics": dict(self.metrics)}
        return value if self.failure is None else {**value, "failure": self.failure.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Trial:
        """Read what `to_json` gave."""
        failure = value.get("failure")
        return cls(
            **{
                **value,
                "request_id": uuid.UUID(value["request_id"]),
                "state": TrialState(value["state"]),
                "given_up": tuple(value["given_up"]) if value.get("given_up") else None,
                "failure": Failure.from_json(failure) if failure else None,
            }
        )


_DEFAULTS: Mapping[str, Any] = {item.name: item.default for item in fields(Trial) if item.default is not MISSING}


def trial_seed(seed: int, number: int) -> int:
    """Return a trial's own seed, in 0..2**31-1, from the experiment's seed and the trial's number."""
    digest = hashlib.blake2b(f"{seed}.{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") & 0x7FFFFFFF


def rank(metric: float, finished_s: float | None, number: int, *, smaller_is_better: bool) -> tuple[float, float, int]:
    """Return what sorts trials by their metrics, the best first; of equals the one that ended first, then the lower number.

    Args:
        metric: the trial's.
        finished_s: when it ended, Unix time in seconds; None, which comes last, for one that is not over.
        number: the trial's.
        smaller_is_better: whether the metric is minimised.
    """
    return metric if smaller_is_better else -metric, math.inf if finished_s is None else finished_s, number
