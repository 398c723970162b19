"""Somebody who follows a journal by what is new sees what somebody sees who reads all of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from searcher.play import Play, made

from shadho_like import Shadho, rand, searcher
from shadho_like.dashboard.facts import best_of
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.events import AttemptLost
from shadho_like.experiment import Step
from shadho_like.follow import Follower
from shadho_like.following import Following
from shadho_like.journal import Journal, JournalReader
from shadho_like.overview import Glance, Overview, Rung
from shadho_like.paths import ExperimentPaths
from shadho_like.trial import Success, TrialState

SPACE = {"x": rand.uniform(0, 1)}


def world(**keys: Any) -> SimulatedEngine:
    return SimulatedEngine(World(lambda point, length: (1 + point["x"]) * length, lambda point, length: point["x"] + 1 / length, **keys))


def shown(overview: Overview) -> dict[str, Any]:
    """Return all that can be seen of an overview."""
    return {
        "counts": {state: count for state, count in overview.counts.items() if count},
        "trials": [overview[number] for number in range(overview.last + 1)],
        "open": sorted(overview.open),
        "best": overview.best,
        "rungs": overview.rungs,
        "hosts": overview.hosts,
        "failed": set(overview.failed),
    }


def watched(directory: Path, opt: Shadho) -> Callable[[Step], None]:
    """Return a listener that looks after every pass, and one that looks now and then."""
    followers: list[Follower] = []
    looks = [0]

    def look(_: Step) -> None:
        looks[0] += 1
        with JournalReader(directory) as journal:
            if not followers:
                followers.extend(Follower(journal.config) for _ in range(2))
            anew = Follower(journal.config)
            anew.update(journal)
            for follower, often in zip(followers, (1, 7), strict=True):
                if looks[0] % often == 0:
                    follower.update(journal)
                    assert shown(follower.overview) == shown(anew.overview)
                    assert follower.lost == anew.lost == journal.lost_attempts()
            best = journal.best(smaller_is_better=True)
            assert (anew.overview.best and anew.overview.best.metric) == (best and best.metric)
            assert {state.value: count for state, count in anew.overview.counts.items()} == journal.counts()

    opt.listeners.append(look)
    return look


def test_a_search_with_failures_and_lost_machines(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"max_length": 9, "max_trials": 60, "num_rungs": 3, "divisor": 3, "max_concurrent_trials": 8}
    method = searcher.create("async_halving", SPACE, seed=1, **keys)
    engine = world(workers=4, crash=0.1, loss=0.1)
    opt = Shadho("-", SPACE, method=method, engine=engine, directory=tmp_path / "e", timeout=None, max_resubmissions=1, seed=1)
    watched(tmp_path / "e", opt)
    opt.run()
    with JournalReader(tmp_path / "e") as journal:
        follower = Follower(journal.config)
        follower.update(journal)
    first, *_, last = follower.overview.rungs
    assert (first.length, last.length) == (1, 9)
    assert first.reached == sum(rung.stayed for rung in follower.overview.rungs) > last.reached > 0


def test_a_search_that_is_paused_killed_in_part_and_taken_up_again(tmp_path: Path) -> None:
    directory = tmp_path / "e"
    for limit in (10, 30):
        opt = Shadho("-", SPACE, engine=world(workers=3), directory=directory, timeout=None, max_tasks=limit, seed=2)
        look = watched(directory, opt)

        def wish(step: Step, opt: Shadho = opt) -> None:
            done = step.counts[TrialState.COMPLETED]
            if done in {3, 14} and step.phase.value == "ACTIVE":
                opt.pause()
                opt.kill(trial=done + 2)
            if step.phase.value == "PAUSED":
                opt.activate()

        opt.listeners.insert(0, wish)
        opt.run()
        look(None)  # type: ignore[arg-type]


class Recorded:
    """A played search whose turns are in a journal; after each, two who follow it see what is seen by reading it anew."""

    def __init__(self, directory: Path, play: Play, **config: Any) -> None:
        self.directory, self.play, self._written = directory, play, 0
        self.journal = Journal(ExperimentPaths(directory), {"name": "e", "metric": "loss", "smaller_is_better": True, **config})
        self.look()

    def look(self) -> None:
        self.journal.append(self.play.turns[self._written :])
        if not self._written:
            self.follower, self.following = Follower(self.journal.config), Following(self.directory)
        self._written = len(self.play.turns)
        with JournalReader(self.directory) as journal:
            anew = Follower(journal.config)
            anew.update(journal)
            self.follower.update(journal)
            best = journal.best(smaller_is_better=journal.config["smaller_is_better"])
        self.following.refresh()
        assert best_of(self.following) == best
        assert (self.follower.overview.best and self.follower.overview.best.number) == (best and best.number)
        assert shown(self.follower.overview) == shown(anew.overview)
        assert self.following.seen == Following(self.directory).seen

    def finish(self, most: int = 1000, value: Callable[[int], float] = float) -> None:
        while self.play.wanted and most:
            attempt = max(self.play.wanted)
            self.play.finish(attempt, Success(value(attempt.trial)))
            self.look()
            most -= 1


@pytest.mark.parametrize(("name", "keys"), [("random", {}), ("async_halving", {"num_rungs": 2, "divisor": 2})])
def test_a_search_that_goes_on_to_longer_trials_while_it_runs(tmp_path: Path, name: str, keys: dict[str, int]) -> None:
    """Trials that were over are taken up again, some of them turns later."""
    seen = Recorded(tmp_path / "e", Play(made(name, SPACE, max_length=4, max_trials=12, max_concurrent_trials=2, **keys)))
    seen.finish(8)
    over = set(seen.play.trials) - set(seen.play.state.open_trials())
    assert len(over) > 1
    seen.play.extend(max_length=16)
    seen.look()
    seen.finish()
    assert any(seen.play.longest()[number] > 4 for number in over)
    seen.journal.close()


@pytest.mark.parametrize("smaller_is_better", [True, False])
def test_of_equals_the_best_is_the_one_that_ended_first_wherever_it_is_asked(tmp_path: Path, smaller_is_better: bool) -> None:
    keys = {"max_length": 4, "num_rungs": 2, "divisor": 2, "max_trials": 12, "max_concurrent_trials": 4}
    seen = Recorded(tmp_path / "e", Play(made("async_halving", SPACE, **keys)), smaller_is_better=smaller_is_better)
    seen.finish(value=lambda number: number % 2)
    assert seen.play.state.phase.over
    first = min(trial.finished_s or 0.0 for trial in seen.play.trials.values() if trial.metric == 1 - smaller_is_better)
    assert (best := best_of(seen.following)) is not None
    assert best.finished_s == first
    seen.journal.close()


def test_a_loss_while_it_is_read_counts_once(tmp_path: Path) -> None:
    seen = Recorded(tmp_path / "e", Play(made("random", SPACE, max_trials=5)))
    attempt = min(seen.play.wanted)

    class Busy(JournalReader):
        """Of an experiment whose driver writes between any two readings."""

        def last_turn(self) -> int:
            turn = super().last_turn()
            if not seen.play.state.lost_attempts:
                seen.play.handle(AttemptLost(5.0, attempt, "node", "gone"))
                seen.journal.append(seen.play.turns[-1:])
            return turn

    follower = Follower(seen.journal.config)
    with Busy(seen.directory) as journal:
        for _ in range(2):
            follower.update(journal)
            assert follower.lost == journal.lost_attempts() == 1
    seen.journal.close()


@pytest.mark.parametrize("smaller_is_better", [True, False])
def test_a_directory_that_is_begun_anew(tmp_path: Path, smaller_is_better: bool) -> None:
    first = Recorded(tmp_path / "e", Play(made("random", SPACE, max_trials=5)))
    first.finish()
    first.journal.close()
    shutil.rmtree(tmp_path / "e")
    again = Recorded(tmp_path / "e", Play(made("random", SPACE, max_trials=3)), smaller_is_better=smaller_is_better)
    with JournalReader(again.directory) as journal:
        first.follower.update(journal)
        assert first.follower.config == journal.config
    assert shown(first.follower.overview) == shown(again.follower.overview)
    again.journal.close()


def glance(number: int, state: str = "COMPLETED", metric: float | None = None, validated: int = 1) -> Glance:
    return Glance(number, f"r{number}", TrialState(state), metric, validated, validated, 1, "host", 1.0, float(number))


def test_the_best_is_found_again_when_it_gets_worse() -> None:
    overview = Overview(smaller_is_better=False)
    overview.take([glance(0, "PAUSED", 0.5), glance(1, "PAUSED", 0.9), glance(2, metric=0.7)])
    assert overview.best == glance(1, "PAUSED", 0.9)
    overview.take([glance(1, "PAUSED", 0.6)])
    assert overview.best == glance(2, metric=0.7)
    overview.take([glance(3, metric=0.7), glance(4, metric=0.8)])
    assert overview.best == glance(4, metric=0.8)


def test_one_length_is_no_rung_and_many_are_thinned_out() -> None:
    overview = Overview(smaller_is_better=True)
    overview.take([glance(0), glance(1), glance(2, "FAILED", None, 0)])
    assert overview.rungs == []
    overview.take([glance(3, validated=5)])
    assert overview.rungs == [Rung(1, 3, 2), Rung(5, 1, 1)]
    overview.take(glance(number, validated=number) for number in range(10, 500))
    assert len(overview.rungs) == 12
    assert overview.rungs[0] == Rung(1, 493, 2)
    assert overview.rungs[-1] == Rung(499, 1, 1)


def test_the_rate_falls_while_nothing_ends() -> None:
    overview = Overview(smaller_is_better=True)
    overview.take(glance(number) for number in range(100, 111))
    # One ended in each second, and the next is not late yet.
    assert [overview.per_s(0, now_s) for now_s in (109, 110, 110.5, 111)] == [1.0] * 4
    assert [overview.per_s(0, now_s) for now_s in (122, 1200)] == [11 / 22, 0.01]
    # What ended before this run of the driver tells nothing of it.
    assert (overview.per_s(109, 112), overview.per_s(110, 112)) == (2 / 3, 0.0)


@pytest.mark.parametrize("trials", [0, 1])
def test_little_to_see(tmp_path: Path, trials: int) -> None:
    overview = Overview(smaller_is_better=True)
    overview.take([glance(0, "PENDING", None, 0)][:trials])
    assert (overview.best, overview.rungs, overview.per_s(0, 9), overview.done) == (None, [], 0.0, 0)
