"""Random search (Bergstra and Bengio, JMLR 2012): independent draws, all trained to the same length."""

from __future__ import annotations

import uuid
from typing import Any

from shadho_like.errors import OptionError
from shadho_like.operations import Close, Create, ExitedReason, Operation, ValidateAfter
from shadho_like.searcher.base import BuiltInMethod, SearcherState
from shadho_like.searcher.samplers import Sampler
from shadho_like.trial import Json, RequestId


class RandomSearch(BuiltInMethod):
    """Keeps `max_concurrent_trials` trials going until `max_trials` have been made.

    Args:
        sampler: chooses the points.
        max_trials: how many trials in all; None to go on until something else ends the search.
        max_concurrent_trials: how many may be open at once.
        max_length: train each trial to this length, in the user's unit.

    Raises:
        OptionError: a number below 1.
    """

    def __init__(
        self, sampler: Sampler, *, max_trials: int | None = None, max_concurrent_trials: int = 16, max_length: int = 1
    ) -> None:
        for name, value in (("max_trials", max_trials), ("max_concurrent_trials", max_concurrent_trials), ("max_length", max_length)):
            if value is not None and value < 1:
                message = f"{name} of the random search must be at least 1, not {value}"
                raise OptionError(message)
        self._sampler = sampler
        self._max_trials = max_trials
        self._max_concurrent_trials = max_concurrent_trials
        self._max_length = max_length
        self._created = 0

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
        """Nothing: no result changes what comes next."""
        return []

    def on_trial_closed(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Create the next trial."""
        return self._create()

    def on_trial_exited_early(self, state: SearcherState, request_id: RequestId, exited_reason: ExitedReason) -> list[Operation]:
        """Nothing: the next trial is created when this one is closed."""
        return []

    def progress(self, state: SearcherState) -> float:
        """Return the closed trials' share of `max_trials`; 0 where there is no such number."""
        return len(state.trials_closed) / self._max_trials if self._max_trials else 0.0

    def state_to_json(self) -> Json:
        """Return the number of trials asked for."""
        return self._created

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        self._created = int(value)

    def _create(self) -> list[Operation]:
        if self._max_trials is not None and self._created >= self._max_trials:
            return []
        request_id = uuid.UUID(int=self._created)
        hparams = self._sampler.sample(self._created)
        self._created += 1
        return [Create(request_id, hparams), ValidateAfter(request_id, self._max_length), Close(request_id)]
