"""Which compute class gets which attempt: fair, never idle beside a queue, the same for the same events, and where it pays."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadho_like.dispatch import Assignment, MeasuredCost, RankOrder, Rule, RunTimes
from shadho_like.dispatch.priorities import Priorities
from shadho_like.dispatch.rules import neighbours
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.events import AttemptFinished, AttemptStarted
from shadho_like.resources import Capacity
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Success

LEAVES = ("cnn", "svm", "tree")
CLASSES = ("gpu", "cpu", "old")
FACTORS = st.floats(1, 20)


@dataclass
class Played:
    """What a search in a simulated cluster showed."""

    begun: list[tuple[int, str]] = field(default_factory=list)
    ended: Counter[int] = field(default_factory=Counter)
    longest_wait: int = 0


def play(
    rule: Rule,
    times: RunTimes,
    seconds: dict[tuple[str, str], float],
    workers: dict[str, int],
    trials: int,
    seed: int = 1,
    most_open: int = 12,
) -> Played:
    """Run trials of random leaf spaces to their ends, checking after each step that no class is idle beside a queue."""
    world = World(lambda hparams, _, name: seconds[hparams["leaf"], name] * hparams["luck"], lambda *_: 1.0, classes=workers)
    engine, rng, played = SimulatedEngine(world, 0.0), random.Random(seed), Played()
    assignment, waits, created = Assignment(lambda hparams: str(hparams["leaf"]), times, rule), dict[AttemptId, int](), 0
    while sum(played.ended.values()) < trials:
        while created < trials and created - sum(played.ended.values()) < most_open:
            hparams = {"leaf": rng.choice(LEAVES), "luck": rng.uniform(0.5, 1.5)}
            waits[AttemptId(created, 1)] = len(played.begun)
            assignment.add([Attempt(AttemptId(created, 1), hparams, 0)])
            created += 1
        orders = assignment.assign(engine.classes(), engine.now())
        engine.cancel(orders.recalled)
        engine.submit(orders.submitted)
        assert not (any(each.idle for each in engine.classes()) and created - len(played.begun) > _begins_now(engine))
        for update in engine.wait(1e9):
            if isinstance(update, AttemptStarted):
                assignment.note(update)
                played.longest_wait = max(played.longest_wait, len(played.begun) - waits[update.attempt])
                played.begun.append((update.attempt.trial, update.host))
            elif isinstance(update, AttemptFinished):
                assignment.note(update)
                played.ended[update.attempt.trial] += 1
    return played


def _begins_now(engine: SimulatedEngine) -> int:
    """Return how many attempts have begun, and were not said to have."""
    return sum(isinstance(update, AttemptStarted) for update in engine._updates)


worlds = st.tuples(
    st.fixed_dictionaries({(leaf, name): FACTORS for leaf in LEAVES for name in CLASSES}),
    st.fixed_dictionaries({name: st.integers(1, 4) for name in CLASSES}),
)


def rules() -> list[tuple[Rule, RunTimes]]:
    times = RunTimes(dict.fromkeys(LEAVES, 1.0), CLASSES)
    return [(MeasuredCost(times), times), (RankOrder(CLASSES, LEAVES, {"cnn": 3.0, "svm": 2.0, "tree": 1.0}), RunTimes())]


@given(worlds, st.integers(0, 1), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_each_trial_runs_once_and_none_is_passed_over_for_long(
    world: tuple[dict[tuple[str, str], float], dict[str, int]], which: int, seed: int
) -> None:
    rule, times = rules()[which]
    played = play(rule, times, *world, trials=150, seed=seed)
    assert played.ended == Counter(range(150))
    assert Counter(trial for trial, _ in played.begun).keys() == played.ended.keys()
    # By ranks, what only slow classes are for waits for them, until nothing else is open.
    assert played.longest_wait < 150 * (0.5, 0.8)[which]


@given(worlds, st.integers(0, 1))
@settings(max_examples=10, deadline=None)
def test_the_same_events_give_the_same_orders(world: tuple[dict[tuple[str, str], float], dict[str, int]], which: int) -> None:
    assert play(*rules()[which], *world, trials=60).begun == play(*rules()[which], *world, trials=60).begun


def test_each_leaf_space_goes_where_it_is_fast() -> None:
    times = RunTimes()
    seconds = {(leaf, name): 1.0 if leaf == fast else 4.0 for name, fast in zip(CLASSES, LEAVES, strict=True) for leaf in LEAVES}
    played = play(MeasuredCost(times), times, seconds, dict.fromkeys(CLASSES, 3), trials=300, most_open=30)
    for leaf, fast in zip(LEAVES, CLASSES, strict=True):
        assert all(times.seconds(leaf, fast, 1e6) < times.seconds(leaf, name, 1e6) for name in CLASSES if name != fast)
    where = Counter((leaf, name) for leaf in LEAVES for name in CLASSES for _ in range(times.count(leaf, name)))
    assert sum(where[leaf, name] for leaf, name in zip(LEAVES, CLASSES, strict=True)) > 0.7 * len(played.begun)


def test_what_runs_longer_than_its_kind_counts_as_long_as_it_ran() -> None:
    times = RunTimes()
    for number in range(30):
        times.started(AttemptId(number, 1), "cnn", "cpu", 1, 0.0)
    for number in range(20):
        times.ended(AttemptId(number, 1), 100.0, counts=True)
    assert times.seconds("cnn", "cpu", 90.0) == pytest.approx(100.0)
    assert times.seconds("cnn", "cpu", 1000.0) == pytest.approx((20 * 100 + 10 * 1000) / 30, rel=0.1)
    for number in range(20, 30):
        times.ended(AttemptId(number, 1), 2000.0, counts=False)
    assert times.seconds("cnn", "cpu", 3000.0) == pytest.approx(100.0, rel=0.01)


def test_run_times_are_per_unit_of_training_and_outlive_the_driver() -> None:
    times = RunTimes({"cnn": 10.0, "svm": 1.0})
    for number in range(100):
        leaf, name = ("cnn", "svm")[number % 2], ("gpu", "cpu")[number // 2 % 2]
        length = 1 + number % 3
        times.started(AttemptId(number, 1), leaf, name, length, 0.0)
        times.ended(AttemptId(number, 1), (20.0 if leaf == "cnn" else 5.0) * length, counts=True)
    assert times.seconds("cnn", "gpu", 0.0) == pytest.approx(20.0, rel=0.1)
    assert times.seconds("svm", "cpu", 0.0) == pytest.approx(5.0, rel=0.1)
    again = RunTimes({"cnn": 10.0, "svm": 1.0})
    again.restore(times.to_json())
    assert again.to_json() == times.to_json()
    assert again.seconds("svm", "gpu", 0.0) == pytest.approx(times.seconds("svm", "gpu", 0.0), rel=0.05)


def test_before_anything_ran_the_complex_ones_go_to_the_class_that_was_declared_first() -> None:
    times = RunTimes({"cnn": 10.0, "svm": 1.0}, ["gpu", "cpu"])
    rule = MeasuredCost(times)
    assert rule.choose("gpu", {"svm": 1, "cnn": 1}, 0.0) == "cnn"
    assert rule.choose("cpu", {"cnn": 1, "svm": 1}, 0.0) == "svm"
    assert rule.choose("cpu", {}, 0.0) is None


@given(st.integers(1, 12), st.integers(1, 12))
def test_by_rank_each_leaf_space_has_two_classes_and_no_class_is_left_out(leaves: int, classes: int) -> None:
    pairs = neighbours([f"leaf {n}" for n in range(leaves)], [f"class {n}" for n in range(classes)])
    assert {leaf for leaf, _ in pairs} == {f"leaf {n}" for n in range(leaves)}
    assert {name for _, name in pairs} == {f"class {n}" for n in range(classes)}
    if leaves >= classes > 1:
        assert set(Counter(leaf for leaf, _ in pairs).values()) == {2}
    assert ("leaf 0", "class 0") in pairs


def test_ranks_by_priority_follow_what_trials_bring() -> None:
    priorities = Priorities(lambda _, hparams: [float(hparams["x"])])
    rng = random.Random(1)
    for _ in range(30):
        x = rng.random()
        priorities.learn("flat", {"x": x}, 1.0)
        priorities.learn("bent", {"x": x}, math.sin(9 * x**3))
    assert priorities.of("new") > priorities.of("bent") > priorities.of("flat") == 0
    rule = RankOrder(["gpu", "cpu", "old"], ["flat", "bent", "new"], priorities=priorities)
    waits = {"flat": 9, "bent": 5, "new": 1}
    assert rule.choose("gpu", {"flat": 9, "new": 1}, 0.0) == "new"
    assert rule.choose("old", waits, 0.0) == "flat"
    assert rule.choose("gpu", {"flat": 9}, 0.0) == "flat"
    strict = RankOrder(["gpu", "cpu", "old"], ["flat", "bent", "new"], priorities=priorities, strict=True)
    assert strict.choose("gpu", {"flat": 9}, 0.0) is None


def test_a_class_whose_workers_have_gone_keeps_nothing() -> None:
    assignment = Assignment(lambda _: "all")
    attempts = [Attempt(AttemptId(number, 1), {}, 0) for number in range(4)]
    assignment.add(attempts)
    first = assignment.assign([Capacity("gpu", 1, 2, 1), Capacity("cpu", 1, 2, 1)], 0.0)
    assert sorted(attempt.compute_class or "" for attempt in first.submitted) == ["cpu", "cpu", "gpu", "gpu"]
    assignment.note(AttemptStarted(1.0, AttemptId(0, 1), "host"))
    second = assignment.assign([Capacity("gpu", 0, 0, 0), Capacity("cpu", 1, 2, 0)], 60.0)
    gone = {attempt.id for attempt in first.submitted if attempt.compute_class == "gpu"} - {AttemptId(0, 1)}
    assert set(second.recalled) == gone
    assert {attempt.id for attempt in second.submitted} == gone
    assert all(attempt.compute_class == "cpu" for attempt in second.submitted)


def test_a_class_that_could_begin_takes_what_waits_for_another() -> None:
    assignment = Assignment(lambda _: "all")
    assignment.add([Attempt(AttemptId(number, 1), {}, 0) for number in range(3)])
    assignment.assign([Capacity("gpu", 1, 3, 1), Capacity("cpu", 1, 0, 0)], 0.0)
    assignment.note(AttemptStarted(0.0, AttemptId(0, 1), "host"))
    orders = assignment.assign([Capacity("gpu", 1, 0, 0), Capacity("cpu", 1, 2, 1)], 1.0)
    assert orders.recalled == (AttemptId(2, 1),)
    assert [(attempt.id, attempt.compute_class) for attempt in orders.submitted] == [(AttemptId(2, 1), "cpu")]
    assert not assignment.discard(AttemptId(2, 1))
    assignment.note(AttemptFinished(2.0, AttemptId(2, 1), 1.0, "host", Success(1.0)))
    assert assignment.news() == []


def test_no_more_go_than_may_and_an_idle_class_takes_what_waits_for_another() -> None:
    assignment = Assignment(lambda _: "all")
    assignment.add([Attempt(AttemptId(number, 1), {}, 0) for number in range(5)])
    first = assignment.assign([Capacity("gpu", 0, 9, 0), Capacity("cpu", 0, 0, 0)], 0.0, 2)
    assert [attempt.compute_class for attempt in first.submitted] == ["gpu", "gpu"]
    second = assignment.assign([Capacity("gpu", 0, 7, 0), Capacity("cpu", 1, 2, 1)], 1.0, 0)
    assert [(attempt.id, attempt.compute_class) for attempt in second.submitted] == [(AttemptId(1, 1), "cpu")]
    assert second.recalled == (AttemptId(1, 1),)
    third = assignment.assign([Capacity("gpu", 0, 0, 0), Capacity("cpu", 1, 9, 0)], 2.0, 1)
    assert (third.recalled, len(third.submitted)) == ((AttemptId(0, 1),), 2)


def test_failures_say_nothing_about_run_times_but_for_the_time_limit() -> None:
    for kind, counted in ((FailureKind.ERROR, 0), (FailureKind.TIME_LIMIT, 1)):
        assignment = Assignment(lambda _: "all")
        assignment.add([Attempt(AttemptId(0, 1), {}, 0)])
        assignment.assign([Capacity("gpu", 1, 1, 1)], 0.0)
        assignment.note(AttemptFinished(5.0, AttemptId(0, 1), 1.0, "host", Failure(kind, "it failed")))
        assert assignment.times.count("all", "gpu") == counted
        assert bool(assignment.news()) is bool(counted)


def test_where_there_are_no_classes_any_more_what_waits_for_one_is_given_back() -> None:
    assignment = Assignment(lambda _: "all")
    attempts = [Attempt(AttemptId(number, 1), {}, 0) for number in range(3)]
    assignment.add(attempts)
    submitted = assignment.assign([Capacity("gpu", 1, 1, 1)], 0.0).submitted
    assert [attempt.id for attempt in submitted] == [AttemptId(0, 1)]
    assert assignment.give_back() == attempts[1:]
    assert assignment.give_back() == []
    assert assignment.assign([Capacity("gpu", 1, 1, 1)], 0.0).submitted == ()
