"""Slots that evaluate a Python callable in kept worker processes, which load it once; a worker that dies is replaced.

Where trials take a few milliseconds, workers get some ahead, so that none waits for the driver to commit.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import shadho_worker

from shadho_like import sandbox
from shadho_like.engine.base import Launch
from shadho_like.engine.commands import end_failure
from shadho_like.engine.gpu_share import GpuShare
from shadho_like.engine.kept import KeptWorker
from shadho_like.engine.slots import SHORT_S, Slots
from shadho_like.engine.supervision import Ended, Supervision, Task
from shadho_like.errors import EngineError
from shadho_like.events import AttemptStarted
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind

_PROGRAM = (
    "import json, sys; config = json.loads(sys.argv[1]); sys.path[:] = config['path']; tasks, report = map(int, sys.argv[2:]); "
    "sys.argv[1:] = []; from shadho_like.engine.kept_worker import main; main(config, tasks, report)"
)
_FAST_S = 0.005
_AHEAD_S = 0.03
_MOST_AHEAD = 100
_SLOW_S = 0.05
_PACE_WEIGHT = 0.2
_MOST_FAILED_STARTS = 3


class CallableSlots(Slots):
    """Evaluates `launch.objective`; see `Slots`."""

    def __init__(self, launch: Launch, slots: int, now: Callable[[], float], supervision: Supervision, gpus: GpuShare) -> None:
        super().__init__(launch, slots, now, supervision, gpus)
        assert launch.objective is not None
        sandbox.save_objective(launch.objective, launch.paths.objective)
        self._waiting: deque[Attempt] = deque()
        self._workers: dict[int, KeptWorker] = {}
        self._pace_s: float | None = None
        self._failed_starts = 0
        # Files lie in a folder for each worker; without any, relative paths mean what they mean in the driver.
        self._has_folders = bool(launch.input_files or launch.output_files)

    def _depth(self) -> int:
        """Return how many attempts a worker may have: one, unless they are over in no time."""
        if self._pace_s is None or self._pace_s > _FAST_S or self.launch.output_files:
            return 1
        return 1 + min(_MOST_AHEAD, int(_AHEAD_S / max(self._pace_s, 1e-6)))

    def _outstanding(self) -> int:
        return len(self._waiting) + sum(len(worker.queue) for worker in self._workers.values())

    def room(self) -> int:
        """Return how many attempts the workers take, those that may run ahead included."""
        return max(0, self.slots * self._depth() - self._outstanding())

    def workers(self) -> int | None:
        """Return how many worker processes there are."""
        return len(self._workers)

    def fds(self) -> list[int]:
        """Return the workers' pipes."""
        return [worker.fd for worker in self._workers.values() if not worker.mute]

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Send attempts to workers, which are started as they are needed."""
        self._waiting.extend(attempts)
        self._feed()

    def _feed(self) -> None:
        """Give what waits to the workers that have least."""
        for _ in range(min(self.slots, self._outstanding()) - len(self._workers)):
            self._start_worker()
        depth, now_s = self._depth(), self.now()
        takers = [worker for worker in self._workers.values() if _takes(worker, depth)]
        while self._waiting and takers:
            worker = min(takers, key=_load)
            if worker.send(self._waiting[0], now_s):
                self._waiting.popleft()
                if _takes(worker, depth):
                    continue
            takers.remove(worker)

    def _start_worker(self) -> None:
        number = next(self._numbers)
        sandboxes, launch = self.launch.paths.sandboxes, self.launch
        folder = sandboxes / f"worker-{number}" if self._has_folders else Path.cwd()
        worker = KeptWorker(number, folder, sandboxes / f"worker-{number}.log")
        config = {
            "path": [entry or str(Path.cwd()) for entry in sys.path],
            "objective": str(launch.paths.objective),
            "metric": launch.metric,
            "any_json": launch.any_json,
            "evaluations": launch.evaluations,
            "log": str(worker.log),
        }
        task = Task(
            id=number,
            argv=(sys.executable, "-c", _PROGRAM, json.dumps(config)),
            folder=str(folder),
            log=str(worker.log),
            make_folder=self._has_folders,
            copies=tuple((str(file.local), file.remote) for file in launch.input_files),
            env={**launch.environment, **self.gpus.take(number)},
            nice=launch.nice,
        )
        self._workers[number] = worker
        self.supervision.run(task, worker.descriptors())
        worker.started()

    def cancel(self, attempts: frozenset[AttemptId]) -> None:
        """Take back what has not begun, and kill the workers that evaluate the rest."""
        self._waiting = deque(attempt for attempt in self._waiting if attempt.id not in attempts)
        for worker in self._workers.values():
            if not any(attempt.id in attempts for attempt in worker.queue):
                continue
            back = [attempt for attempt in worker.take_back() if attempt.id not in attempts]
            self._waiting.extendleft(reversed(back))
            if any(attempt.id in attempts for attempt in worker.queue):
                worker.cancelled |= attempts
                self._kill(worker)
        self._feed()

    def ask(self, attempts: frozenset[AttemptId]) -> None:
        """Kill the workers that evaluate these attempts: a callable that takes no context cannot listen."""
        for worker in self._workers.values():
            if worker.queue and worker.queue[0].id in attempts and not worker.doomed:
                worker.verdict = Failure(FailureKind.PREEMPTED, "it was asked to end, and does not listen")
                self._kill(worker)

    def _kill(self, worker: KeptWorker) -> None:
        if not worker.doomed:
            worker.doomed = True
            self.supervision.end(worker.task)

    def advance(self, ended: Sequence[Ended]) -> float:
        """Read results, end what is overdue, replace what died, send what waits."""
        for worker in self._workers.values():
            self._read(worker)
        for report in ended:
            self._bury(self._workers.pop(report.task), report)
        due_s = min((self._look_after(worker) for worker in self._workers.values()), default=float("inf"))
        self._feed()
        return due_s

    def _read(self, worker: KeptWorker) -> None:
        for message in [] if worker.mute else worker.read():
            if message[0] == "ready":
                worker.ready, worker.since_s = True, self.now()
                self._failed_starts = 0
            elif message[0] == "broken":
                worker.broken = message[1]
            else:
                self._done(worker, *message[3:])

    def _done(self, worker: KeptWorker, duration_s: float, result: Any, log: str | None) -> None:
        now_s = self.now()
        attempt = worker.finish_first(now_s).id
        pace_s = duration_s if self._pace_s is None else self._pace_s
        self._pace_s = pace_s + _PACE_WEIGHT * (duration_s - pace_s)
        if attempt in worker.cancelled:
            return
        if self.launch.output_files:
            if log is not None:
                Path(log).replace(worker.folder / shadho_worker.LOG_FILE)
            sandbox.store_outputs(self.launch, worker.folder, attempt)
        elif log is not None:
            sandbox.store_log(self.launch, Path(log), attempt)
        self.finished(attempt, now_s - duration_s, sandbox.outcome_of(result, self.launch))

    def _look_after(self, worker: KeptWorker) -> float:
        """Do what is due for a worker's first attempt; return when something is due again."""
        if worker.doomed or not worker.ready or not worker.queue:
            return float("inf")
        limit_s = self.launch.trial_timeout_s
        age_s = self.now() - worker.since_s
        if limit_s is not None and age_s >= limit_s:
            worker.verdict = Failure(FailureKind.TIME_LIMIT, f"ran longer than the {limit_s:g} s that a trial may")
            self._kill(worker)
            return float("inf")
        if len(worker.queue) > 1 and age_s >= _SLOW_S:
            self._waiting.extendleft(reversed(worker.take_back()))
            self._pace_s = max(self._pace_s or 0.0, _SLOW_S)
        if not worker.told and worker.queue and age_s >= SHORT_S:
            worker.told = True
            self.updates.append(AttemptStarted(worker.since_s, worker.queue[0].id, self.host))
        ages_s = (_SLOW_S if len(worker.queue) > 1 else None, None if worker.told else SHORT_S, limit_s)
        return worker.since_s + min((due_s for due_s in ages_s if due_s is not None), default=float("inf"))

    def _bury(self, worker: KeptWorker, report: Ended) -> None:
        """Tell what became of the attempt that a worker died on; those behind it are blameless and go to others."""
        self._read(worker)
        self.gpus.give_back(worker.task)
        back = worker.take_back()
        first = worker.queue.popleft() if worker.queue else None
        self._waiting.extendleft(reversed([*worker.queue, *back]))
        worker.close()
        if first is None:
            self._note_failed_start(worker, report)
        elif first.id not in worker.cancelled:
            self._end(worker, first, report)
        worker.log.unlink(missing_ok=True)
        if self._has_folders:
            self.discard(worker.folder)

    def _end(self, worker: KeptWorker, first: Attempt, report: Ended) -> None:
        if worker.verdict is not None:
            failure = Failure(worker.verdict.kind, worker.verdict.message, sandbox.log_tail(worker.log))
        elif worker.doomed:
            self._waiting.appendleft(first)
            return
        elif report.status is None:
            self.lost(first.id, report.broken or "its worker process was killed from outside")
            return
        else:
            text = "the objective ended its process with status 0 before it returned"
            nothing = Failure(FailureKind.EXIT_CODE, text, sandbox.log_tail(worker.log))
            failure = end_failure(report, worker.log) or nothing
        sandbox.store_log(self.launch, worker.log, first.id)
        self.finished(first.id, worker.since_s, failure)

    def _note_failed_start(self, worker: KeptWorker, report: Ended) -> None:
        """Give up if workers cannot even load the objective."""
        if worker.ready or worker.doomed or (report.status is None and not report.broken):
            return
        self._failed_starts += 1
        if worker.broken:
            raise EngineError(worker.broken)
        if self._failed_starts >= _MOST_FAILED_STARTS:
            failure = end_failure(report, worker.log)
            reason = report.broken or (f"{failure.message}\n{failure.log_tail}" if failure else "ended with status 0")
            message = f"worker processes end before they have loaded the objective: {reason}"
            raise EngineError(message)

    def supervise(self, supervision: Supervision) -> None:
        """Go on with another supervisor."""
        self.supervision = supervision
        lost, self._workers = list(self._workers.values()), {}
        for worker in lost:
            self._bury(worker, Ended(worker.task, None))
        self._feed()

    def close(self) -> None:
        """Let go of the workers, which are gone."""
        for worker in self._workers.values():
            worker.close()
        self._workers = {}


def _takes(worker: KeptWorker, depth: int) -> bool:
    return not worker.doomed and len(worker.queue) < (depth if worker.ready else 1)


def _load(worker: KeptWorker) -> int:
    return len(worker.queue)
