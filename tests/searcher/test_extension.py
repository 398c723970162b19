"""A search that goes on after its end, with more trials or longer ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from searcher.play import Play, adversary, any_order, made

from shadho_like import rand, searcher
from shadho_like.events import Action, Requested
from shadho_like.phase import Phase
from shadho_like.trial import Attempt, Outcome, Success, TrialState

SPACE = {"x": rand.uniform(0, 1, count=5)}
KEYS: dict[str, dict[str, Any]] = {
    "async_halving": {"max_length": 16, "max_trials": 40, "num_rungs": 3},
    "grid": {"max_length": 2},
    "random": {"max_length": 2, "max_trials": 10},
}


def by_number(attempt: Attempt) -> Outcome:
    return Success(float(attempt.id.trial))


@settings(deadline=None)
@given(
    most=st.integers(1, 8), outcomes=st.integers(0, 1000), order=st.integers(0, 1000), keys=st.permutations(["max_length", "max_trials"])
)
# Trials of the worst rank come back to a rung that had forgotten them.
@example(most=2, outcomes=40, order=0, keys=["max_length", "max_trials"])
@pytest.mark.parametrize("name", sorted(KEYS))
def test_it_ends_again_with_all_that_was_asked_for(name: str, most: int, outcomes: int, order: int, keys: list[str]) -> None:
    fresh, outcome = made(name, SPACE, max_concurrent_trials=most, **KEYS[name]), adversary(outcomes)
    plays = [Play(fresh), Play(fresh, reload=True)]
    for play in plays:
        play.to_the_end(outcome, any_order(order))
        before = dict(play.longest())
        assert play.state.phase is Phase.COMPLETED
        grown = play.state.method.extensible
        for key in (key for key in keys if key in grown):
            play.extend(**{key: {"max_length": 50, "max_trials": 60}[key]})
            play.to_the_end(outcome, any_order(order))
            assert play.state.phase is Phase.COMPLETED
        assert play.busiest <= most
        assert play.state.searcher.trials_closed == play.state.searcher.trials_created
        assert all(length >= before.get(trial, 0) for trial, length in play.longest().items())
        states = Counter(trial.state for trial in play.trials.values())
        assert states == +play.state.counts
        assert set(states) <= {TrialState.COMPLETED, TrialState.FAILED}
        if "max_trials" in grown:
            invalid = sum(trial.failure is not None and trial.failure.kind.value == "invalid_hp" for trial in play.trials.values())
            assert len(play.trials) in {60, 60 + invalid}
    assert plays[0].longest() == plays[1].longest()


@pytest.mark.parametrize("ends", ["by itself", "canceled", "canceled by an earlier version"])
@pytest.mark.parametrize(("name", "key"), [(name, key) for name in sorted(KEYS) for key in KEYS[name] if key != "num_rungs"])
def test_a_trial_that_the_user_killed_stays_over_and_what_was_called_off_goes_on(name: str, key: str, ends: str) -> None:
    play = Play(made(name, SPACE, max_concurrent_trials=4, **KEYS[name]), reload=True)
    play.finish(min(play.wanted), Success(0.5))
    play.handle(Requested(10.0, Action.KILL, 1))
    called_off: set[int] = set()
    if ends == "by itself":
        play.to_the_end(by_number)
    else:
        called_off = set(play.state.open_trials())
        play.handle(Requested(20.0, Action.KILL))
        assert play.state.phase is Phase.CANCELED
        assert len(called_off) > 1
    if ends.endswith("version"):
        snapshot = play.state.snapshot()
        del snapshot["called_off"]
        play.state.restore(snapshot)
    play.extend(**{key: {"max_length": 50, "max_trials": 60}[key]})
    assert called_off <= set(play.state.open_trials())
    assert play.trials[1].state is TrialState.CANCELED
    play.to_the_end(by_number)
    assert play.state.phase is Phase.COMPLETED
    canceled = {number for number, trial in play.trials.items() if trial.state is TrialState.CANCELED}
    assert canceled == {1}


def test_a_longer_halving_lets_the_best_of_the_highest_rung_climb_and_repeats_nothing() -> None:
    play = Play(made("async_halving", SPACE, max_length=16, max_trials=64, num_rungs=3, max_concurrent_trials=1))
    play.to_the_end(by_number)
    done = len(play.turns)
    assert Counter(play.longest().values())[16] >= 4
    best = min(trial for trial, length in play.longest().items() if length == 16)
    play.extend(max_length=256)
    play.to_the_end(by_number)
    assert [length for length in play.lengths[best] if length > 16] == [64]
    assert Counter(play.longest().values())[64] >= 1
    assert sum(len(turn.operations) > 0 for turn in play.turns[done:]) <= 6
    assert set(play.longest().values()) <= {1, 4, 16, 64, 256}


def test_more_trials_take_part_with_those_that_are_there() -> None:
    play = Play(made("async_halving", SPACE, max_length=16, max_trials=16, num_rungs=3, max_concurrent_trials=1))
    play.to_the_end(by_number)
    play.extend(max_trials=32)
    play.to_the_end(lambda attempt: Success(100.0 + attempt.id.trial))
    assert len(play.trials) == 32
    # All that came later is worse: only what was there before climbs.
    assert all(length == 1 for trial, length in play.longest().items() if trial >= 16)


@pytest.mark.parametrize(
    ("name", "keys", "fault"),
    [
        ("random", {"max_trials": 10}, "max_trials is 10 already, so that 10 adds nothing"),
        ("grid", {"max_trials": 100}, "GridSearch cannot go on with another max_trials; max_length can grow"),
        ("async_halving", {"max_length": 3}, "max_length is 16 already"),
        ("hyperband", {"max_length": 300}, "Hyperband cannot go on with another max_length"),
    ],
)
def test_what_cannot_grow_is_said(name: str, keys: dict[str, int], fault: str) -> None:
    method = searcher.create(name, SPACE, seed=1, **KEYS.get(name, {"max_length": 9}))
    assert isinstance(method, searcher.BuiltInMethod)
    assert method.extension_fault(keys).startswith(fault)
