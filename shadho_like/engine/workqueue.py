"""The engine of a cluster: attempts become tasks of a Work Queue manager, which runs in a process of its own.

What is decided here is what a task's end means for its attempts; Work Queue itself is behind `workqueue_process`.
"""

from __future__ import annotations

import itertools
import math
import select
import shlex
import shutil
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import shadho_worker

from shadho_like import checkpoint, rendezvous, sandbox
from shadho_like.engine.base import EngineStatus, Launch, Notice, Update
from shadho_like.engine.clock import SteadyClock
from shadho_like.engine.reporting import Reporting
from shadho_like.engine.slots import in_groups
from shadho_like.engine.workqueue_classes import TaskClasses, by_class
from shadho_like.engine.workqueue_command import UNSAID, limit_reached
from shadho_like.engine.workqueue_demand import Demand
from shadho_like.engine.workqueue_files import TaskFiles
from shadho_like.engine.workqueue_fleet import Fleet
from shadho_like.engine.workqueue_options import WorkQueueOptions
from shadho_like.engine.workqueue_process import ManagerProcess
from shadho_like.errors import EngineError
from shadho_like.events import AttemptFinished, AttemptLost, AttemptReported, AttemptStarted
from shadho_like.launch import USUAL_PRIORITY
from shadho_like.reports import Lost
from shadho_like.resources import Capacity
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind

__all__ = ["WorkQueueEngine", "WorkQueueOptions"]

_MOST_DEATHS = 5
_FEWEST_TASKS = 32
_MOST_TASKS = 2000
_ALONE_S = 30.0
_GATHER_S = 0.02
_LEAST_DISK = 128 * 1024 * 1024


@dataclass(slots=True)
class _Task:
    """A task that the manager has, and the attempts that share it; those that are wanted no more are taken out."""

    number: int
    folder: Path
    attempts: list[Attempt]
    host: str = ""
    ids: tuple[AttemptId, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = tuple(attempt.id for attempt in self.attempts)


class WorkQueueEngine:
    """Runs attempts on the workers that come: `wq_worker -M name`, or any `work_queue_worker`.

    Args:
        options: how workers find it.
    """

    asks: ClassVar[bool] = False

    def __init__(self, options: WorkQueueOptions) -> None:
        self._options = options
        self._clock = SteadyClock()
        self._run = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._launch: Launch | None = None
        self._manager: ManagerProcess | None = None
        self._published: Path | None = None
        self._tasks: dict[int, _Task] = {}
        self._task_of: dict[AttemptId, _Task] = {}
        self._updates: list[Update] = []
        self._deaths = 0
        self._workers = 0
        self._slots = 0
        self._fleet = Fleet()
        self._alone_s = math.inf
        self._heard_s = 0.0

    def open(self, launch: Launch) -> None:
        """Start the manager and say where it listens.

        Raises:
            UserError: the objective cannot be sent to other processes.
            WorldError: Work Queue is not installed, the port is in use, or the rendezvous file cannot be written.
        """
        self._launch = launch
        if launch.checkpoints is not None:
            checkpoint.make_root(launch.checkpoints)
        self._files = TaskFiles(launch, self._options)
        self._classes = TaskClasses(launch)
        self._reporting = Reporting(self.now, safe=launch.checkpoints is not None)
        self._files.make()
        plan = self._files.plan()
        self._demand = Demand(plan["resources"], plan["features"])
        self._settings = {
            **plan,
            "name": self._options.name,
            "address": self._options.address,
            "ports": self._options.ports,
            "catalog": self._options.catalog_server,
            "password_file": self._options.password_file and str(Path(self._options.password_file).absolute()),
            "ssl": self._options.ssl and [str(Path(file).absolute()) for file in self._options.ssl],
        }
        self._start(self._settings)
        if self._manager is not None and not self._manager.confined:
            text = "this kernel has no Landlock: whoever can connect as a worker may write to files of yours"
            self._updates.append(Notice(text))

    def _start(self, settings: Mapping[str, Any]) -> None:
        self._manager = ManagerProcess(settings, self._files.log)
        self._workers = self._slots = 0
        self._alone_s = self.now() + _ALONE_S
        password_file = self._settings["password_file"]
        self._published = rendezvous.publish(
            self._options.name,
            host=self._host,
            port=self._manager.port,
            run_id=self._run,
            password_file=password_file,
            jobs_per_gpu=self._opened.resources.jobs_per_gpu,
            ssl=self._options.ssl is not None,
            priority=self._opened.priority or USUAL_PRIORITY,
        )

    @property
    def port(self) -> int:
        """The port where the manager listens."""
        return self._connected.port

    @property
    def _host(self) -> str:
        return self._options.address or socket.gethostname()

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._clock.now()

    def room(self) -> int:
        """Return how many more attempts are wanted: enough to give every worker its next task at once, and several at a time."""
        wanted = min(_MOST_TASKS, max(_FEWEST_TASKS, 2 * self._slots))
        free = wanted - len(self._tasks)
        return free * self._opened.trials_per_task if free >= wanted // 4 else 0

    def classes(self) -> Sequence[Capacity]:
        """Return what each compute class can take: those that were declared, else those that workers have been found to be of."""
        return self._classes.capacities(self.now(), workers=self._workers)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Give attempts to the manager."""
        alike = by_class(attempts)
        orders = [self._order(group) for each in alike for group in in_groups(each, self._opened.trials_per_task)]
        self._connected.send(*orders)

    def _order(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        number = next(self._numbers)
        task = _Task(number, self._files.folder(), list(attempts))
        self._tasks[number] = task
        self._task_of.update(dict.fromkeys(task.ids, task))
        compute_class = attempts[0].compute_class
        self._classes.submitted(number, compute_class, self.now())
        incoming = self._files.incoming(attempts)
        if incoming.lost:
            lost = tuple(Lost(-1, checkpoint, reason) for checkpoint, reason in incoming.lost)
            self._updates.append(AttemptReported(self.now(), attempts[0].id, lost))
        return {**self._files.order(number, task.folder, attempts, incoming), **self._classes.asked(compute_class)}

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Kill attempts; the rest of a batch goes on."""
        gone = set(attempts)
        self._updates = [update for update in self._updates if getattr(update, "attempt", None) not in gone]
        tasks = {task.number: task for attempt in attempts if (task := self._task_of.pop(attempt, None))}
        for task in tasks.values():
            task.attempts = [attempt for attempt in task.attempts if attempt.id not in gone]
            if not task.attempts:
                self._reporting.forget(task.number)
        if empty := [task.number for task in tasks.values() if not task.attempts]:
            self._connected.send({"cancel": empty})

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        """Do nothing: Work Queue has no way to a task that runs. Slices let it end by itself."""

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        """Return what happened; sleeps in the system until something does.

        Raises:
            EngineError: an input file is gone, or the manager dies again and again.
        """
        deadline_s, woken = self.now() + timeout_s, False
        while True:
            self._hear()
            if self._updates or woken or self.now() >= deadline_s:
                updates, self._updates = self._updates, []
                return updates
            woken = self._sleep(min(deadline_s, self._alone_s, self._demand.due_s) - self.now(), wake_fd)

    def _sleep(self, seconds: float, wake_fd: int | None) -> bool:
        """Sleep until there is something to hear, at most so long; return whether `wake_fd` can be read.

        Tasks that end in quick succession are heard of together: they share a commit then. Workers have their next ones already.
        """
        time.sleep(min(seconds, max(0.0, self._heard_s + _GATHER_S - self.now())) if seconds > 0 else 0)
        poll = select.poll()
        poll.register(self._connected.fd, select.POLLIN)
        if (full_fd := self._connected.full_fd) is not None:
            poll.register(full_fd, select.POLLOUT)
        if wake_fd is not None:
            poll.register(wake_fd, select.POLLIN)
        return any(fd == wake_fd for fd, _ in poll.poll(max(0, math.ceil(seconds * 1000))))

    def _hear(self) -> None:
        manager = self._connected
        manager.flush()
        self._heard_s = self.now()
        again: list[dict[str, Any]] = []
        for report in manager.read():
            if "host" in report:
                report["host"] = shadho_worker.one_line(report["host"])
            if report.get("features") is not None:
                self._classes.saw(report["features"])
                self._fleet.saw(report["host"], report["features"])
            if "done" in report:
                self._classes.over(report["done"])
                again += self._end(self._tasks.pop(report["done"]), report)
            elif "fleet" in report:
                self._fleet.hear(report["fleet"])
                if not self._opened.compute_classes and (line := self._demand.unused(report["fleet"]["gpus"][1])) is not None:
                    self._updates.append(Notice(line))
            elif "started" in report:
                self._begin(self._tasks[report["started"]], report)
            elif "cancelled" in report:
                self._classes.over(report["cancelled"])
                self._files.empty(self._tasks.pop(report["cancelled"]).folder)
            else:
                self._count(report["workers"], report["slots"])
                self._demand.hear(report["lacking"], report["offers"], self.now())
        self._updates += self._reporting.sweep()
        if not manager.alive:
            self._revive(manager)
        elif again:
            manager.send(*again)
        self._updates += map(Notice, self._classes.notices())
        if (unmet := self._demand.say(self.now())) is not None:
            self._updates.append(Notice(unmet))
        if self.now() >= self._alone_s:
            self._alone_s = math.inf
            self._updates.append(Notice(f"no worker has been connected for {_ALONE_S:g} s; to start one: {self._worker_command()}"))

    def _begin(self, task: _Task, report: Mapping[str, Any]) -> None:
        self._classes.begun(task.number, self.now())
        task.host = report["host"]
        self._follow(task)
        self._updates += [AttemptStarted(report["time"], attempt.id, task.host) for attempt in task.attempts]

    def _follow(self, task: _Task) -> None:
        """Hear what a task's attempt reports, from now on."""
        if self._files.reports and task.attempts:
            self._reporting.begin(task.number, task.ids[0], task.folder / shadho_worker.EVENTS_FILE)

    def _end(self, task: _Task, report: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Tell what became of a task's attempts; return the order for those that are to run again."""
        self._deaths = 0
        again: list[Attempt] = []
        came_back = task.attempts and report["status"] not in {"lost", "input"}
        self._follow(task)
        self._updates += self._reporting.end(task.number, self._files.keep_archive(task.folder, task.ids[0]) if came_back else None)
        if report["status"] == "lost":
            self._lose(task, f"its worker went away ({report['result']})")
        elif report["status"] == "input":
            self._lose(task, self._input_problem())
        elif not report["said"] and report["exit"] == UNSAID:
            self._lose(task, "the disk of its worker is full")
        elif task.attempts:
            again = self._read(task, report)
        for attempt in task.attempts:
            self._task_of.pop(attempt.id, None)
        self._files.empty(task.folder)
        return [self._order(again)] if again else []

    def _read(self, task: _Task, report: Mapping[str, Any]) -> list[Attempt]:
        launch, failure = self._opened, self._failure(task, report)
        outcomes = sandbox.read_results(task.folder, task.ids, launch, failure)
        if report["asked"]:
            outcomes = {attempt: sandbox.preempted(outcome) for attempt, outcome in outcomes.items()}
        sandbox.store_outputs(launch, task.folder, task.ids[0])
        for attempt in task.attempts:
            if (outcome := outcomes[attempt.id]) is not None:
                self._updates.append(AttemptFinished(self.now(), attempt.id, report["started"], report["host"], outcome))
        return [attempt for attempt in task.attempts if outcomes[attempt.id] is None]

    def _failure(self, task: _Task, report: Mapping[str, Any]) -> Failure | None:
        if report["status"] == "ended" and report["said"] == "0":
            return None
        log = task.folder / shadho_worker.LOG_FILE
        tail = sandbox.log_tail(log)
        status = int(report["said"]) if report["said"] else -report["exit"]
        kind = limit_reached(tail)
        if report["status"] == "ended" and kind is None:
            return sandbox.exit_failure(status, log)
        if kind is FailureKind.TIME_LIMIT or "wall_time" in report["exceeded"]:
            limit = f"the {self._opened.trial_timeout_s:g} s" if self._opened.trial_timeout_s else "the time"
            return Failure(FailureKind.TIME_LIMIT, f"ran longer than {limit} that a trial may", tail)
        if "memory" in report["exceeded"]:
            return Failure(FailureKind.OUT_OF_MEMORY, "used more memory than it had on its worker", tail)
        limit = f"the {self._opened.resources.disk_mb} MB" if self._opened.resources.disk_mb else "the room"
        return Failure(FailureKind.DISK, f"its folder took more than {limit} of disk that a trial may", tail)

    def _input_problem(self) -> str:
        """Return why input files could not be sent, if that has passed.

        Raises:
            EngineError: they are gone.
        """
        if missing := self._files.missing_inputs():
            names = ", ".join(missing)
            raise EngineError(f"the input file {names} is gone from this machine, and no more tasks can be sent: put it back")
        return "an input file could not be read on the driver's machine"

    def _lose(self, task: _Task, reason: str) -> None:
        self._updates += [AttemptLost(self.now(), attempt.id, task.host, reason) for attempt in task.attempts]

    def _count(self, workers: int, slots: int) -> None:
        if slots and not self._slots:
            self._updates.append(Notice(f"a worker is connected: room for {slots} at once"))
        if workers > self._workers:
            self._classes.more_workers(self.now())
        if workers:
            self._alone_s = math.inf
        elif self._workers:
            self._alone_s = self.now() + _ALONE_S
        self._workers, self._slots = workers, slots

    def _worker_command(self) -> str:
        known = shlex.quote(self._options.name)
        password = f" -P {shlex.quote(str(self._settings['password_file']))}" if self._options.password_file else ""
        ssl = " --ssl" if self._options.ssl else ""
        return f"wq_worker -M {known}, or from afar: wq_worker {self._host} {self.port}{password}{ssl}"

    def _revive(self, dead: ManagerProcess) -> None:
        """Start another manager, on the same port if it can be had; everything that the last one ran is lost."""
        self._deaths += 1
        dead.close()
        for task in self._tasks.values():
            self._updates += self._reporting.end(task.number)
            self._lose(task, "the process with Work Queue's manager died")
            self._files.empty(task.folder)
        self._tasks.clear()
        self._task_of.clear()
        self._classes.forget()
        if self._deaths > _MOST_DEATHS:
            free = shutil.disk_usage(self._files.out).free
            reason = "the disk is full" if free < _LEAST_DISK else f"its last words:\n{dead.last_words()}"
            raise EngineError(f"Work Queue's manager died {self._deaths} times in a row; {reason}")
        try:
            self._start({**self._settings, "ports": (dead.port, dead.port)})
        except EngineError:
            self._start(self._settings)

    def status(self) -> EngineStatus:
        """Return the workers that are connected and the tasks that they can run at once."""
        return self._fleet.status(self._workers, self._slots)

    def close(self) -> None:
        """End the manager, and with it what runs on workers; leave nothing here."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None
        if self._published is not None:
            rendezvous.withdraw(self._published)
            self._published = None
        if self._launch is not None:
            self._files.remove()
            self._launch = None
        self._tasks.clear()
        self._task_of.clear()

    @property
    def _opened(self) -> Launch:
        if self._launch is None:
            raise EngineError("the engine is not open")
        return self._launch

    @property
    def _connected(self) -> ManagerProcess:
        if self._manager is None:
            raise EngineError("the engine is not open")
        return self._manager
