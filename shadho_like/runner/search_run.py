"""One search while it runs: its journal, its experiment's loop, and its engine, step by step, to its answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

from shadho_like.control import RunOptions
from shadho_like.engine.jobs import JobEnd, Jobs
from shadho_like.errors import InternalError, UserError
from shadho_like.experiment import Step
from shadho_like.interrupts import SignalInterrupts
from shadho_like.journal import JournalReader
from shadho_like.phase import Phase
from shadho_like.runner.files import write_answer
from shadho_like.runner.points import PointsEngine
from shadho_like.runner.record import Record, open_record, set_aside
from shadho_like.runner.search import Answer, Search
from shadho_like.searcher import BuiltInMethod

Say = Callable[[str], None]


class SearchRun:
    """One search.

    Args:
        search: which one.
        jobs: where its jobs run.
        say: prints a line.
        fresh: whether to forget all results so far.

    Attributes:
        search: which one.
        engine: where its points run.
        answer: what it came to, once it has ended well.
        error: what its own code did wrong, where it has ended so.
        last_started: the ticket of the last job that it was given.

    Raises:
        ExperimentInUse: another process runs this search.
    """

    def __init__(self, search: Search, jobs: Jobs, say: Say, *, fresh: bool) -> None:
        self.search = search
        self.answer: Answer | None = None
        self.error: UserError | None = None
        self.last_started = -1
        self._jobs = jobs
        self._say = say
        self._began_s = time.monotonic()
        self._interrupted = False
        self._replayed = False
        self._open(fresh=fresh)

    def _open(self, *, fresh: bool) -> None:
        record = open_record(self.search, self._jobs.slots, self._jobs.now(), fresh=fresh)
        self.engine = PointsEngine(self.search, self._jobs, record.since_s)
        self._record: Record | None = record
        self._state = record.experiment.state
        self._steps: Generator[Step, None, None] | None = None

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.answer is None and self.error is None and not self._interrupted

    @property
    def method(self) -> BuiltInMethod:
        """Its search method."""
        return self._state.method

    def start_next(self, ticket: int) -> None:
        """Start its next job."""
        self.last_started = ticket
        self.engine.start_next(ticket)

    def take(self, end: JobEnd) -> None:
        """Take in the end of one of its jobs."""
        try:
            self.engine.take(end)
        except UserError as error:
            self._fail(error)

    def step(self, interrupts: SignalInterrupts) -> None:
        """Let its experiment take in what happened, until nothing is left that it has not heard."""
        try:
            while self.active:
                step = next(self._begun(interrupts), None)
                if step is None:
                    self._end()
                    return
                for notice in step.notices:
                    self._say(notice)
                if not self.engine.delivered:
                    return
        except UserError as error:
            self._fail(error)

    def _begun(self, interrupts: SignalInterrupts) -> Generator[Step, None, None]:
        if self._steps is None:
            assert self._record is not None
            self._steps = self._record.experiment.run(self.engine, self._record.launch, RunOptions(), interrupts)
        return self._steps

    def _end(self) -> None:
        """Give the answer, once all is done; where results are missing that the journal counts on, play it all once more."""
        state = self._state
        if state.stopping is not None:
            self._interrupted = True
            return
        if state.phase is not Phase.COMPLETED:
            way_out = f"shadho experiment continue {self.search.directory}, or fresh=True"
            raise UserError(f"{self.search.plan.called}: its search was {state.phase.value.lower()}; to go on: {way_out}")
        with JournalReader(self.search.directory) as reader:
            answer = self.search.answer(state.method, reader.trials(), self.engine.kept)
        if answer is None:
            self._replay()
            return
        path, notices = write_answer(self.search.base_dir, self.search.kind, answer.filed, time.monotonic() - self._began_s)
        for line in (*notices, *(f"{self.search.base_dir}: {line}" for line in answer.lines)):
            self._say(line)
        self._say(f"{self.search.base_dir}: {self._counts()}; all of it: {path}")
        self.answer = answer

    def _counts(self) -> str:
        said = f"{self.engine.done} jobs run" if self.engine.done else "nothing was left to run"
        if self.engine.found and self.engine.done:
            said += f", {self.engine.found} had been run before"
        return said + (f", {self.engine.failed} failed" if self.engine.failed else "")

    def _replay(self) -> None:
        if self._replayed:
            message = f"{self.search.directory}: results are missing of jobs that have just ended"
            raise InternalError(message)
        self._replayed = True
        self.close()
        set_aside(self.search)
        self._open(fresh=False)

    def _fail(self, error: UserError) -> None:
        self.error = error
        self._say(f"{self.search.base_dir}: {error}")
        self.close()

    def close(self) -> None:
        """Kill what runs, and let go of the journal. May be called twice."""
        if self._steps is not None:
            self._steps.close()
        self.engine.close()
        if self._record is not None:
            self._record.experiment.close()
            self._record = None
