"""Adaptive ASHA, Hyperband and PASHA on metrics that are known: how many trials reach which length."""

from __future__ import annotations

from typing import Any

import pytest
from searcher.play import ERROR, INVALID, Play, any_order, made
from searcher.test_async_halving import SPACE, against_number, by_number, reached

from shadho_like import searcher
from shadho_like.errors import OptionError
from shadho_like.trial import Attempt, Outcome, Success


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"mode": "aggressive", "max_length": 64, "max_trials": 64}, {1: 48, 4: 12, 16: 3, 64: 1}),
        ({"mode": "aggressive", "max_length": 64, "max_trials": 63}, {4: 48, 16: 12, 64: 3}),
        ({"mode": "aggressive", "max_length": 63, "max_trials": 64}, {3: 48, 15: 12, 63: 4}),
        ({"mode": "conservative", "max_length": 16, "max_trials": 30, "max_rungs": 2}, {4: 15, 16: 15}),
        ({"mode": "standard", "max_length": 1, "max_trials": 5}, {1: 5}),
        ({"bracket_rungs": [1, 1], "max_length": 8, "max_trials": 5}, {8: 5}),
        ({"bracket_rungs": [3, 2, 1], "max_length": 16, "max_trials": 2}, {1: 1, 4: 1}),
    ],
)
def test_adaptive_asha(keys: dict[str, Any], expected: dict[int, int]) -> None:
    assert reached("adaptive_asha", by_number, max_concurrent_trials=1, **keys) == expected


def test_adaptive_asha_shares_its_trials_as_the_brackets_train_alike() -> None:
    play = Play(made("adaptive_asha", SPACE, mode="standard", max_length=256, max_trials=1000, max_concurrent_trials=9))
    assert [attempt.length for attempt in play.wanted.values()] == [1, 4, 16] * 3
    play.to_the_end(by_number)
    shortest = [lengths[0] for lengths in play.lengths.values()]
    assert [shortest.count(length) for length in (1, 4, 16)] == [707, 220, 73]


def test_an_unknown_mode_gives_the_nearest() -> None:
    with pytest.raises(OptionError) as caught:
        searcher.create("adaptive_asha", SPACE, max_length=8, max_trials=8, mode="agressive")
    known = "Known: aggressive, conservative, standard."
    assert str(caught.value) == f"unknown mode 'agressive' of adaptive_asha: did you mean 'aggressive'? {known}"


HYPERBAND_27 = {1: 18, 3: 6 + 8, 9: 2 + 3 + 4, 27: 1 + 1 + 2 + 4}
"""The brackets of R = 27, eta = 3: 27, 12, 6 and 4 trials, of which a third climbs at each rung."""


@pytest.mark.parametrize("outcome", [by_number, against_number])
@pytest.mark.parametrize("slots", [1, 5, 100])
def test_hyperband_is_the_papers_whatever_the_order(outcome: Any, slots: int) -> None:
    assert reached("hyperband", outcome, max_length=27, max_concurrent_trials=slots) == HYPERBAND_27


def test_asynchronous_hyperband_does_as_much_on_metrics_that_keep_their_order() -> None:
    assert reached("hyperband", by_number, max_length=27, max_concurrent_trials=1, asynchronous=True) == HYPERBAND_27


def test_hyperband_goes_through_its_brackets_until_there_are_enough_trials() -> None:
    lengths = reached("hyperband", by_number, max_length=27, max_trials=49 + 10)
    assert lengths == {1: 18 + 7, 3: 14 + 2, 9: 9, 27: 8 + 1}


def test_what_a_bracket_leaves_idle_goes_to_the_next() -> None:
    play = Play(made("hyperband", SPACE, max_length=9, max_concurrent_trials=9))
    assert [what.length for what in play.wanted.values()] == [1] * 9
    play.finish(min(play.wanted), Success(0.0))
    assert sorted(what.length for what in play.wanted.values()) == [1] * 8 + [3]


def test_hyperband_cuts_a_rung_only_when_all_of_it_is_there() -> None:
    play = Play(made("hyperband", SPACE, max_length=9, max_concurrent_trials=100))
    first = sorted(attempt for attempt, what in play.wanted.items() if what.length == 1)
    assert len(first) == 9
    for attempt in first[:-1]:
        play.finish(attempt, Success(float(attempt.trial)))
        assert not [what for what in play.wanted.values() if what.id.trial in range(9) and what.length > 1]
    play.finish(first[-1], Success(-1.0))
    assert [what.id.trial for what in play.wanted.values() if what.id.trial in range(9)] == [8, 0, 1]


@pytest.mark.parametrize("slots", [1, 4, 100])
def test_hyperband_replaces_invalid_trials_and_ranks_failed_ones_last(slots: int) -> None:
    def outcome(attempt: Attempt) -> Outcome:
        if attempt.id.trial in {0, 5}:
            return INVALID
        return ERROR if attempt.id.trial % 4 == 1 else by_number(attempt)

    play = Play(made("hyperband", SPACE, max_length=9, max_concurrent_trials=slots))
    play.to_the_end(outcome)
    sizes = 9 + 5 + 3
    assert len(play.lengths) == sizes + 2


def test_pasha_trains_no_longer_than_the_ranking_takes_to_settle() -> None:
    keys = {"max_length": 64, "max_trials": 64, "num_rungs": 4, "max_concurrent_trials": 1}
    assert reached("pasha", by_number, **keys) == {1: 48, 4: 16}


def test_pasha_goes_all_the_way_where_the_ranking_changes_from_rung_to_rung() -> None:
    def outcome(attempt: Attempt) -> Outcome:
        sign = -1 if attempt.length in {4, 64} else 1
        return Success(sign * float(attempt.id.trial))

    lengths = reached("pasha", outcome, max_length=64, max_trials=64, num_rungs=4, max_concurrent_trials=1)
    assert max(lengths) == 64
    assert sum(lengths.values()) == 64


def test_pasha_takes_crossing_curves_for_noise() -> None:
    """Two trials that change places at every rung, never by more than 0.1, do not let the ladder grow to its end."""

    def outcome(attempt: Attempt) -> Outcome:
        place = attempt.length.bit_length() % 2
        pair, side = divmod(attempt.id.trial, 2)
        return Success(10.0 * pair + (0.1 if side == place else 0.0))

    lengths = reached("pasha", outcome, max_length=2**10, max_trials=64, num_rungs=11, divisor=2, max_concurrent_trials=1)
    assert 2 < max(lengths) < 2**10


def test_pasha_with_one_rung_is_a_random_search() -> None:
    play = Play(made("pasha", SPACE, max_length=5, max_trials=7, num_rungs=1))
    play.to_the_end(by_number, any_order(1))
    assert play.longest() == dict.fromkeys(range(7), 5)
