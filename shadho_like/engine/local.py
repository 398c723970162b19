"""The engine of this machine: a wait loop over slots for commands or for a callable. It knows neither of the two."""

from __future__ import annotations

import math
import os
import select
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

import shadho_worker

from shadho_like.engine.base import EngineStatus, Launch, Update
from shadho_like.engine.callables import CallableSlots
from shadho_like.engine.clock import SteadyClock
from shadho_like.engine.commands import CommandSlots, as_command
from shadho_like.engine.gpu_share import GpuShare
from shadho_like.engine.open_files import allow_files
from shadho_like.engine.slots import Slots
from shadho_like.engine.supervision import Supervision
from shadho_like.engine.supervisor import remove_folder
from shadho_like.engine_status import Host
from shadho_like.errors import EngineError, OptionError
from shadho_like.events import AttemptFinished
from shadho_like.hardware import cores
from shadho_like.resources import Capacity
from shadho_like.trial import Attempt, AttemptId

_MOST_DEATHS = 5
_FILES_PER_COMMAND, _FILES_PER_CALLABLE = 1, 3


class LocalEngine:
    """Runs attempts on this machine, each with its whole family of processes, none of which outlives the driver.

    Args:
        workers: how many run at once, if there are GPUs enough for what they ask; by default as many as this process may use cores.

    Raises:
        OptionError: `workers` is below 1.
    """

    asks: ClassVar[bool] = True

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            message = f"workers must be at least 1, not {workers}"
            raise OptionError(message)
        self._workers = workers or cores()
        self._clock = SteadyClock()
        self._slots: Slots | None = None
        self._supervision: Supervision | None = None
        self._deaths = 0

    def open(self, launch: Launch) -> None:
        """Start the supervisor and empty the folder of sandboxes.

        Raises:
            UserError: the objective cannot be sent to other processes, or the system does not allow as many open files as slots need.
            EngineError: the supervisor cannot start, or there are fewer GPUs than a trial asks for.
        """
        gpus = GpuShare(launch.resources, os.environ)
        slots = self._workers if gpus.slots is None else min(self._workers, gpus.slots)
        launch = replace(launch, checkpoints=launch.checkpoints or launch.paths.checkpoints)
        if launch.objective is not None and shadho_worker.takes_context(launch.objective):
            launch = as_command(launch, launch.objective)
        allow_files(slots, _FILES_PER_COMMAND if launch.objective is None else _FILES_PER_CALLABLE)
        sandboxes = launch.paths.sandboxes
        sandboxes.mkdir(parents=True, exist_ok=True)
        left = list(sandboxes.iterdir())
        self._supervision = _supervision()
        kind = CommandSlots if launch.objective is None else CallableSlots
        self._slots = kind(launch, slots, self.now, self._supervision, gpus)
        for entry in left:
            self._slots.discard(entry)

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._clock.now()

    def room(self) -> int:
        """Return how many more attempts are wanted now."""
        return self._opened.room()

    def classes(self) -> Sequence[Capacity]:
        """Return nothing: there is one kind of worker."""
        return ()

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts over."""
        self._opened.submit(attempts)

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Kill these attempts."""
        gone = frozenset(attempts)
        self._opened.cancel(gone)
        self._opened.updates = [update for update in self._opened.updates if getattr(update, "attempt", None) not in gone]

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        """Send SIGTERM to what listens for it, and kill what does not."""
        self._opened.ask(frozenset(attempts))

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        """Return what happened; sleeps in the system until something does.

        Raises:
            EngineError: workers cannot load the objective, or the supervisor dies again and again.
        """
        slots, deadline_s, woken = self._opened, self.now() + timeout_s, False
        while True:
            due_s = self._advance(slots)
            if slots.updates or woken or self.now() >= deadline_s:
                updates, slots.updates = slots.updates, []
                return updates
            woken = self._sleep(min(due_s, deadline_s) - self.now(), wake_fd)

    def _advance(self, slots: Slots) -> float:
        if not slots.updates:
            slots.clear_away()
        due_s = slots.advance(slots.supervision.read())
        if any(isinstance(update, AttemptFinished) for update in slots.updates):
            self._deaths = 0
        if not slots.supervision.alive:
            self._revive(slots)
        if not slots.updates:
            slots.clear_away()
        return due_s

    def _revive(self, slots: Slots) -> None:
        self._deaths += 1
        slots.supervision.close()
        if self._deaths > _MOST_DEATHS:
            message = f"the process that runs the trials died {self._deaths} times in a row; what it printed is above"
            raise EngineError(message)
        self._supervision = _supervision()
        slots.supervise(self._supervision)

    def _sleep(self, seconds: float, wake_fd: int | None) -> bool:
        """Sleep until something can be read, at most so long; return whether `wake_fd` can."""
        poll = select.poll()
        for fd in (self._opened.supervision.fd, *self._opened.fds(), *(() if wake_fd is None else (wake_fd,))):
            poll.register(fd, select.POLLIN)
        ready = poll.poll(max(0, math.ceil(seconds * 1000)))
        return any(fd == wake_fd for fd, _ in ready)

    def status(self) -> EngineStatus:
        """Return the worker processes, slots and GPUs."""
        if self._slots is None:
            return EngineStatus(None, self._workers)
        gpus = self._slots.gpus
        hosts = (Host(self._slots.host, gpus.described),) if gpus.described else ()
        return EngineStatus(self._slots.workers(), self._slots.slots, gpus=gpus.load, hosts=hosts)

    def close(self) -> None:
        """Kill what runs, and leave no process and no sandbox."""
        if self._supervision is not None:
            self._supervision.close()
            self._supervision = None
        if self._slots is not None:
            self._slots.close()
            remove_folder(self._slots.launch.paths.sandboxes)
            with suppress(OSError):
                self._slots.launch.paths.checkpoints.rmdir()
            self._slots.launch.paths.objective.unlink(missing_ok=True)
            self._slots = None

    @property
    def _opened(self) -> Slots:
        if self._slots is None:
            message = "the engine is not open"
            raise EngineError(message)
        return self._slots


def _supervision() -> Supervision:
    try:
        return Supervision()
    except OSError as error:
        message = f"the process that runs the trials cannot be started: {error}"
        raise EngineError(message, transient=True) from error
