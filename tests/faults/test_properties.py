"""A state machine over the loop, the journal, the search methods and checkpoints, against a model: whatever happens in whatever order."""

from __future__ import annotations

import itertools
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import promises
import pytest
import shadho_checkpoint
from contracts.method_contract import KEYS, methods
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from ledger import Ledger
from puppet import Play
from shadho_storage import Checkpoints

from shadho_like.events import Action, AttemptFinished, AttemptLost, AttemptStarted
from shadho_like.phase import Phase
from shadho_like.trial import Attempt, Failure, FailureKind, Outcome, Success, TrialState

choices = st.integers(0, 10**6)
FAILURES = (
    Failure(FailureKind.EXIT_CODE, "exit status 3"),
    Failure(FailureKind.BAD_RESULT, "the objective returned nan"),
    Failure(FailureKind.INVALID_HP, "too large"),
    Failure(FailureKind.PREEMPTED, "it took a checkpoint"),
)


class Faults(RuleBasedStateMachine):
    """What may happen to a search. `ledger` and `folder` are given by the test."""

    ledger: Ledger
    folder: Path
    count = itertools.count()

    @initialize(
        data=st.data(), slots=st.integers(1, 4), max_restarts=st.integers(0, 2), max_trials=st.none() | st.integers(1, 30)
    )
    def begins(self, data: st.DataObject, slots: int, max_restarts: int, max_trials: int | None) -> None:
        self.fresh, _ = data.draw(methods(data.draw(st.sampled_from(sorted(KEYS)), label="method")))
        self.limited = max_trials is not None
        self.saved: dict[int, dict[str, bool]] = {}
        self.ended: list[AttemptFinished | AttemptLost] = []
        self.place = self.folder / str(next(self.count))
        self.play = Play(self.place, self.fresh, slots, max_restarts, max_trials)
        self.ledger.runs += 1

    def chosen(self, choice: int) -> Attempt:
        return self.play.engine.has[sorted(self.play.engine.has)[choice % len(self.play.engine.has)]]

    def fault(self) -> None:
        self.ledger.fault("properties")

    @property
    def busy(self) -> bool:
        return self.play.running and bool(self.play.engine.has)

    def ends(self, attempt: Attempt, outcome: Outcome) -> AttemptFinished:
        now_s = self.play.engine.clock_s
        self.ended.append(AttemptFinished(now_s, attempt.id, now_s - 1, "node", outcome))
        return self.ended[-1]  # type: ignore[return-value]

    @precondition(lambda self: self.busy)
    @rule(choice=choices, again=st.booleans())
    def an_attempt_starts(self, choice: int, again: bool) -> None:
        event = AttemptStarted(self.play.engine.clock_s, self.chosen(choice).id, "node")
        self.play.tell(event, *([event] if again else []))

    @precondition(lambda self: self.busy)
    @rule(choice=choices, metric=st.floats(0, 1), twice=st.booleans())
    def an_attempt_brings_a_metric(self, choice: int, metric: float, twice: bool) -> None:
        event = self.ends(self.chosen(choice), Success(metric))
        self.play.tell(event, *([event] if twice else []))

    @precondition(lambda self: self.busy)
    @rule(choice=choices, failure=st.sampled_from(FAILURES))
    def an_attempt_fails(self, choice: int, failure: Failure) -> None:
        self.fault()
        self.play.tell(self.ends(self.chosen(choice), failure))

    @precondition(lambda self: self.busy)
    @rule(choice=choices)
    def a_worker_is_lost(self, choice: int) -> None:
        self.fault()
        attempt = self.chosen(choice)
        self.ended.append(AttemptLost(self.play.engine.clock_s, attempt.id, "node", "the worker went away"))
        self.play.tell(self.ended[-1])

    @precondition(lambda self: self.play.running and self.ended)
    @rule(choice=choices)
    def an_answer_comes_late(self, choice: int) -> None:
        event = self.ended[choice % len(self.ended)]
        if event.attempt not in self.play.engine.has:
            self.fault()
            self.play.tell(event)

    @precondition(lambda self: self.busy)
    @rule(choice=choices)
    def the_disk_is_full(self, choice: int) -> None:
        self.fault()
        attempt = self.chosen(choice)
        self.play.tell_full_disk(AttemptFinished(self.play.engine.clock_s, attempt.id, 0.0, "node", Success(0.5)))

    @precondition(lambda self: self.play.running)
    @rule()
    def the_driver_dies(self) -> None:
        self.fault()
        self.play.die()
        promises.legal(self.play.root, self.fresh)

    @precondition(lambda self: self.play.running)
    @rule(action=st.sampled_from([Action.PAUSE, Action.ACTIVATE]))
    def the_user_asks(self, action: Action) -> None:
        self.play.wish(action)

    @precondition(lambda self: not self.play.running)
    @rule(timeout_s=st.none() | st.integers(1, 5), drain=st.booleans())
    def a_driver_starts(self, timeout_s: int | None, drain: bool) -> None:
        self.play.start(timeout_s, drain=drain)

    @precondition(lambda self: self.busy)
    @rule(choice=choices)
    def a_checkpoint_is_saved(self, choice: int) -> None:
        attempt = self.chosen(choice)
        with self.checkpoints(attempt).store_path() as (path, name):
            Path(path, "state").write_text(name)
        self.saved.setdefault(attempt.id.trial, {})[name] = True

    @precondition(lambda self: self.busy)
    @rule(choice=choices)
    def saving_a_checkpoint_fails(self, choice: int) -> None:
        self.fault()
        with suppress(OSError), self.checkpoints(self.chosen(choice)).store_path() as (path, _):
            Path(path, "state").write_text("half")
            raise OSError("the disk is full")

    @precondition(lambda self: self.saved)
    @rule(choice=choices)
    def a_checkpoint_is_damaged(self, choice: int) -> None:
        trial = sorted(self.saved)[choice % len(self.saved)]
        for name in shadho_checkpoint.ids(self.play.checkpoints, trial)[:1]:
            self.fault()
            Path(shadho_checkpoint.folder_of(self.play.checkpoints, name), "state").write_text("?")
            self.saved[trial][name] = False

    @precondition(lambda self: self.busy)
    @rule(choice=choices)
    def an_attempt_resumes(self, choice: int) -> None:
        attempt = self.chosen(choice)
        offered = self.checkpoints(attempt).latest(attempt.start_from)
        source = attempt.id.trial if self.saved.get(attempt.id.trial) else int((attempt.start_from or "-1").partition(".")[0])
        saved = self.saved.get(source, {})
        if offered is not None:
            sound = [name for trial in self.saved.values() for name, is_sound in trial.items() if is_sound]
            promises.keep([] if offered.id in sound else [f"{offered.id} was offered, but is not as it was saved"])
            assert Path(offered.path, "state").read_text() == offered.id
        newest = max(saved, key=lambda name: tuple(map(int, name.split("."))), default=None)
        if newest is not None and saved[newest] and offered is None:
            promises.keep([f"{newest} was saved and not offered to {attempt}"])
        if newest is not None and saved[newest] and source == attempt.id.trial:
            assert offered is not None
            promises.keep([] if offered.id == newest else [f"{offered.id} was offered instead of {newest}"])

    def checkpoints(self, attempt: Attempt) -> Checkpoints:
        return Checkpoints(self.play.checkpoints, *attempt.id, report=lambda *_, **__: None, length=lambda: attempt.length)

    @invariant()
    def the_journal_says_what_was_told(self) -> None:
        if hasattr(self, "play"):
            self.play.check()

    def teardown(self) -> None:
        """Let the search end in peace."""
        if hasattr(self, "play"):
            try:
                self.to_the_end()
                self.play.check()
                record = promises.legal(self.play.root, self.fresh)
                # A limit on the number of trials may leave some paused, for others to come.
                over = [state for state in TrialState if state.final or (self.limited and state is TrialState.PAUSED)]
                promises.keep(f"{trial} is open at the end" for trial in record.trials.values() if trial.state not in over)
                promises.nothing_left(self.play.root)
            finally:
                self.play.end()
                shutil.rmtree(self.place)

    def to_the_end(self) -> None:
        for _ in range(10_000):
            if not self.play.running:
                self.play.start()
            if not self.play.running:
                return
            if self.play.experiment.state.finished:
                while self.play.running:
                    self.play.step()
                if self.play.experiment.state.stopping is None:
                    return
                continue
            while self.busy:
                attempt = self.chosen(0)
                self.play.tell(self.ends(attempt, Success(attempt.id.trial / 100)))
            if self.play.running and self.play.experiment.state.phase is Phase.PAUSED:
                self.play.wish(Action.ACTIVATE)
            elif self.play.running:
                self.play.step()
        raise AssertionError


@pytest.mark.timeout(7200)
def test_whatever_happens_in_whatever_order(ledger: Ledger, quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadho_like.control._LOOK_S", 0.0)
    members: dict[str, Any] = {"ledger": ledger, "folder": quick_folder}
    machine = seed(ledger.seed)(type("Faults", (Faults,), members))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=ledger.size.runs, stateful_step_count=30, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        ),
    )
