"""What a search method is: a state machine over events that answers with operations. No clock, no files, no engine.

The interface is that of Determined's custom searcher: code written for it runs here.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from shadho_like.operations import ExitedReason, Operation
from shadho_like.trial import Json, RequestId, Trial


@dataclass(slots=True)
class SearcherState:
    """What is known of the search as a whole, kept for every method and handed to its handlers, who must not change it.

    Attributes:
        failures: trials that ended with a failure.
        trial_progress: for each trial, the length it was trained to, in the user's unit.
        trials_closed: trials that are over.
        trials_created: all trials.
        last_event_id: the number of the last event that a handler was given; the first is 1.
        experiment_completed: whether the search is over.
        experiment_failed: whether it ended in a failure.
        experiment_id: the experiment's name.
    """

    experiment_id: str = ""
    failures: set[RequestId] = field(default_factory=set)
    trial_progress: dict[RequestId, float] = field(default_factory=dict)
    trials_closed: set[RequestId] = field(default_factory=set)
    trials_created: set[RequestId] = field(default_factory=set)
    last_event_id: int = 0
    experiment_completed: bool = False
    experiment_failed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the plain form. Trials that built-in methods number one by one take no more room than their first and last."""
        return {
            "experiment_id": self.experiment_id,
            "failures": _runs(dict.fromkeys(self.failures, 1)),
            "trial_progress": _runs(self.trial_progress),
            "trials_closed": _runs(dict.fromkeys(self.trials_closed, 1)),
            "trials_created": _runs(dict.fromkeys(self.trials_created, 1)),
            "last_event_id": self.last_event_id,
            "experiment_completed": self.experiment_completed,
            "experiment_failed": self.experiment_failed,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SearcherState:
        """Read what `to_json` gave."""
        created = _from_runs(value["trials_created"], {})
        ids = {request_id: request_id for request_id in created}
        return cls(
            experiment_id=value["experiment_id"],
            failures=set(_from_runs(value["failures"], ids)),
            trial_progress=_from_runs(value["trial_progress"], ids),
            trials_closed=set(_from_runs(value["trials_closed"], ids)),
            trials_created=set(created),
            last_event_id=value["last_event_id"],
            experiment_completed=value["experiment_completed"],
            experiment_failed=value["experiment_failed"],
        )


def _runs(values: Mapping[RequestId, float]) -> list[list[Any]]:
    """Return [first id as text, how many ids follow each other, their common value] for all of `values`."""
    runs: list[list[Any]] = []
    next_id = -1
    for request_id in sorted(values):
        if request_id.int == next_id and values[request_id] == runs[-1][2]:
            runs[-1][1] += 1
        else:
            runs.append([str(request_id), 1, values[request_id]])
        next_id = request_id.int + 1
    return runs


def _from_runs(runs: list[list[Any]], known: Mapping[RequestId, RequestId]) -> dict[RequestId, float]:
    """Read what `_runs` gave; ids in `known` are shared, so that each is in memory once."""
    values: dict[RequestId, float] = {}
    for first, count, value in runs:
        start = uuid.UUID(first).int
        for number in range(start, start + count):
            request_id = uuid.UUID(int=number)
            values[known.get(request_id, request_id)] = value
    return values


class SearchMethod(ABC):
    """Decides which trials to create, how long to train each, and when to end.

    Every handler is called once for each event, in order, and returns what is to be done because of it.
    """

    @abstractmethod
    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """Return what to do first."""

    @abstractmethod
    def on_trial_created(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """A trial that was asked for exists now."""

    @abstractmethod
    def on_validation_completed(self, state: SearcherState, request_id: RequestId, metric: Any, train_length: int) -> list[Operation]:
        """A trial reported the searched metric at a length it was asked to train to."""

    @abstractmethod
    def on_trial_closed(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """A trial is over."""

    @abstractmethod
    def on_trial_exited_early(self, state: SearcherState, request_id: RequestId, exited_reason: ExitedReason) -> list[Operation]:
        """A trial ended before it was closed; `on_trial_closed` follows."""

    @abstractmethod
    def progress(self, state: SearcherState) -> float:
        """Return how far the search is, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a built-in method was made, so that a driver can make it again.

    Attributes:
        name: see `METHODS`.
        keys: its own.
        seed: as given; None if none was.
        smaller_is_better: whether the metric is minimised.
    """

    name: str
    keys: Mapping[str, Json]
    seed: int | None
    smaller_is_better: bool


class BuiltInMethod(SearchMethod):
    """A method whose whole state is small plain data, so that a journal can hold it.

    Attributes:
        recipe: how `searcher.create` made it; None for one that was made otherwise.
        metrics: for one that searches several metrics at once, minimize or maximize for each by its name.
        extensible: its keys that may grow after the end of the search.
    """

    recipe: Recipe | None = None
    metrics: Mapping[str, str] = MappingProxyType({})
    extensible: ClassVar[frozenset[str]] = frozenset()

    @property
    def called(self) -> str:
        """The name of its class, for messages."""
        return type(self).__name__

    def extension_fault(self, keys: Mapping[str, int]) -> str:
        """Return why the search cannot go on with these values of its keys; empty if it can."""
        can = f"; {' and '.join(sorted(self.extensible))} can grow" if self.extensible else ""
        for key in keys.keys() - self.extensible:
            return f"{self.called} cannot go on with another {key}{can}"
        return ""

    def held_to(self) -> int | None:
        """Return how many trials may have work at once, where more would have some now but for that; None where none would."""
        return None

    def extend(
        self, state: SearcherState, keys: Mapping[str, int], over: Sequence[Trial]
    ) -> list[Operation]:
        """Return what is to be done because keys of `extensible` grew.

        Args:
            state: as for the handlers.
            keys: the new values; `extension_fault` has none against them.
            over: the trials that ended without a failure, in the order of their creation; they may be told to train on.
        """
        del state, keys, over
        return []

    @abstractmethod
    def state_to_json(self) -> Json:
        """Return the state that the handlers change."""

    @abstractmethod
    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
