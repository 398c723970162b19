"""Random search (Bergstra and Bengio, JMLR 2012): independent draws, all trained to the same length. With a sampler that learns,
the search of that sampler.
"""

from __future__ import annotations

import math
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shadho_like.operations import Close, Create, ExitedReason, Operation, ValidateAfter
from shadho_like.searcher.base import BuiltInMethod, SearcherState
from shadho_like.searcher.options import check_counts, not_greater
from shadho_like.searcher.samplers import Observed, Sampler
from shadho_like.trial import Hyperparameters, Json, RequestId, Trial


class RandomSearch(BuiltInMethod):
    """Keeps `max_concurrent_trials` trials going until `max_trials` have been made.

    Args:
        sampler: chooses the points.
        max_trials: how many trials in all; None to go on until something else ends the search.
        max_concurrent_trials: how many may be open at once.
        max_length: train each trial to this length, in the user's unit.

    Raises:
        OptionError: a number below 1, or no whole one.
    """

    extensible: ClassVar[frozenset[str]] = frozenset({"max_trials", "max_length"})

    def __init__(
        self, sampler: Sampler, *, max_trials: int | None = None, max_concurrent_trials: int = 16, max_length: int = 1
    ) -> None:
        check_counts("random", max_concurrent_trials=max_concurrent_trials, max_length=max_length)
        if max_trials is not None:
            check_counts("random", max_trials=max_trials)
        self._sampler = sampler
        self._max_trials = max_trials
        self._max_concurrent_trials = max_concurrent_trials
        self._max_length = max_length
        self._created = 0
        self._open: dict[int, Hyperparameters] = {}
        self._again: deque[tuple[int, Hyperparameters]] = deque()

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """Create as many trials as may be open at once."""
        operations: list[Operation] = []
        for _ in range(self._max_concurrent_trials):
            operations += self._create()
        return operations

    def on_trial_created(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Nothing: all was asked for with the creation."""
        return []

    def on_validation_completed(self, state: SearcherState, request_id: RequestId, metric: Any, train_length: int) -> list[Operation]:
        """Tell the sampler."""
        self._sampler.observe(request_id.int, self._open[request_id.int], train_length, self._observed(metric))
        return []

    def on_trial_closed(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Create the next trial."""
        del self._open[request_id.int]
        return self._create()

    def on_trial_exited_early(self, state: SearcherState, request_id: RequestId, exited_reason: ExitedReason) -> list[Operation]:
        """Tell the sampler; the next trial is created when this one is closed."""
        self._sampler.observe(request_id.int, self._open[request_id.int], int(state.trial_progress.get(request_id, 0)), None)
        return []

    def held_to(self) -> int | None:
        """Return `max_concurrent_trials`, while there are trials to make."""
        more = bool(self._again) or self._max_trials is None or self._created < self._max_trials
        return self._max_concurrent_trials if more and len(self._open) >= self._max_concurrent_trials else None

    def progress(self, state: SearcherState) -> float:
        """Return the closed trials' share of `max_trials`; 0 where there is no such number."""
        return len(state.trials_closed) / self._max_trials if self._max_trials else 0.0

    def state_to_json(self) -> Json:
        """Return the number of trials asked for, the open ones and the sampler's state."""
        return {
            "created": self._created,
            "open": list(map(list, self._open.items())),
            "sampler": self._sampler.state_to_json(),
            "keys": [self._max_trials, self._max_length],
            "again": list(map(list, self._again)),
        }

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        self._created = value["created"]
        self._open = dict(value["open"])
        self._max_trials, self._max_length = value.get("keys", (self._max_trials, self._max_length))
        self._again = deque((number, hparams) for number, hparams in value.get("again", ()))
        self._sampler.load_state(value["sampler"])

    def extension_fault(self, keys: Mapping[str, int]) -> str:
        """Return why the search cannot go on with these values of its keys; empty if it can."""
        now = {"max_trials": self._max_trials, "max_length": self._max_length}
        return super().extension_fault(keys) or not_greater(keys, now)

    def extend(
        self, state: SearcherState, keys: Mapping[str, int], over: Sequence[Trial]
    ) -> list[Operation]:
        """Create further trials; with a greater `max_length`, train those that are over on first."""
        self._max_trials = keys.get("max_trials", self._max_trials)
        if "max_length" in keys:
            self._max_length = keys["max_length"]
            self._again.extend((trial.request_id.int, trial.hparams) for trial in over)
        going = list(self._open) if "max_length" in keys else []
        operations: list[Operation] = [ValidateAfter(uuid.UUID(int=number), self._max_length) for number in going]
        while len(self._open) < self._max_concurrent_trials and (more := self._create()):
            operations += more
        return operations

    def _observed(self, metric: Any) -> Observed:
        """Return what the sampler is told of a metric."""
        value = float(metric)
        return value if math.isfinite(value) else None

    def _create(self) -> list[Operation]:
        if self._again:
            number, hparams = self._again.popleft()
            self._open[number] = hparams
            return [ValidateAfter(uuid.UUID(int=number), self._max_length), Close(uuid.UUID(int=number))]
        if self._max_trials is not None and self._created >= self._max_trials:
            return []
        request_id = uuid.UUID(int=self._created)
        hparams = self._open[self._created] = self._sampler.sample(self._created)
        self._created += 1
        return [Create(request_id, hparams), ValidateAfter(request_id, self._max_length), Close(request_id)]
