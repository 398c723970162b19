"""Slots that run a shell command for each attempt, or for each batch of them, in a sandbox of its own."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import shadho_checkpoint
import shadho_worker

from shadho_like import checkpoint, sandbox
from shadho_like.engine.base import InputFile, Launch
from shadho_like.engine.gpu_share import GpuShare
from shadho_like.engine.reporting import Reporting
from shadho_like.engine.slots import SHORT_S, Slots, in_groups
from shadho_like.engine.supervision import Ended, Supervision, Task
from shadho_like.events import AttemptStarted
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind

_MIB = 1024 * 1024
# It may be infinite, which torchrun does not take.
_LONGEST_PATIENCE_S = 10**9


@dataclass(slots=True)
class _Run:
    """A command that runs, and the attempts that share it; those that are wanted no more are taken out."""

    attempts: list[Attempt]
    folder: Path
    started_s: float
    deadline_s: float
    told: bool = False
    asked: bool = False
    verdict: Failure | None = None
    ids: tuple[AttemptId, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = tuple(attempt.id for attempt in self.attempts)


class CommandSlots(Slots):
    """Runs `launch.command` in a shell; see `Slots`."""

    def __init__(self, launch: Launch, slots: int, now: Callable[[], float], supervision: Supervision, gpus: GpuShare) -> None:
        super().__init__(launch, slots, now, supervision, gpus)
        self._waiting: deque[list[Attempt]] = deque()
        self._runs: dict[int, _Run] = {}
        self._reporting = Reporting(now, safe=True)
        assert launch.checkpoints is not None
        self._checkpoints = launch.checkpoints
        checkpoint.make_root(launch.checkpoints)
        self._path = search_path(launch.paths.sandboxes, launch.environment.get("PATH"))
        inputs = [(str(file.local), file.remote) for file in launch.input_files]
        self._copies = (*inputs, *((str(path), path.name) for path in sandbox.worker_modules()))

    def room(self) -> int:
        """Return how many attempts the free slots take."""
        free = self.slots - len(self._runs) - len(self._waiting)
        return max(0, free * self.launch.trials_per_task)

    def workers(self) -> int | None:
        """Return None: nothing waits for work here."""
        return None

    def fds(self) -> list[int]:
        """Return nothing: all is heard of the supervisor."""
        return []

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Start attempts in free slots, and queue the rest."""
        self._waiting.extend(list(group) for group in in_groups(attempts, self.launch.trials_per_task))
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._runs) < self.slots:
            self._start(self._waiting.popleft())

    def _start(self, attempts: list[Attempt]) -> None:
        launch, number, now_s = self.launch, next(self._numbers), self.now()
        folder = launch.paths.sandbox(attempts[0].id)
        limit_s = launch.trial_timeout_s
        deadline_s = float("inf") if limit_s is None else now_s + limit_s * len(attempts)
        self._runs[number] = _Run(attempts, folder, now_s, deadline_s)
        disk_mb = launch.resources.disk_mb
        task = Task(
            id=number,
            argv=("/bin/sh", "-c", launch.command or ""),
            folder=str(folder),
            log=str(folder / shadho_worker.LOG_FILE),
            make_folder=True,
            copies=(*self._copies, *self._archive(attempts[0])),
            files={name: data.decode() for name, data in sandbox.attempt_files(launch, attempts).items()},
            env={**self._environment(folder), **self.gpus.take(number)},
            nice=launch.nice,
            disk_bytes=disk_mb * _MIB if disk_mb else None,
        )
        self.supervision.run(task)
        if launch.trials_per_task == 1:
            self._reporting.begin(number, attempts[0].id, folder / shadho_worker.EVENTS_FILE)

    def _archive(self, attempt: Attempt) -> tuple[tuple[str, str], ...]:
        """Return the copy that brings what the trial left on another engine, where that is its newest."""
        archive = checkpoint.incoming(self._checkpoints, attempt.id.trial, attempt.start_from, pack=False).archive
        return () if archive is None else ((str(archive), shadho_checkpoint.INCOMING_FILE),)

    def _environment(self, folder: Path) -> dict[str, str]:
        """Let the command find the worker module and this Python; what it prints is in its log even if it is killed."""
        given = self.launch.environment
        modules = os.pathsep.join(filter(None, (str(folder), given.get("PYTHONPATH", os.environ.get("PYTHONPATH")))))
        # torchrun passes SIGTERM on, and kills its processes after a time of its own, which is 30 s if nothing is said.
        patience = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(math.ceil(min(self.launch.preemption_timeout_s, _LONGEST_PATIENCE_S)))}
        return {**patience, **given, "PATH": self._path, "PYTHONPATH": modules, "PYTHONUNBUFFERED": "1"}

    def cancel(self, attempts: frozenset[AttemptId]) -> None:
        """Kill attempts; the rest of a batch goes on."""
        for group in self._waiting:
            group[:] = [attempt for attempt in group if attempt.id not in attempts]
        self._waiting = deque(group for group in self._waiting if group)
        for number, run in self._runs.items():
            wanted = [attempt for attempt in run.attempts if attempt.id not in attempts]
            if not wanted and run.attempts:
                self.supervision.end(number)
                self._reporting.forget(number)
            run.attempts = wanted

    def ask(self, attempts: frozenset[AttemptId]) -> None:
        """Ask the commands of these attempts to end."""
        for number, run in self._runs.items():
            if not run.asked and any(attempt.id in attempts for attempt in run.attempts):
                run.asked = True
                self.supervision.ask(number)

    def advance(self, ended: Sequence[Ended]) -> float:
        """End what is overdue, tell what ended, start what waits."""
        for report in ended:
            self.gpus.give_back(report.task)
            self.updates += self._reporting.end(report.task)
            self._end(self._runs.pop(report.task), report)
        self.updates += self._reporting.sweep()
        self._fill()
        now_s = self.now()
        for number, run in self._runs.items():
            if now_s >= run.deadline_s and run.verdict is None:
                text = f"ran longer than the {self.launch.trial_timeout_s:g} s that a trial may"
                run.verdict = Failure(FailureKind.TIME_LIMIT, text)
                self.supervision.end(number)
            if not run.told and now_s >= run.started_s + SHORT_S:
                run.told = True
                self.updates += [AttemptStarted(run.started_s, attempt.id, self.host) for attempt in run.attempts]
        return min((self._due_s(run) for run in self._runs.values()), default=float("inf"))

    def _due_s(self, run: _Run) -> float:
        deadline_s = run.deadline_s if run.verdict is None else float("inf")
        return deadline_s if run.told else min(deadline_s, run.started_s + SHORT_S)

    def _end(self, run: _Run, report: Ended) -> None:
        """Tell how the attempts of a command ended, and remove its sandbox."""
        interrupted = report.status is None and run.verdict is None and not report.over_disk and not run.asked
        if report.broken or interrupted:
            reason = f"its sandbox cannot be made: {report.broken}" if report.broken else "its processes were killed from outside"
            for attempt in run.attempts:
                self.lost(attempt.id, reason)
        elif run.attempts:
            self._read(run, self._failure(run, report))
        self.discard(run.folder)

    def _read(self, run: _Run, failure: Failure | None) -> None:
        outcomes = sandbox.read_results(run.folder, run.ids, self.launch, failure)
        if run.asked:
            outcomes = {attempt: sandbox.preempted(outcome) for attempt, outcome in outcomes.items()}
        sandbox.store_outputs(self.launch, run.folder, run.ids[0])
        again = [attempt for attempt in run.attempts if outcomes[attempt.id] is None]
        for attempt in run.attempts:
            outcome = outcomes[attempt.id]
            if outcome is not None:
                self.finished(attempt.id, run.started_s, outcome)
        if again:
            self._waiting.appendleft(again)

    def _failure(self, run: _Run, report: Ended) -> Failure | None:
        log = run.folder / shadho_worker.LOG_FILE
        if run.verdict is not None:
            return Failure(run.verdict.kind, run.verdict.message, sandbox.log_tail(log))
        if run.asked and report.status is None:
            return Failure(FailureKind.PREEMPTED, "it was asked to end, and does not listen", sandbox.log_tail(log))
        if report.over_disk:
            text = f"its folder took more than the {self.launch.resources.disk_mb} MB of disk that a trial may"
            return Failure(FailureKind.DISK, text, sandbox.log_tail(log))
        return end_failure(report, log)

    def close(self) -> None:
        """Forget what ran."""
        self._runs.clear()
        self._waiting.clear()

    def supervise(self, supervision: Supervision) -> None:
        """Go on with another supervisor."""
        lost, self._runs = self._runs, {}
        self.supervision = supervision
        for number, run in lost.items():
            self.gpus.give_back(number)
            self.updates += self._reporting.end(number)
            for attempt in run.attempts:
                self.lost(attempt.id, "the process that runs the trials was killed")
            self.discard(run.folder)
        self._fill()


def as_command(launch: Launch, objective: Callable[..., Any]) -> Launch:
    """Return a launch that evaluates a callable as a command does, in a folder and an interpreter of each attempt's own."""
    sandbox.save_objective(objective, launch.paths.objective)
    modules = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    command = f'PYTHONPATH="$PWD":{shlex.quote(modules)} exec python {shadho_worker.WORKER_FILE}'
    file = InputFile(launch.paths.objective, shadho_worker.OBJECTIVE_FILE)
    return replace(launch, command=command, objective=None, input_files=(*launch.input_files, file))


def end_failure(report: Ended, log: Path) -> Failure | None:
    """Return what the end of a program says, None if it ended well. Killed while the machine lacked memory is out of memory."""
    failure = sandbox.exit_failure(report.status or 0, log)
    if failure and report.oom and failure.kind is FailureKind.SIGNAL and signal.SIGKILL.name in failure.message:
        had = f", when its largest process had {report.peak_bytes / _MIB:,.0f} MiB" if report.peak_bytes else ""
        return Failure(FailureKind.OUT_OF_MEMORY, f"killed by the system, which ran out of memory{had}", failure.log_tail)
    return failure


def search_path(sandboxes: Path, given: str | None = None) -> str:
    """Return a PATH on which `python` is this Python; where no program has that name beside it, one is made in `sandboxes`.

    The rest of it is the `given` one, else this process's.
    """
    directory = Path(sys.executable).parent
    if shutil.which("python", path=str(directory)) is None:
        directory = sandboxes / "bin"
        directory.mkdir(parents=True, exist_ok=True)
        program = directory / "python"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return os.pathsep.join((str(directory), given or os.environ.get("PATH") or os.defpath))
