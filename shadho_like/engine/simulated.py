"""The engine of a world that is not real: attempts take the time and bring the metric that a model says, under a clock of its own.

It is deterministic: what becomes of an attempt depends on the world's seed and the attempt alone.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from shadho_like.engine.base import EngineStatus, Launch, Update
from shadho_like.errors import OptionError
from shadho_like.events import AttemptFinished, AttemptLost, AttemptStarted
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Hyperparameters, Outcome, Success

_BEGAN_S = 1_000_000_000.0
_QUEUED_PER_WORKER = 1


@dataclass(frozen=True, slots=True)
class World:
    """What trials are like, and where they run.

    Attributes:
        duration: of (hyperparameters, length): the seconds that training from nothing up to the length takes; a later attempt of a
            trial takes the rest.
        metric: of (hyperparameters, length): what a validation there brings.
        workers: how many attempts run at once.
        crash: the chance that an attempt fails, at some moment of its time.
        loss: the chance that an attempt's worker is lost, at some moment of its time; another takes its place.
        seed: for the chances.

    Raises:
        OptionError: no workers, or a chance outside of 0 to 1.
    """

    duration: Callable[[Hyperparameters, int], float]
    metric: Callable[[Hyperparameters, int], float]
    workers: int = 16
    crash: float = 0.0
    loss: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.workers < 1:
            message = f"workers of a simulated world must be at least 1, not {self.workers}"
            raise OptionError(message)
        for name, chance in (("crash", self.crash), ("loss", self.loss)):
            if not 0 <= chance <= 1:
                message = f"{name} of a simulated world is a chance, 0 to 1, not {chance}"
                raise OptionError(message)


@dataclass(order=True, slots=True)
class _End:
    """How and when a running attempt ends."""

    time_s: float
    attempt: AttemptId
    started_s: float = field(compare=False)
    outcome: Outcome | None = field(compare=False)
    """None if its worker is lost."""


class SimulatedEngine:
    """Runs attempts in a `World`.

    Args:
        world: what trials are like.
        began_s: what the clock says at first, in seconds since 1970.
    """

    asks: ClassVar[bool] = True

    def __init__(self, world: World, began_s: float = _BEGAN_S) -> None:
        self._world = world
        self._worked_s = 0.0
        self._now_s = began_s
        self._waiting: deque[Attempt] = deque()
        self._ends: list[_End] = []
        self._running: dict[AttemptId, float] = {}
        self._updates: list[Update] = []

    def open(self, launch: Launch) -> None:
        """Do nothing: the world says what an attempt does, whatever the launch is."""

    @property
    def busy_s(self) -> float:
        """Seconds that all workers together have worked."""
        return self._worked_s + sum(self._now_s - started_s for started_s in self._running.values())

    def now(self) -> float:
        """Return the time of this world, in seconds since 1970."""
        return self._now_s

    def room(self) -> int:
        """Return how many more attempts are wanted: one behind each that runs."""
        wanted = (1 + _QUEUED_PER_WORKER) * self._world.workers
        return wanted - len(self._running) - len(self._waiting)

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Start attempts on free workers; the rest waits."""
        self._waiting.extend(attempts)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._world.workers:
            attempt = self._waiting.popleft()
            self._running[attempt.id] = self._now_s
            heapq.heappush(self._ends, self._end_of(attempt))
            self._updates.append(AttemptStarted(self._now_s, attempt.id, "simulated"))

    def _end_of(self, attempt: Attempt) -> _End:
        world = self._world
        before_s = world.duration(attempt.hparams, attempt.trained) if attempt.trained else 0.0
        whole_s = max(0.0, world.duration(attempt.hparams, attempt.length) - before_s)
        if world.crash or world.loss:
            chance, moment = np.random.default_rng([world.seed, *attempt.id]).random(2)
            if chance < world.crash:
                failure = Failure(FailureKind.EXIT_CODE, "exited with status 1")
                return _End(self._now_s + moment * whole_s, attempt.id, self._now_s, failure)
            if chance < world.crash + world.loss:
                return _End(self._now_s + moment * whole_s, attempt.id, self._now_s, None)
        value = world.metric(attempt.hparams, attempt.length)
        outcome = Success(value) if math.isfinite(value) else Failure(FailureKind.BAD_RESULT, f"the objective returned {value}")
        return _End(self._now_s + whole_s, attempt.id, self._now_s, outcome)

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Stop these attempts; their workers are free at once."""
        gone = set(attempts)
        self._waiting = deque(attempt for attempt in self._waiting if attempt.id not in gone)
        self._updates = [update for update in self._updates if getattr(update, "attempt", None) not in gone]
        for attempt in gone & self._running.keys():
            self._worked_s += self._now_s - self._running.pop(attempt)
        self._fill()

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        """End these attempts, as if each had taken a checkpoint at once."""
        running = [(attempt, self._running[attempt]) for attempt in attempts if attempt in self._running]
        self.cancel(attempts)
        asked = Failure(FailureKind.PREEMPTED, "it was asked to end, and took a checkpoint")
        self._updates += [AttemptFinished(self._now_s, attempt, started_s, "simulated", asked) for attempt, started_s in running]

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        """Return what happens next; the clock jumps there, or on by the timeout if that is nearer."""
        del wake_fd
        if not self._updates:
            self._advance(self._now_s + timeout_s)
        updates, self._updates = self._updates, []
        return updates

    def _advance(self, until_s: float) -> None:
        while self._ends:
            end = self._ends[0]
            if self._running.get(end.attempt) != end.started_s:
                heapq.heappop(self._ends)
                continue
            if end.time_s > until_s:
                break
            heapq.heappop(self._ends)
            self._finish(end)
            return
        self._now_s = until_s

    def _finish(self, end: _End) -> None:
        self._now_s = end.time_s
        self._worked_s += end.time_s - self._running.pop(end.attempt)
        if end.outcome is None:
            self._updates.append(AttemptLost(end.time_s, end.attempt, "simulated", "its worker went away"))
        else:
            self._updates.append(AttemptFinished(end.time_s, end.attempt, end.started_s, "simulated", end.outcome))
        self._fill()

    def status(self) -> EngineStatus:
        """Return the workers."""
        return EngineStatus(self._world.workers, self._world.workers)

    def close(self) -> None:
        """Forget what runs."""
        self._waiting.clear()
        self._running.clear()
        self._ends.clear()
        self._updates.clear()
