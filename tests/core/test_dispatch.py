"""Which waiting attempt goes next, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shadho_like.dispatch import WaitingAttempts
from shadho_like.trial import Attempt, AttemptId


@given(st.lists(st.integers(0, 50), unique=True), st.data())
def test_each_goes_once_in_order_and_never_before_its_time(numbers: list[int], data: st.DataObject) -> None:
    attempts = [Attempt(AttemptId(number, 1), {}, 0, not_before_s=data.draw(st.sampled_from([0.0, 3.0, 7.0]))) for number in numbers]
    waiting, taken, dropped = WaitingAttempts(), [], set()
    waiting.add(attempts)
    for now_s in (1.0, 5.0, 9.0):
        for attempt in data.draw(st.lists(st.sampled_from(attempts), max_size=2)) if attempts else []:
            if waiting.discard(attempt.id):
                dropped.add(attempt.id)
        late = [attempt for attempt in attempts if attempt.not_before_s > now_s and attempt.id not in dropped]
        assert waiting.due_s(now_s) <= min((attempt.not_before_s for attempt in late), default=float("inf"))
        batch = waiting.take(data.draw(st.integers(0, 60)), now_s)
        assert [attempt.id for attempt in batch] == sorted(attempt.id for attempt in batch)
        assert all(attempt.not_before_s <= now_s for attempt in batch)
        taken += batch
    taken += waiting.take(len(attempts), 9.0)
    assert {attempt.id for attempt in taken} | dropped == {attempt.id for attempt in attempts}
    assert len(taken) + len(dropped) == len(attempts)
    assert not waiting
