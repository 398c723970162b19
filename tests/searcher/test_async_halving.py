"""ASHA against a slow reference, and its numbers on metrics that are known."""

from __future__ import annotations

import math
import random
import uuid
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searcher.play import ERROR, INVALID, Play, adversary, any_order, made
from searcher.reference import Job, SlowAsha

from shadho_like import rand, searcher
from shadho_like.errors import OptionError
from shadho_like.operations import Close, Create, ValidateAfter
from shadho_like.searcher.options import rung_lengths, whole_log
from shadho_like.trial import Attempt, Outcome, Success
from shadho_like.turn import Turn

SPACE = {"x": rand.uniform(0, 1)}


def jobs(turn: Turn) -> list[Job]:
    """Return what a turn gave workers to do."""
    created = {operation.request_id for operation in turn.operations if isinstance(operation, Create)}
    trained = [operation for operation in turn.operations if isinstance(operation, ValidateAfter)]
    return [("create" if each.request_id in created else "climb", each.request_id.int, each.length) for each in trained]


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    max_trials=st.integers(1, 60),
    slots=st.integers(1, 12),
    divisor=st.sampled_from([1.5, 2, 2.5, 4]),
    max_length=st.sampled_from([1, 7, 64]),
    stop_once=st.booleans(),
    ties=st.sampled_from([0, 1, 3]),
    errors=st.sampled_from([0.0, 0.1, 0.6]),
    invalid=st.sampled_from([0.0, 0.1, 0.3]),
    endless=st.booleans(),
)
def test_it_does_what_the_slow_reference_does(
    seed: int,
    max_trials: int,
    slots: int,
    divisor: float,
    max_length: int,
    stop_once: bool,
    ties: int,
    errors: float,
    invalid: float,
    endless: bool,
) -> None:
    """A trial may turn out to be invalid in a higher rung as long as no trial below has been given up for good."""
    most = 80 if endless else 10**5
    max_trials = 10**4 if endless else max_trials
    lengths = rung_lengths(max_length, 4, Fraction(str(divisor)))
    slow = SlowAsha(lengths, Fraction(str(divisor)), max_trials, slots, stop_once)
    keys: dict[str, Any] = {"max_trials": max_trials, "max_concurrent_trials": slots, "divisor": divisor, "max_length": max_length}
    play = Play(made("async_halving", SPACE, num_rungs=4, stop_once=stop_once, **keys))
    assert jobs(play.turns[0]) == slow.fill()
    outcome, choose = adversary(seed, errors=errors, invalid=invalid, ties=ties), any_order(seed)
    while play.wanted and len(play.turns) < most:
        attempt = play.wanted[choose(sorted(play.wanted))]
        trial, end = attempt.id.trial, outcome(attempt)
        if end is INVALID and attempt.length > lengths[0] and not endless:
            end = ERROR
        play.finish(attempt.id, end)
        if isinstance(end, Success):
            expected = slow.report(trial, end.metric if end.metric is not None and math.isfinite(end.metric) else math.inf)
        else:
            expected = slow.fail(trial) if end is ERROR else slow.withdraw(trial)
        assert jobs(play.turns[-1]) == expected
    assert endless or not slow.running


def by_number(attempt: Attempt) -> Outcome:
    """Return a metric that ranks the trials by their numbers at every length."""
    return Success(float(attempt.id.trial))


def against_number(attempt: Attempt) -> Outcome:
    return Success(-float(attempt.id.trial))


def reached(name: str, outcome: Any, **keys: Any) -> dict[int, int]:
    """Return how many trials were trained to each length in the end."""
    play = Play(made(name, SPACE, **keys))
    play.to_the_end(outcome)
    return dict(sorted(Counter(play.longest().values()).items()))


@pytest.mark.parametrize(
    ("keys", "outcome", "expected"),
    [
        ({"max_length": 9, "max_trials": 12, "num_rungs": 3, "divisor": 3}, by_number, {1: 8, 3: 3, 9: 1}),
        ({"max_length": 9, "max_trials": 12, "num_rungs": 3, "divisor": 3}, against_number, {1: 2, 3: 2, 9: 8}),
        ({"max_length": 900, "max_trials": 12, "num_rungs": 3, "divisor": 3}, by_number, {100: 8, 300: 3, 900: 1}),
        ({"max_length": 64, "max_trials": 64, "num_rungs": 4}, by_number, {1: 48, 4: 12, 16: 3, 64: 1}),
        ({"max_length": 64, "max_trials": 64, "num_rungs": 1}, by_number, {64: 64}),
        ({"max_length": 64, "max_trials": 3, "num_rungs": 4}, by_number, {1: 3}),
        ({"max_length": 10, "max_trials": 10, "num_rungs": 3, "divisor": 2.5}, by_number, {1: 6, 4: 3, 10: 1}),
        ({"max_length": 2, "max_trials": 16, "num_rungs": 5}, by_number, {1: 12, 2: 4}),
        ({"max_length": 9, "max_trials": 12, "num_rungs": 3, "divisor": 3, "stop_once": True}, by_number, {1: 11, 9: 1}),
        ({"max_length": 9, "max_trials": 12, "num_rungs": 3, "divisor": 3, "stop_once": True}, against_number, {9: 12}),
    ],
)
def test_how_many_trials_reach_which_length(keys: dict[str, Any], outcome: Any, expected: dict[int, int]) -> None:
    assert reached("async_halving", outcome, max_concurrent_trials=1, **keys) == expected


@pytest.mark.parametrize(
    ("max_length", "num_rungs", "divisor", "lengths"),
    [
        (64, 4, "4", [1, 4, 16, 64]),
        (100, 3, "4", [6, 25, 100]),
        (10, 3, "2.5", [1, 4, 10]),
        (11, 2, "1.1", [10, 11]),
        (2, 5, "4", [1, 2]),
        (1, 3, "4", [1]),
        (3, 40, "1.5", [1, 2, 3]),
        (10**18, 2, "3", [333333333333333333, 10**18]),
    ],
)
def test_the_lengths_of_the_rungs(max_length: int, num_rungs: int, divisor: str, lengths: list[int]) -> None:
    assert rung_lengths(max_length, num_rungs, Fraction(divisor)) == lengths


def test_powers_of_the_divisor_are_counted_exactly() -> None:
    assert [whole_log(value, Fraction(4)) for value in (1, 3, 4, 63, 64, 65)] == [0, 0, 1, 2, 3, 3]
    assert all(whole_log(5**k, Fraction(5)) == k and whole_log(5**k - 1, Fraction(5)) == k - 1 for k in range(1, 60))


def test_a_trial_stays_open_only_while_it_may_climb() -> None:
    play = Play(made("async_halving", SPACE, max_length=4, max_trials=400, num_rungs=2, max_concurrent_trials=1))
    rng = random.Random(1)
    most = 0

    def outcome(attempt: Attempt) -> Outcome:
        nonlocal most
        most = max(most, len(play.state.searcher.trials_created) - len(play.state.searcher.trials_closed))
        return Success(rng.random())

    play.to_the_end(outcome)
    assert 60 <= most <= 105
    last = [operation for operation in play.turns[-1].operations if isinstance(operation, Close)]
    assert last
    assert play.state.ended


def test_a_trial_with_invalid_hyperparameters_leaves_every_rung_and_does_not_count() -> None:
    play = Play(made("async_halving", SPACE, max_length=4, max_trials=8, num_rungs=2, divisor=2, max_concurrent_trials=1))
    play.to_the_end(lambda attempt: INVALID if attempt.id.trial in {1, 4} else by_number(attempt))
    assert len(play.lengths) == 10
    assert dict(Counter(play.longest().values())) == {2: 6, 4: 4}


def test_the_state_is_smaller_than_the_search_when_nothing_is_open() -> None:
    play = Play(made("async_halving", SPACE, max_length=64, max_trials=2000, num_rungs=4))
    play.to_the_end(adversary(1))
    state: Any = play.state.method.state_to_json()
    assert state["trials"] == []
    [[_, ladder]] = state["ladders"]
    assert sum(len(rung["entries"]) for rung in ladder["rungs"]) < 2000 / 2


@pytest.mark.parametrize("key", ["max_length", "max_trials", "num_rungs"])
def test_a_key_that_is_missing_is_named(key: str) -> None:
    keys: dict[str, Any] = {"max_length": 1, "max_trials": 1, "num_rungs": 1}
    del keys[key]
    with pytest.raises(OptionError, match=f"needs {key}, as in"):
        searcher.create("async_halving", SPACE, **keys)


def test_a_waiting_trial_that_the_user_cancels_keeps_its_rank_and_never_climbs() -> None:
    method = searcher.create("async_halving", SPACE, max_length=2, max_trials=6, num_rungs=2, divisor=2, max_concurrent_trials=1)
    state, ids = searcher.SearcherState(), [uuid.UUID(int=number) for number in range(6)]
    method.initial_operations(state)
    method.on_validation_completed(state, ids[0], 0.0, 1)
    assert method.on_trial_exited_early(state, ids[0], searcher.ExitedReason.USER_CANCELED) == []
    second = method.on_validation_completed(state, ids[1], 1.0, 1)
    assert [type(operation) for operation in second] == [Create, ValidateAfter]
    assert second[0] == Create(ids[2], second[0].hparams)  # type: ignore[union-attr]
    method.on_validation_completed(state, ids[2], 2.0, 1)
    assert method.on_validation_completed(state, ids[3], 3.0, 1) == [ValidateAfter(ids[1], 2)]


def test_a_waiting_trial_that_turns_out_invalid_is_replaced() -> None:
    method = searcher.create("async_halving", SPACE, max_length=2, max_trials=2, num_rungs=2, divisor=2, max_concurrent_trials=1)
    state, ids = searcher.SearcherState(), [uuid.UUID(int=number) for number in range(3)]
    method.initial_operations(state)
    method.on_validation_completed(state, ids[0], 0.0, 1)
    method.on_trial_exited_early(state, ids[0], searcher.ExitedReason.INVALID_HP)
    assert isinstance(method.on_validation_completed(state, ids[1], 1.0, 1)[0], Create)
    assert method.on_validation_completed(state, ids[2], 2.0, 1) == [ValidateAfter(ids[1], 2)]
