"""The engine that evaluates a callable in the driver's own process: nothing is started, sent or written."""

from __future__ import annotations

import math
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

import shadho_worker

from shadho_like.engine.base import EngineStatus, Launch, Update
from shadho_like.engine.clock import SteadyClock
from shadho_like.errors import EngineError, OptionError
from shadho_like.events import AttemptFinished
from shadho_like.resources import Capacity
from shadho_like.sandbox import outcome_of
from shadho_like.trial import Attempt, AttemptId

_ROOM = 64
_TURN_S = 0.02


class InProcessEngine:
    """Evaluates attempts one after the other, inside of `wait`."""

    asks: ClassVar[bool] = True

    def __init__(self) -> None:
        self._clock = SteadyClock()
        self._launch: Launch | None = None
        self._waiting: deque[Attempt] = deque()
        self._host = socket.gethostname()

    def open(self, launch: Launch) -> None:
        """Take the objective.

        Raises:
            OptionError: there is something to do that takes another process.
        """
        if launch.objective is None:
            message = "a shell command cannot be evaluated in this process: leave workers=0 out"
            raise OptionError(message)
        if shadho_worker.takes_context(launch.objective):
            message = "a training function that takes a context needs a folder of its own: leave workers=0 out"
            raise OptionError(message)
        if launch.trial_timeout_s is not None:
            message = "trial_timeout cannot end a trial that runs in this process: leave out either it or workers=0"
            raise OptionError(message)
        if launch.output_files:
            message = "output files are fetched from a trial's folder, and in this process there is none: leave workers=0 out"
            raise OptionError(message)
        if launch.environment:
            message = "trials that run in this process have its environment: leave out either environment or workers=0"
            raise OptionError(message)
        self._launch = launch

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._clock.now()

    def room(self) -> int:
        """Return how many more attempts are wanted now."""
        return max(0, _ROOM - len(self._waiting))

    def classes(self) -> Sequence[Capacity]:
        """Return nothing: there is one kind of worker."""
        return ()

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts over."""
        self._waiting.extend(attempts)

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Forget these attempts; none of them has begun."""
        gone = set(attempts)
        self._waiting = deque(attempt for attempt in self._waiting if attempt.id not in gone)

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        """Do nothing: between two calls, none of them runs."""

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        """Evaluate what waits for some milliseconds, one attempt at least; with nothing to do, sleep.

        Raises:
            EngineError: the engine is not open.
        """
        if self._launch is None:
            message = "the engine is not open"
            raise EngineError(message)
        if not self._waiting:
            poll = select.poll()
            if wake_fd is not None:
                poll.register(wake_fd, select.POLLIN)
            poll.poll(math.ceil(1000 * timeout_s))
        updates: list[Update] = []
        until_s = time.monotonic() + _TURN_S
        while self._waiting:
            updates.append(self._evaluate(self._launch, self._waiting.popleft()))
            if time.monotonic() >= until_s:
                break
        return updates

    def _evaluate(self, launch: Launch, attempt: Attempt) -> AttemptFinished:
        assert launch.objective is not None
        started_s = self.now()
        result = shadho_worker.evaluate(launch.objective, attempt.hparams, launch.metric, launch.evaluations, launch.any_json)
        return AttemptFinished(self.now(), attempt.id, started_s, self._host, outcome_of(result, launch))

    def status(self) -> EngineStatus:
        """Return that there is one slot."""
        return EngineStatus(None, 1)

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._launch = None
