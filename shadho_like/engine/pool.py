"""Jobs on this machine's devices, each in a process of its own: forked from a warm one where that can be, a new one elsewhere.

No process outlives the driver, whatever ends it. What a job is, the pool does not know: something to be pickled that can `run`.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import select
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import shadho_worker

from shadho_like import hardware
from shadho_like.engine.clock import SteadyClock
from shadho_like.engine.commands import end_failure
from shadho_like.engine.devices import Device, Devices
from shadho_like.engine.forked import may_fork
from shadho_like.engine.job_file import Answer, dumps, loads, new_file, read_all
from shadho_like.engine.job_process import serve_here
from shadho_like.engine.jobs import Job, JobEnd
from shadho_like.engine.open_files import allow_files
from shadho_like.engine.supervision import Ended, Supervision, Task
from shadho_like.errors import EngineError
from shadho_like.sandbox import log_tail
from shadho_like.trial import Failure, FailureKind

_PROGRAM = (
    "import json, sys; sys.path[:], sys.argv[1:] = json.loads(sys.argv[1]), sys.argv[2:]; "
    "from shadho_like.engine.job_process import {0}; files = map(int, sys.argv[1:]); sys.argv[1:] = []; {0}(*files)"
)
_MOST_LOSSES = 3
_MOST_DEATHS = 5
_FILES_PER_JOB = 2


@dataclass(slots=True)
class _Run:
    """A job on its way: its files, and how this try of it stands."""

    ticket: int
    job: IO[bytes]
    log: Path
    device: Device
    alone: bool = False
    started_s: float = 0.0
    deadline_s: float = math.inf
    answer: IO[bytes] | None = None
    verdict: Failure | None = None
    losses: int = 0
    unwanted: bool = False


class JobPool:
    """Runs jobs on devices.

    Args:
        devices: where, and how many at once.
        job_timeout_s: a job that runs longer is killed with all that it started; None for no limit.
        known: objects that jobs refer to, loaded once for all of them.

    Attributes:
        notices: lines for the person at the terminal, not yet taken.
        devices: where.
    """

    def __init__(self, devices: Devices, job_timeout_s: float | None = None, known: Sequence[Any] = ()) -> None:
        self.notices: list[str] = []
        self.devices = devices
        self._timeout_s = job_timeout_s
        self._known = known
        self._known_file: IO[bytes] | None = None
        self._path = json.dumps([entry or str(Path.cwd()) for entry in sys.path])
        self._folder = str(Path.cwd())
        self._clock = SteadyClock()
        self._supervision: Supervision | None = None
        self._runs: dict[int, _Run] = {}
        self._reserved: list[_Run] = []
        self._numbers = itertools.count()
        self._ends: list[JobEnd] = []
        self._deaths = 0

    @property
    def slots(self) -> int:
        """How many jobs run at once."""
        return self.devices.slots

    def warm_up(self) -> None:
        """Start the process that runs the jobs, if it does not run: it loads what it needs while others get ready.

        Raises:
            EngineError: it cannot be started.
            OptionError: the system does not allow as many open files as slots need.
        """
        self._running()

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._clock.now()

    def free(self) -> int:
        """Return how many more jobs can be started now."""
        return self.devices.free()

    def start(self, ticket: int, job: Job, log: Path | None = None) -> str | None:
        """Start a job in a free slot, and return its device's name; it ends in exactly one `JobEnd`, unless it is ended before.

        Args:
            ticket: the caller's number for it.
            job: what to run.
            log: the file for all that it prints, with its folder made where it is missing; None throws that away.

        Raises:
            EngineError: there is no free slot, or the process that runs the jobs cannot be started.
        """
        device = self.devices.take()
        if device is None:
            message = "every device is full"
            raise EngineError(message)
        log = Path(os.devnull) if log is None else log.absolute()
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb"):
                pass
            data = dumps(job, self._known)
        except OSError as error:
            self._refuse(ticket, device, f"its log {log} cannot be written: {error.strerror}")
        except Exception as error:
            self._refuse(ticket, device, f"it cannot be sent to another process: {shadho_worker.describe(error)[0]}")
        else:
            self._launch(_Run(ticket, new_file(data), log, device))
        return device.name

    def _refuse(self, ticket: int, device: Device, reason: str) -> None:
        self.devices.give_back(device)
        now_s = self.now()
        self._ends.append(JobEnd(ticket, device.name, now_s, now_s, failure=Failure(FailureKind.ERROR, reason)))

    def _launch(self, run: _Run) -> None:
        """Start a job's process on its device, which counts it already."""
        number = next(self._numbers)
        run.started_s = self.now()
        run.deadline_s = math.inf if self._timeout_s is None else run.started_s + self._timeout_s
        run.answer = new_file()
        self._runs[number] = run
        task = Task(
            id=number,
            argv=(sys.executable, "-c", _PROGRAM.format("main"), self._path),
            folder=self._folder,
            log=str(run.log),
            env={hardware.VISIBLE: run.device.name or ""},
        )
        self._running().run(task, (self._known_descriptor(), run.job.fileno(), run.answer.fileno()))

    def _running(self) -> Supervision:
        """Return the process that runs the jobs; one that died with all it ran before it ended any is not made warm again."""
        if self._supervision is None:
            allow_files(self.slots, _FILES_PER_JOB)
            program = _PROGRAM.format("serve")
            known = self._known_descriptor()
            warm = [sys.executable, "-c", program, self._path, str(known)]
            become = functools.partial(serve_here, self._known) if may_fork() else None
            try:
                self._supervision = Supervision(warm, (known,), become) if self._deaths == 0 else Supervision()
            except OSError as error:
                message = f"the process that runs the jobs cannot be started: {error}"
                raise EngineError(message, transient=True) from error
        return self._supervision

    def _known_descriptor(self) -> int:
        if self._known_file is None:
            self._known_file = new_file(dumps(tuple(self._known)))
        return self._known_file.fileno()

    def end(self, tickets: Collection[int]) -> None:
        """Kill these jobs with all that they started. Nothing more is told about them; their slots come back when they are gone."""
        for number, run in self._runs.items():
            if run.ticket in tickets and not run.unwanted:
                run.unwanted = True
                self._running().end(number)
        for run in [run for run in self._reserved if run.ticket in tickets]:
            self._reserved.remove(run)
            run.job.close()
            self._open_unless_kept(run.device)
        self._ends = [end for end in self._ends if end.ticket not in tickets]

    @property
    def fd(self) -> int | None:
        """Readable when there is something to hear; None while nothing runs."""
        return None if self._supervision is None else self._supervision.fd

    def due_s(self) -> float:
        """Return when something is due whatever is heard, on the pool's clock."""
        return min((run.deadline_s for run in self._runs.values() if run.verdict is None and not run.unwanted), default=math.inf)

    def advance(self) -> list[JobEnd]:
        """Hear what happened and do what is due, without waiting; return the jobs that ended.

        Raises:
            EngineError: the process that runs the jobs dies again and again.
        """
        if self._supervision is not None:
            for report in self._supervision.read():
                self._note(self._runs.pop(report.task), report)
            if not self._supervision.alive:
                self._revive()
        now_s = self.now()
        for number, run in self._runs.items():
            if now_s >= run.deadline_s and run.verdict is None and not run.unwanted:
                run.verdict = Failure(FailureKind.TIME_LIMIT, f"ran longer than the {self._timeout_s:g} s that a job may")
                self._running().end(number)
        for run in [run for run in self._reserved if self.devices.take_reserved(run.device)]:
            self._reserved.remove(run)
            self._launch(run)
        ends, self._ends = self._ends, []
        return ends

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[JobEnd]:
        """Return the jobs that ended: at once if some have, else when one does, `wake_fd` is readable, or after the timeout.

        Raises:
            EngineError: the process that runs the jobs dies again and again.
        """
        deadline_s = self.now() + timeout_s
        while True:
            ends = self.advance()
            left_s = min(deadline_s, self.due_s()) - self.now()
            if ends or deadline_s <= self.now() or self._woken(max(0.0, left_s), wake_fd):
                return ends

    def _woken(self, seconds: float, wake_fd: int | None) -> bool:
        poll = select.poll()
        for fd in (self.fd, wake_fd):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        return any(fd == wake_fd for fd, _ in poll.poll(math.ceil(seconds * 1000)))

    def _note(self, run: _Run, report: Ended) -> None:
        """Take a job that ended off its device, and tell what became of it, unless it is to be tried again."""
        assert run.answer is not None
        with run.answer:
            answer = None if run.unwanted else self._answer(run.answer)
        self.devices.give_back(run.device)
        self._open_unless_kept(run.device)
        if run.unwanted:
            run.job.close()
        elif answer is None and run.verdict is None and report.status is None and not report.broken and run.losses < _MOST_LOSSES:
            self._again(replace(run, losses=run.losses + 1))
        else:
            self._deaths = 0 if self._supervision is not None and self._supervision.alive else self._deaths
            failure = _failure(run, report, answer)
            if failure is not None and self._may_fit_alone(run, failure):
                self.notices.append(f"out of memory on GPU {run.device.name}, which other jobs use too: {run.log} runs again alone on it")
                self._again(replace(run, alone=True))
                return
            run.job.close()
            value = answer.value if answer is not None and failure is None else None
            self._ends.append(JobEnd(run.ticket, run.device.name, run.started_s, self.now(), value, failure))

    def _open_unless_kept(self, device: Device) -> None:
        """Let any job on a device, if no job is alone on it or waits to be."""
        if not any(run.alone and run.device is device for run in (*self._runs.values(), *self._reserved)):
            self.devices.open(device)

    def _answer(self, file: IO[bytes]) -> Answer | None:
        """Return what the job's process said before it ended; None where that is nothing whole."""
        data = read_all(file.fileno())
        try:
            answer = loads(data, self._known) if data else None
        except Exception as error:
            message = f"what it returned cannot be read back here: {shadho_worker.describe(error)[0]}"
            return Answer(None, FailureKind.BAD_RESULT, message)
        return answer if isinstance(answer, Answer) else None

    def _may_fit_alone(self, run: _Run, failure: Failure) -> bool:
        shared = run.device.name is not None and run.device.slots > 1
        return failure.kind is FailureKind.OUT_OF_MEMORY and shared and not run.alone

    def _again(self, run: _Run) -> None:
        """Try a job once more, as soon as there is room for it."""
        device = self.devices.reserve() if run.alone else self.devices.take()
        if device is None:
            # Every device is kept for another job that is to be alone: this one waits for its own.
            device = run.device
            run.alone = True
        run.device = device
        if run.alone:
            self._reserved.append(run)
        else:
            self._launch(run)

    def _revive(self) -> None:
        """Go on with another process after the death of the one that ran the jobs: they all begin again."""
        assert self._supervision is not None
        self._supervision.close()
        self._supervision = None
        self._deaths += 1
        if self._deaths > _MOST_DEATHS:
            message = f"the process that runs the jobs died {self._deaths} times in a row; what it printed is above"
            raise EngineError(message)
        lost, self._runs = self._runs, {}
        for number, run in lost.items():
            self._note(run, Ended(number, None))

    def close(self) -> None:
        """Kill what runs, and leave no process and no file. May be called twice."""
        if self._supervision is not None:
            self._supervision.close()
            self._supervision = None
        for run in (*self._runs.values(), *self._reserved):
            run.job.close()
            if run.answer is not None:
                run.answer.close()
        self._runs, self._reserved = {}, []
        if self._known_file is not None:
            self._known_file.close()
            self._known_file = None


def _failure(run: _Run, report: Ended, answer: Answer | None) -> Failure | None:
    """Return why a job failed, None if it did not. What it said before its end is truer than how it ended."""
    tail = log_tail(run.log)
    if answer is not None:
        return None if answer.kind is None else Failure(answer.kind, answer.message, tail)
    if run.verdict is not None:
        return replace(run.verdict, log_tail=tail)
    if report.broken:
        return Failure(FailureKind.ERROR, report.broken, tail)
    if report.status is None:
        return Failure(FailureKind.LOST_WORKER, f"its processes were killed from outside, {run.losses + 1} times", tail)
    nothing = Failure(FailureKind.EXIT_CODE, "the job ended its process with status 0 before it returned", tail)
    return end_failure(report, run.log) or nothing
