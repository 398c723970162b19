"""Binary search: the boundary is right, the same for every number of slots and order of answers, and found in few rounds."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searcher.play import ERROR, INVALID, Play, made

from shadho_like.errors import OptionError
from shadho_like.searcher.binary import BinarySearch, Bracket
from shadho_like.trial import Attempt, AttemptId, Outcome, Success

UNHURRIED = settings(deadline=None, max_examples=300)
slots = st.sampled_from([1, 2, 3, 4, 8, 16])
ranges = st.tuples(st.integers(-100, 100), st.integers(1, 200)).map(lambda pair: (pair[0], pair[0] + pair[1]))
SWEEP: dict[str, list[Any]] = {"seed": [1, 2, 3], "nested.kind": ["a", "b"]}


def search(bounds: Any, precision: Any, *, slots: int = 1, **keys: Any) -> Play:
    keys = {"prop": "n", "range": bounds, "precision": precision, "success_direction_lower": False, "max_concurrent_trials": slots, **keys}
    return Play(made("binary", {"other": 7}, **keys))


def bracket(play: Play) -> Bracket:
    method = play.state.method
    assert isinstance(method, BinarySearch)
    return method.bracket


def passes_below(threshold: float, *, lower: bool = True) -> Callable[[Attempt], Outcome]:
    return lambda attempt: Success(float((attempt.hparams["n"] < threshold) == lower))


def expected(points: list[float], threshold: float, *, lower: bool) -> tuple[float | None, float | None]:
    good = [point for point in points if (point < threshold) == lower]
    bad = [point for point in points if (point < threshold) != lower]
    best, worst = (max, min) if lower else (min, max)
    return (best(good) if good else None, worst(bad) if bad else None)


@UNHURRIED
@given(bounds=ranges, precision=st.integers(1, 7), place=st.floats(-0.1, 1.1), lower=st.booleans(), slots=slots, order=st.integers())
def test_the_boundary_is_that_of_the_grid_for_all_slots_and_orders(
    bounds: tuple[int, int], precision: int, place: float, lower: bool, slots: int, order: int
) -> None:
    threshold = bounds[0] + place * (bounds[1] - bounds[0])
    play = search(bounds, precision, slots=slots, success_direction_lower=not lower)
    chosen = random.Random(order)
    play.to_the_end(passes_below(threshold, lower=lower), chosen.choice)
    assert play.busiest <= slots
    assert play.progress == sorted(play.progress)
    assert (play.progress[0], play.progress[-1]) == (0.0, 1.0)
    method = play.state.method
    assert isinstance(method, BinarySearch)
    cells = math.ceil((bounds[1] - bounds[0]) / precision)
    points = [method.value(point) for point in range(cells + 1)]
    assert {*map(type, points)} == {int}
    assert max(abs(after - before) for before, after in itertools.pairwise(points)) <= precision
    assert (bracket(play).achieved, bracket(play).failed) == expected(points, threshold, lower=lower)
    assert not bracket(play).contradictions


def rounds_of(play: Play, threshold: float) -> int:
    """Return how many rounds a search takes whose tests all take as long, answered in the order in which they began."""
    rounds = 0
    while play.wanted:
        rounds += 1
        for attempt in sorted(play.wanted):
            if attempt in play.wanted:
                play.finish(attempt, passes_below(threshold)(play.wanted[attempt]))
    return rounds


@UNHURRIED
@given(bounds=ranges, precision=st.sampled_from([1, 2, 0.5]), place=st.floats(-0.1, 1.1), slots=slots)
def test_at_equal_run_times_each_round_divides_by_the_slots_and_one(bounds: tuple[int, int], precision: float, place: float, slots: int) -> None:
    threshold = bounds[0] + place * (bounds[1] - bounds[0])
    cells = max(2, math.ceil((bounds[1] - bounds[0]) / precision))
    rounds = rounds_of(search(bounds, precision, slots=slots), threshold)
    assert rounds <= math.ceil(math.log(cells) / math.log(slots + 1) - 1e-9) + 1


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 8])
def test_slots_save_rounds(slots: int) -> None:
    cells = 100
    rounds = [rounds_of(search((0, cells), 1, slots=slots), place - 0.5) for place in range(cells + 1)]
    assert statistics.mean(rounds) <= math.log(cells) / math.log(slots + 1) + 0.5


def test_one_slot_is_plain_bisection() -> None:
    play = search((0.0, 8.0), 1.0)
    tested = []
    while play.wanted:
        [attempt] = play.wanted.values()
        tested.append(attempt.hparams["n"])
        play.finish(attempt.id, passes_below(5.5)(attempt))
    assert tested == [4, 6, 5]
    assert bracket(play) == Bracket(5.0, 6.0, ())


@pytest.mark.parametrize(("threshold", "found"), [(-1, Bracket(None, 0, ())), (99, Bracket(8, None, ()))])
def test_the_ends_are_tested_where_everything_passes_or_fails(threshold: float, found: Bracket) -> None:
    play = search((0, 8), 1, slots=3)
    play.to_the_end(passes_below(threshold))
    assert bracket(play) == found


def test_a_point_passes_if_its_whole_sweep_does_and_one_failure_decides() -> None:
    play = search((10, 100), 1, slots=6, sweep_props=SWEEP)
    seen: set[tuple[int, str]] = set()

    def outcome(attempt: Attempt) -> Outcome:
        seen.add((attempt.hparams["seed"], attempt.hparams["nested"]["kind"]))
        assert attempt.hparams["other"] == 7
        limit = 40 if attempt.hparams["seed"] == 2 else 60
        return Success(float(attempt.hparams["n"] < limit))

    play.to_the_end(outcome)
    assert bracket(play) == Bracket(39, 40, ())
    assert len(seen) == 6
    assert play.state.counts["STOPPED"] > 0  # type: ignore[index]


def test_what_says_nothing_is_asked_again_and_in_the_end_fails() -> None:
    asked: dict[int, int] = {}

    def outcome(attempt: Attempt) -> Outcome:
        value = attempt.hparams["n"]
        asked[value] = asked.get(value, 0) + 1
        if value == 4:
            return ERROR if asked[value] % 2 else Success(0.5)
        return INVALID if value > 5 else Success(1.0)

    play = search((0, 8), 1, max_inconclusive=3)
    play.to_the_end(outcome)
    assert bracket(play) == Bracket(3, 4, ())
    assert asked[4] == 4


def test_a_contradiction_is_told() -> None:
    play = search((0, 8), 1, slots=3)
    wanted = sorted(play.wanted.values(), key=lambda attempt: float(attempt.hparams["n"]))
    assert [attempt.hparams["n"] for attempt in wanted] == [2, 4, 6]
    method = play.state.method
    assert isinstance(method, BinarySearch)
    method._bisection.answer(5, passes=True)
    method._bisection.answer(3, passes=False)
    assert bracket(play).contradictions == ((3, False),)


def test_a_logarithmic_scale() -> None:
    play = search((1e-5, 1.0), 1.25, slots=4, scale="log")
    play.to_the_end(passes_below(3e-3))
    found = bracket(play)
    assert found.achieved is not None
    assert found.failed is not None
    assert found.achieved < 3e-3 <= found.failed <= 1.25 * found.achieved * (1 + 1e-9)


@UNHURRIED
@given(order=st.integers(), slots=slots, threshold=st.floats(0, 110))
def test_saved_and_loaded_after_every_event_it_does_the_same(order: int, slots: int, threshold: float) -> None:
    keys: dict[str, Any] = {"prop": "n", "range": (10, 100), "precision": 1, "sweep_props": {"seed": [1, 2]}}
    keys["success_direction_lower"] = False
    keys["max_concurrent_trials"] = slots
    plays = [Play(made("binary", {}, **keys), reload=reload) for reload in (False, True)]
    for play in plays:
        chosen = random.Random(order)

        def choose(attempts: list[AttemptId], chosen: random.Random = chosen) -> AttemptId:
            return chosen.choice(attempts)

        play.to_the_end(passes_below(threshold), choose)
    assert [turn.operations for turn in plays[0].turns] == [turn.operations for turn in plays[1].turns]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"range": (5, 1)}, "range of the binary search is its lowest and its highest value, as in (10, 100), not (5, 1)"),
        ({"range": (1, float("nan"))}, "range of the binary search is"),
        ({"precision": 0}, "precision of the binary search must be above 0, not 0"),
        ({"scale": "log", "precision": 1}, "precision of the binary search must be a ratio above 1, not 1"),
        ({"scale": "log", "range": (0, 1), "precision": 2}, "the range of a binary search on a logarithmic scale must be above 0"),
        ({"scale": "cubic"}, "scale of the binary search is one of linear, log, not 'cubic'"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as refused:
        search(**{"bounds": (10, 100), "precision": 1, **{("bounds" if key == "range" else key): value for key, value in keys.items()}})
    assert message in str(refused.value)
