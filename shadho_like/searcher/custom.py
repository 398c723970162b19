"""A user's own search method as the loop needs it: its handlers are called once for each event, and their answers played back later.

The built-in methods are pure, so that a restart asks them again. A user's method may use a clock or a generator of its own: what it
answered is in the journal, and its handlers are not called for it again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from shadho_like.operations import ExitedReason, Operation
from shadho_like.searcher.base import BuiltInMethod, SearcherState, SearchMethod
from shadho_like.trial import Json, RequestId


class CustomMethod(BuiltInMethod):
    """Stands between the loop and a user's method, whose own state is kept elsewhere.

    Args:
        method: the user's.

    Attributes:
        method: the user's.
        answers: of each handler called since `play` or since they were taken, the number of operations.
    """

    def __init__(self, method: SearchMethod) -> None:
        self.method = method
        self.answers: list[int] = []
        self._recorded: deque[list[Operation]] = deque()

    @property
    def called(self) -> str:
        """The name of the user's class."""
        return type(self.method).__name__

    def play(self, operations: Sequence[Operation], answers: Sequence[int]) -> None:
        """Have the next handlers answer what they answered before, without a call: so many operations each."""
        self.answers.clear()
        self._recorded.clear()
        taken = 0
        for count in answers:
            self._recorded.append(list(operations[taken : taken + count]))
            taken += count

    def take_answers(self) -> list[int]:
        """Return the answers since the last time."""
        answers, self.answers = self.answers, []
        return answers

    def _answer(self, handler: Callable[..., list[Operation]], *event: Any) -> list[Operation]:
        if self._recorded:
            return self._recorded.popleft()
        operations = handler(*event)
        if isinstance(operations, list):
            self.answers.append(len(operations))
        return operations

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """Return what the method answers, or answered."""
        return self._answer(self.method.initial_operations, state)

    def on_trial_created(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Return what the method answers, or answered."""
        return self._answer(self.method.on_trial_created, state, request_id)

    def on_validation_completed(self, state: SearcherState, request_id: RequestId, metric: Any, train_length: int) -> list[Operation]:
        """Return what the method answers, or answered."""
        return self._answer(self.method.on_validation_completed, state, request_id, metric, train_length)

    def on_trial_closed(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Return what the method answers, or answered."""
        return self._answer(self.method.on_trial_closed, state, request_id)

    def on_trial_exited_early(self, state: SearcherState, request_id: RequestId, exited_reason: ExitedReason) -> list[Operation]:
        """Return what the method answers, or answered."""
        return self._answer(self.method.on_trial_exited_early, state, request_id, exited_reason)

    def progress(self, state: SearcherState) -> float:
        """Return what the method says, within 0 and 1."""
        return min(1.0, max(0.0, float(self.method.progress(state))))

    def state_to_json(self) -> Json:
        """Return nothing: the method's state is no JSON, and kept as bytes."""
        return None

    def load_state(self, value: Any) -> None:
        """Take nothing over."""
