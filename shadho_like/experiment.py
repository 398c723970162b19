"""The loop: makes the world agree with what the experiment's state wants, one committed turn after another."""

from __future__ import annotations

import functools
import json
import os
import socket
import sys
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shadho_like.control import Control, Interrupts, RunOptions
from shadho_like.dispatch import Assignment, WaitingAttempts
from shadho_like.engine.base import Engine, EngineStatus, Launch, Notice
from shadho_like.errors import MethodError, OptionError
from shadho_like.events import (
    AttemptFinished,
    AttemptLost,
    AttemptStarted,
    Changed,
    Continued,
    Ending,
    Event,
    RunStarted,
    StopReason,
    event_from_json,
)
from shadho_like.idle_slots import IdleSlots
from shadho_like.journal import UNANSWERED, Journal, Standing, StatusFile, dump_operations
from shadho_like.keeping import Keeping
from shadho_like.phase import Phase
from shadho_like.searcher.base import BuiltInMethod, SearchMethod
from shadho_like.searcher.custom import CustomMethod
from shadho_like.state import Best, ExperimentState
from shadho_like.trial import AttemptId, TrialState
from shadho_like.turn import Turn

if TYPE_CHECKING:
    from shadho_like.method_record import MethodRecord

_WAKE_S = 1.0
# How long a snapshot takes goes with its size and with the trials that it counts: each pays for the same share of the turns.
_TURNS_BETWEEN_SNAPSHOTS = 2000
_CHARACTERS_PER_TURN = 100
_TRIALS_PER_TURN = 5
_CUT_SHORT = frozenset({"CANCELED", "PREEMPTED"})


@dataclass(frozen=True, slots=True)
class Step:
    """Where an experiment stands after a pass of the loop. All that it counts is on the disk.

    Attributes:
        counts: trials by state.
        running: attempts that the engine has.
        lost_attempts: attempts that machines lost, in all.
        best: the best completed trial.
        progress: the search method's own measure, 0 to 1.
        elapsed_s: since the run began.
        engine: what there is to run on.
        notices: lines for the person at the terminal.
        stopped: trials that ran when the run was stopped.
        stopping: why the run ends, where it does.
        ending: how what still runs is brought to its end, where the run ends.
        phase: where the experiment is in its life.
        turns: those that were committed since the last step.
    """

    counts: Mapping[TrialState, int]
    running: int
    lost_attempts: int
    best: Best | None
    progress: float
    elapsed_s: float
    engine: EngineStatus
    notices: tuple[str, ...]
    stopped: int
    stopping: StopReason | None
    ending: Ending | None
    phase: Phase
    turns: tuple[Turn, ...] = ()


class Experiment:
    """One experiment, its journal open and its state read back. Use `run` once, then `close`.

    Args:
        journal: the record, held by this process.
        method: a search method in its initial state.
        assignment: gives attempts their compute classes, where the engine has some.

    Raises:
        MethodError: played back from the journal, the method asks for something else than it did.
        JournalError: the journal is damaged.
    """

    def __init__(self, journal: Journal, method: SearchMethod, assignment: Assignment | None = None) -> None:
        self._journal = journal
        self._assignment = Assignment() if assignment is None else assignment
        config = journal.config
        known = method if isinstance(method, BuiltInMethod) else CustomMethod(method)
        self._method = _record_of(known, journal) if isinstance(known, CustomMethod) else None
        self.state = ExperimentState(
            known, experiment=config["name"], seed=config["seed"], smaller_is_better=config["smaller_is_better"]
        )
        self._snapshot_turn, self._snapshot_size = 0, 0
        self._waiting = WaitingAttempts()
        self._running: set[AttemptId] = set()
        self._stopped = 0
        self._keeping: Keeping | None = None
        self._most_running: int | None = None
        self._trials_per_task = 1
        self._notices: list[str] = []
        self._idle_slots = IdleSlots(known.called)
        self._committed: list[Turn] = []
        self._read_back()
        self._assignment.times.restore(journal.run_times())

    def _read_back(self) -> None:
        snapshot = self._journal.snapshot()
        if snapshot is not None:
            self.state.restore(snapshot[0])
            self._snapshot_turn, self._snapshot_size = self.state.turn, snapshot[1]
        unanswered: Event | None = None
        for record in self._journal.records(self.state.turn):
            event = event_from_json(json.loads(record.event))
            if record.operations == UNANSWERED:
                unanswered = event
                break
            if self._method is not None:
                self._method.play(record)
            turn = self.state.handle(event)
            if dump_operations(turn) != record.operations:
                method = self.state.method.called
                hint = "its code or its library is another version than the one that began the experiment"
                message = f"{method} asks for other trials at turn {turn.number} than the journal holds: {hint}"
                raise MethodError(message)
        self._journal.check_counts({state.value: count for state, count in self.state.counts.items()})
        if self._method is not None:
            self._method.take_up()
        if unanswered is not None:
            self._append([self._handle(unanswered)])

    def run(self, engine: Engine, launch: Launch, options: RunOptions, interrupts: Interrupts | None = None) -> Generator[Step, None, None]:
        """Run until nothing more is wanted, or time is up, or the user ends it; yield where things stand after each pass.

        Closes the engine, also when the caller stops iterating.

        Raises:
            EngineError, JournalError, MethodError: it cannot go on; all that was yielded as done is kept.
        """
        self._keeping = Keeping(self._journal, launch, self.state)
        self._most_running, self._trials_per_task = launch.most_running, launch.trials_per_task
        status = StatusFile(launch.paths.status)
        try:
            engine.open(launch)
            began_s = engine.now()
            identity = RunStarted(
                began_s, uuid.uuid4().hex, socket.gethostname(), os.getpid(), options.max_trials, options.max_restarts
            )
            self._take(engine, identity, [])
            self._notices += self._keeping.take_up(began_s)
            control = Control(
                *(self.state, options, interrupts, launch.paths.requests, self._extension, functools.partial(self._changes, launch)),
                asks=engine.asks,
                began_s=began_s,
            )
            self._obey(engine, control)
            while not self.state.finished:
                self._submit(engine)
                step = self._pass(engine, control, interrupts, began_s)
                status.tell(Standing(step.engine, step.progress, options.max_trials, control.ends_s))
                yield step
            if self._notices:
                yield self._step(engine, engine.now() - began_s)
            self._keeping.settle()
            self._save_snapshot()
        finally:
            engine.close()
            status.end()

    def _submit(self, engine: Engine) -> None:
        if classes := engine.classes():
            now_s = engine.now()
            self._assignment.add(self._waiting.take(len(self._waiting), now_s))
            orders = self._assignment.assign(classes, now_s, self._left())
            if orders.recalled:
                self._running.difference_update(orders.recalled)
                engine.cancel(orders.recalled)
            if orders.submitted:
                self._running.update(attempt.id for attempt in orders.submitted)
                engine.submit(orders.submitted)
            return
        self._waiting.add(self._assignment.give_back())
        room = min(engine.room(), self._left(), len(self._waiting)) if self._waiting else 0
        if room > 0 and (attempts := self._waiting.take(room, engine.now())):
            self._running.update(attempt.id for attempt in attempts)
            engine.submit(attempts)

    def _left(self) -> int:
        """Return how many attempts more the engine may have; those that wait there count, as it begins with them when it likes."""
        return sys.maxsize if self._most_running is None else max(0, self._most_running - len(self._running))

    def _pass(self, engine: Engine, control: Control, interrupts: Interrupts | None, began_s: float) -> Step:
        """Wait for something to happen, and commit it."""
        patience_s = max(0.0, min(_WAKE_S, min(control.due_s(), self._waiting.due_s(engine.now())) - engine.now()))
        updates = engine.wait(patience_s, interrupts.fd if interrupts else None)
        turns: list[Turn] = []
        for update in updates:
            if isinstance(update, Notice):
                self._notices.append(update.text)
            elif update.attempt in self._running or (isinstance(update, AttemptFinished) and self.state.takes_late(update)):
                self._take(engine, update, turns)
        self._commit(engine, turns)
        self._obey(engine, control)
        self._look_for_idle_slots(engine)
        return self._step(engine, engine.now() - began_s)

    def _look_for_idle_slots(self, engine: Engine) -> None:
        """Say where the search method leaves slots idle; those of a limit on running trials are not meant."""
        slots, most_running = engine.status().slots, sys.maxsize if self._most_running is None else self._most_running
        could_run = None if slots is None else min(slots * self._trials_per_task, most_running)
        if (line := self._idle_slots.look(self.state.held_to(), could_run, engine.now())) is not None:
            self._notices.append(line)

    def _obey(self, engine: Engine, control: Control) -> None:
        """Do what time, signals and requests want."""
        turns: list[Turn] = []
        for event in control.events(engine.now()):
            self._take(engine, event, turns)
        self._commit(engine, turns)
        control.committed()
        self._notices += control.notices
        control.notices.clear()

    def _extension(self, now_s: float, keys: Mapping[str, int]) -> Continued | str:
        """Return the event with which the search gets more to do, or why it cannot."""
        if not (keys or self.state.phase.over):
            return "the experiment is not over, so that there is nothing to continue"
        fault = self.state.method.extension_fault(keys)
        return fault or Continued(now_s, keys, tuple(self._journal.trials_over()))

    def _changes(self, launch: Launch, now_s: float, keys: Mapping[str, int]) -> Iterator[Event | str]:
        """Yield the events with which other limits come to hold, or why they cannot; see `Changed`."""
        if self.state.phase.over:
            yield "the experiment is over, and no limit means anything to it: see shadho experiment continue"
            return
        if "max_slots" in keys:
            try:
                most_running = launch.most_running_in(keys["max_slots"])
            except OptionError as error:
                yield str(error)
            else:
                yield Changed(now_s, {"max_slots": keys["max_slots"]})
                self._most_running = most_running
        if "max_trials" in keys:
            of_run = self.state.max_trials is not None
            if of_run:
                yield Changed(now_s, {"max_trials": keys["max_trials"]})
            # The search method may have a limit of its own, which would end the search before.
            of_method = self._extension(now_s, {"max_trials": keys["max_trials"]})
            if isinstance(of_method, Continued) or not of_run:
                yield of_method

    def _take(self, engine: Engine, event: Event, turns: list[Turn]) -> Turn:
        """Handle an event, its turn to be committed with `turns`; where the search method fails at it, keep it and what came before.

        A user's own method is asked about one event at a time, so that its state is never ahead of the journal.
        """
        number = self.state.turn + 1
        try:
            turn = self._handle(event)
        except MethodError:
            self._append(turns)
            self._journal.keep_event(number, event)
            raise
        turns.append(turn)
        if self._method is not None or isinstance(event, RunStarted):
            self._commit(engine, turns)
            turns.clear()
        return turn

    def _handle(self, event: Event) -> Turn:
        """Take an event in; an attempt that is over or wanted no more is forgotten at once, so that a late answer changes nothing."""
        turn = self.state.handle(event)
        self._notices.extend(turn.notices)
        if self.state.stopping is not None:
            self._stopped += sum(attempt.state in _CUT_SHORT for attempt in turn.attempts)
        if self._method is not None:
            self._method.note(turn)
        if isinstance(event, AttemptStarted | AttemptFinished | AttemptLost):
            self._assignment.note(event)
        if isinstance(event, AttemptFinished | AttemptLost):
            self._running.discard(event.attempt)
        self._running.difference_update(turn.unwanted)
        return turn

    def _commit(self, engine: Engine, turns: Sequence[Turn]) -> None:
        """Make turns durable, then make the world agree."""
        if not turns:
            return
        self._append(turns)
        self._committed += turns
        for turn in turns:
            self._waiting.add(turn.wanted)
            gone = [attempt for attempt in turn.unwanted if not self._withdraw(attempt)]
            if gone:
                engine.cancel(gone)
            if turn.asked:
                engine.ask(turn.asked)
        if self._keeping is not None:
            self._notices += self._keeping.remove()
        if self.state.turn - self._snapshot_turn > self._turns_between_snapshots:
            self._save_snapshot()

    def _withdraw(self, attempt: AttemptId) -> bool:
        """Have an attempt wait no more; return whether it did, so that no engine has it."""
        waited = self._assignment.discard(attempt)
        return self._waiting.discard(attempt) or waited

    @property
    def _turns_between_snapshots(self) -> int:
        trials = len(self.state.searcher.trials_created)
        return max(_TURNS_BETWEEN_SNAPSHOTS, self._snapshot_size // _CHARACTERS_PER_TURN, trials // _TRIALS_PER_TURN)

    def _append(self, turns: Sequence[Turn]) -> None:
        if turns:
            self._journal.append(turns, self._method.rows(turns) if self._method else (), self._assignment.news())

    def _save_snapshot(self) -> None:
        method_state = self._method.whole() if self._method else None
        self._snapshot_size = self._journal.save_snapshot(self.state.turn, self.state.snapshot(), method_state)
        self._snapshot_turn = self.state.turn

    def _step(self, engine: Engine, elapsed_s: float) -> Step:
        state = self.state
        notices, self._notices = self._notices, []
        turns, self._committed = self._committed, []
        return Step(
            counts=state.counts,
            running=len(self._running),
            lost_attempts=state.lost_attempts,
            best=state.best,
            progress=state.method.progress(state.searcher),
            elapsed_s=elapsed_s,
            engine=engine.status(),
            notices=tuple(notices),
            stopped=self._stopped,
            stopping=state.stopping.reason if state.stopping else None,
            ending=state.stopping.ending if state.stopping else None,
            phase=state.phase,
            turns=tuple(turns),
        )

    def close(self) -> None:
        """Give the journal back."""
        self._journal.close()


def _record_of(method: CustomMethod, journal: Journal) -> MethodRecord:
    """Return the record of a user's own method. It loads NumPy, which built-in methods do without."""
    from shadho_like.method_record import MethodRecord

    return MethodRecord(method, journal)
