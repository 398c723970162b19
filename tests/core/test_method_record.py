"""A user's own search method in the journal: the difference of states, answers played back, handlers that fail."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadho_like import Shadho, rand
from shadho_like.errors import MethodError
from shadho_like.method_state import Delta, difference
from shadho_like.result import Result
from shadho_like.searcher import Close, Create, Operation, SearchMethod, ValidateAfter

SPACE = {"x": rand.uniform(0, 1)}


@given(st.binary(max_size=300), st.binary(max_size=60), st.binary(max_size=300), st.binary(max_size=60))
def test_a_difference_gives_the_next_state(head: bytes, before: bytes, tail: bytes, after: bytes) -> None:
    old, new = head + before + tail, head + after + tail
    delta = difference(old, new)
    assert Delta.unpack(delta.pack()).apply(old) == new
    assert len(delta.middle) + sum(len(data) for _, data in delta.patches) <= len(new)


class Counting(SearchMethod):
    """Makes ten trials one after the other, and remembers each event; one of them it cannot handle."""

    fail_at: ClassVar[int | None] = None
    nonsense: ClassVar[Any] = None

    def __init__(self) -> None:
        self.events: list[tuple[int, str]] = []
        self.created = 0

    def __getstate__(self) -> dict[str, Any]:
        raise AssertionError("the attributes are kept, not the object")

    def _create(self) -> list[Operation]:
        if self.created == 10:
            return []
        self.created += 1
        request_id = uuid.UUID(int=self.created)
        return [Create(request_id, {"x": self.created / 10}, None), ValidateAfter(request_id, 1), Close(request_id)]

    def _note(self, state: Any, what: str) -> None:
        if self.fail_at == state.last_event_id:
            raise ArithmeticError("cannot count on")
        self.events.append((state.last_event_id, what))

    def initial_operations(self, state: Any) -> list[Operation]:
        self._note(state, "initial")
        return self._create() + self._create()[:1]

    def on_trial_created(self, state: Any, request_id: uuid.UUID) -> list[Operation]:
        self._note(state, "created")
        return [ValidateAfter(request_id, 1), Close(request_id)] if request_id.int == 2 else []

    def on_validation_completed(self, state: Any, request_id: uuid.UUID, metric: Any, train_length: int) -> list[Operation]:
        self._note(state, "validated")
        return self.nonsense if self.nonsense is not None and request_id.int == 3 else []

    def on_trial_closed(self, state: Any, request_id: uuid.UUID) -> list[Operation]:
        self._note(state, "closed")
        return self._create()

    def on_trial_exited_early(self, state: Any, request_id: uuid.UUID, exited_reason: Any) -> list[Operation]:
        raise NotImplementedError

    def progress(self, state: Any) -> float:
        return self.created / 10


def search(folder: Path, method: SearchMethod, calls: list[float] | None = None) -> Result:
    def objective(hparams: dict[str, float]) -> float:
        if calls is not None:
            calls.append(hparams["x"])
        return hparams["x"]

    return Shadho("counting", objective, SPACE, method=method, workers=0, directory=folder, seed=1).run()


def test_events_are_numbered_and_each_is_handled_once(tmp_path: Path) -> None:
    method = Counting()
    assert search(tmp_path, method).counts == {"COMPLETED": 10}
    assert [number for number, _ in method.events] == list(range(1, 32))
    assert [what for _, what in method.events].count("validated") == 10
    again = Counting()
    search(tmp_path, again)
    assert again.events == method.events


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("fail_at", [1, 2, 9, 20, 31])
def test_a_handler_that_raises_stops_the_search_and_is_asked_again(
    tmp_path: Path, fail_at: int, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results come one by one, or two together: then the second was not told when the handler raised at the first, and comes again."""
    monkeypatch.setattr("shadho_like.engine.inprocess._TURN_S", 1000.0 if together else 0.0)
    calls: list[float] = []
    monkeypatch.setattr(Counting, "fail_at", fail_at)
    with pytest.raises(MethodError, match="raised ArithmeticError: cannot count on") as raised:
        search(tmp_path, Counting(), calls)
    assert isinstance(raised.value.__cause__, ArithmeticError)
    monkeypatch.setattr(Counting, "fail_at", None)
    mended = Counting()
    assert search(tmp_path, mended, calls).counts == {"COMPLETED": 10}
    assert [number for number, _ in mended.events] == list(range(1, 32))
    assert len(set(calls)) == 10
    assert len(calls) - 10 in ({0, 1} if together else {0})


@pytest.mark.parametrize("nonsense", ["stop", ["stop"], {}])
def test_nonsense_stops_the_search(tmp_path: Path, nonsense: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "nonsense", nonsense)
    with pytest.raises(MethodError, match="Counting.on_validation_completed must return a list of operations"):
        search(tmp_path, Counting())
    monkeypatch.undo()
    assert search(tmp_path, Counting()).counts == {"COMPLETED": 10}


def test_a_missing_handler_is_named_when_the_method_is_made() -> None:
    class Incomplete(Counting):
        progress = SearchMethod.progress

    with pytest.raises(TypeError, match="progress"):
        Incomplete()
