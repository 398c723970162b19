"""The loop: the world is made to agree with the state, and nothing is shown that is not on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from simulation import NumberSampler

from shadho_like.control import RunOptions
from shadho_like.engine.base import EngineStatus, Launch, Notice, Update
from shadho_like.errors import EngineError, JournalError
from shadho_like.events import AttemptFinished, AttemptLost, AttemptStarted, StopReason
from shadho_like.experiment import Experiment, Step
from shadho_like.journal import Journal, JournalReader
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Capacity
from shadho_like.searcher.random import RandomSearch
from shadho_like.trial import Attempt, AttemptId, Success, TrialState

CONFIG = {"name": "e", "seed": 7, "smaller_is_better": True, "metric": "loss"}


@dataclass
class ScriptedEngine:
    """An engine of two slots whose clock moves one second a pass and whose attempts take as long as `seconds` says."""

    asks: ClassVar[bool] = False

    seconds: float = 1.0
    clock_s: float = 1000.0
    has: dict[AttemptId, tuple[Attempt, float]] = field(default_factory=dict)
    started: list[AttemptId] = field(default_factory=list)
    cancelled: list[AttemptId] = field(default_factory=list)
    lose: set[AttemptId] = field(default_factory=set)
    told: set[AttemptId] = field(default_factory=set)
    closed: int = 0
    most: int = 0

    def open(self, launch: Launch) -> None:
        self.launch = launch

    def now(self) -> float:
        return self.clock_s

    def room(self) -> int:
        return 2 - len(self.has)

    def classes(self) -> Sequence[Capacity]:
        return ()

    def submit(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            assert attempt.id not in self.started
            self.started.append(attempt.id)
            self.has[attempt.id] = (attempt, self.clock_s)
        self.most = max(self.most, len(self.has))

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        for attempt in attempts:
            self.cancelled.append(attempt)
            del self.has[attempt]

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        del attempts

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        self.clock_s += min(1.0, timeout_s)
        updates: list[Update] = [Notice("a line")]
        for attempt, (what, since_s) in list(self.has.items()):
            if attempt in self.lose:
                updates.append(AttemptLost(self.clock_s, attempt, "node", "gone"))
            elif self.clock_s - since_s >= self.seconds:
                updates.append(AttemptFinished(self.clock_s, attempt, since_s, "node", Success(what.hparams["x"])))
            else:
                if attempt not in self.told:
                    self.told.add(attempt)
                    updates.append(AttemptStarted(self.clock_s, attempt, "node"))
                continue
            del self.has[attempt]
        return updates

    def status(self) -> EngineStatus:
        return EngineStatus(1, 2)

    def close(self) -> None:
        self.closed += 1


@dataclass
class Fingers:
    """Presses Ctrl-C at the given passes."""

    at: list[int]
    fd: int = -1
    count: int = 0
    terminations: int = 0
    passes: int = 0

    def clear(self) -> None:
        pass

    def presses(self) -> int:
        return 0


def searched(root: Path, engine: ScriptedEngine, options: RunOptions, fingers: Fingers | None = None) -> list[Step]:
    journal = Journal(ExperimentPaths(root), CONFIG)
    try:
        experiment = Experiment(journal, RandomSearch(NumberSampler(), max_concurrent_trials=4))
        steps = []
        for step in experiment.run(engine, Launch("e", ExperimentPaths(root)), options, fingers):
            with JournalReader(root) as reader:
                assert reader.counts().get("COMPLETED", 0) == step.counts[TrialState.COMPLETED]
            steps.append(step)
            if fingers is not None:
                fingers.passes += 1
                fingers.count += fingers.passes in fingers.at
        return steps
    finally:
        journal.close()


def numbers(root: Path, state: str) -> list[int]:
    with JournalReader(root) as reader:
        return [trial.number for trial in reader.trials() if trial.state.value == state]


def test_a_search_runs_to_its_number_of_trials_within_the_engines_room(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    steps = searched(tmp_path, engine, RunOptions(max_trials=7))
    assert numbers(tmp_path, "COMPLETED") == list(range(7))
    assert engine.most == 2
    assert engine.closed == 1
    assert steps[-1].notices == ("a line",)
    assert steps[-1].best is not None


def test_the_timeout_cancels_what_runs_and_a_second_run_finishes_it(tmp_path: Path) -> None:
    engine = ScriptedEngine(seconds=10)
    steps = searched(tmp_path, engine, RunOptions(timeout_s=15, max_trials=4))
    assert engine.clock_s == 1015.0
    assert steps[-1].stopping is StopReason.TIMEOUT
    assert steps[-1].stopped == 2
    assert engine.cancelled == [AttemptId(2, 1), AttemptId(3, 1)]
    again = ScriptedEngine(seconds=10, clock_s=5000.0)
    searched(tmp_path, again, RunOptions(timeout_s=100, max_trials=4))
    assert again.started == [AttemptId(2, 2), AttemptId(3, 2)]
    assert numbers(tmp_path, "COMPLETED") == [0, 1, 2, 3]


def test_awaiting_pending_trials_lets_them_finish_after_the_timeout(tmp_path: Path) -> None:
    engine = ScriptedEngine(seconds=10)
    searched(tmp_path, engine, RunOptions(timeout_s=5, drain=True))
    assert numbers(tmp_path, "COMPLETED") == [0, 1]
    assert not engine.cancelled
    assert engine.started == [AttemptId(0, 1), AttemptId(1, 1)]


def test_one_interrupt_stops_as_the_timeout_does_and_a_second_at_once(tmp_path: Path) -> None:
    once = ScriptedEngine(seconds=10)
    searched(tmp_path / "once", once, RunOptions(drain=True), Fingers([3]))
    assert numbers(tmp_path / "once", "COMPLETED") == [0, 1]
    twice = ScriptedEngine(seconds=10)
    searched(tmp_path / "twice", twice, RunOptions(drain=True), Fingers([3, 5]))
    assert twice.cancelled == [AttemptId(0, 1), AttemptId(1, 1)]
    assert twice.clock_s == 1006.0


def test_a_lost_attempt_goes_first_again_and_costs_no_trial(tmp_path: Path) -> None:
    engine = ScriptedEngine(lose={AttemptId(1, 1)})
    searched(tmp_path, engine, RunOptions(max_trials=6))
    assert engine.started.index(AttemptId(1, 2)) < engine.started.index(AttemptId(4, 1))
    assert numbers(tmp_path, "COMPLETED") == list(range(6))


def test_a_search_that_has_ended_starts_nothing_when_run_again(tmp_path: Path) -> None:
    searched(tmp_path, ScriptedEngine(), RunOptions(max_trials=3))
    engine = ScriptedEngine()
    assert searched(tmp_path, engine, RunOptions(max_trials=3)) == []
    assert engine.started == []
    assert engine.closed == 1


class WideEngine(ScriptedEngine):
    """Has 50 slots, of which three at first."""

    def room(self) -> int:
        return 50 - len(self.has)

    def status(self) -> EngineStatus:
        return EngineStatus(50, 50 if self.clock_s > 1010 else 3)


def test_slots_that_the_search_method_leaves_idle_are_told_of_once(tmp_path: Path) -> None:
    steps = searched(tmp_path, WideEngine(seconds=7), RunOptions(max_trials=60))
    lines = [(step.elapsed_s, line) for step in steps for line in step.notices if line != "a line"]
    text = (
        "RandomSearch asks for 4 trials at once at most, and 50 could run: 46 places stay idle; a new experiment uses all with "
        "max_concurrent_trials=50 of its search method, or max_queued_tasks of a driver that gives the method by its name"
    )
    [(said_s, line)] = lines
    assert line == text
    assert 40 <= said_s <= 44


@pytest.mark.parametrize("options", [RunOptions(max_trials=4), RunOptions(timeout_s=35)], ids=["all trials run", "too short"])
def test_idle_slots_that_nothing_would_fill_are_no_line(tmp_path: Path, options: RunOptions) -> None:
    steps = searched(tmp_path, WideEngine(seconds=100), options)
    assert {line for step in steps for line in step.notices} == {"a line"}


def test_slots_that_a_limit_on_running_trials_leaves_idle_are_not_meant(tmp_path: Path) -> None:
    journal = Journal(ExperimentPaths(tmp_path), CONFIG)
    experiment = Experiment(journal, RandomSearch(NumberSampler(), max_concurrent_trials=4))
    launch = Launch("e", ExperimentPaths(tmp_path), most_running=4)
    steps = list(experiment.run(WideEngine(seconds=50), launch, RunOptions(max_trials=8)))
    journal.close()
    assert {line for step in steps for line in step.notices} == {"a line"}


class BreakingEngine(ScriptedEngine):
    """Dies after three passes."""

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        if self.clock_s >= 1003.0:
            message = "the engine died"
            raise EngineError(message)
        return super().wait(timeout_s, wake_fd)


def test_an_engine_that_dies_loses_no_finished_trial(tmp_path: Path) -> None:
    engine = BreakingEngine()
    with pytest.raises(EngineError, match="the engine died"):
        searched(tmp_path, engine, RunOptions(max_trials=20))
    assert engine.closed == 1
    done = numbers(tmp_path, "COMPLETED")
    assert done
    again = ScriptedEngine()
    searched(tmp_path, again, RunOptions(max_trials=20))
    assert numbers(tmp_path, "COMPLETED") == list(range(20))
    assert not {attempt.trial for attempt in again.started} & set(done)


def test_a_journal_that_cannot_be_written_ends_the_run_with_everything_before_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine()
    real, calls = Journal.append, []

    def full_disk(self: Journal, turns: Sequence[object], *_: object) -> None:
        calls.append(1)
        if len(calls) > 3:
            message = "database or disk is full"
            raise JournalError(message, transient=True)
        real(self, turns)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "append", full_disk)
    with pytest.raises(JournalError, match="disk is full"):
        searched(tmp_path, engine, RunOptions(max_trials=20))
    assert engine.closed == 1
    assert numbers(tmp_path, "COMPLETED") == [0, 1, 2, 3]
