"""The engine of a world that is not real: attempts take the time and bring the metric that a model says, under a clock of its own.

It is deterministic: what becomes of an attempt depends on the world's seed and the attempt alone.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from shadho_like.engine.base import EngineStatus, Launch, Update
from shadho_like.errors import OptionError
from shadho_like.events import AttemptFinished, AttemptLost, AttemptStarted
from shadho_like.resources import Capacity
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Hyperparameters, Outcome, Success

_BEGAN_S = 1_000_000_000.0
_QUEUED_PER_WORKER = 1
_RUNNING_PER_QUEUED = 8


@dataclass(frozen=True, slots=True)
class World:
    """What trials are like, and where they run.

    Attributes:
        duration: of (hyperparameters, length), and the compute class where there are any: the seconds that training from nothing up to
            the length takes; a later attempt of a trial takes the rest.
        metric: of (hyperparameters, length): what a validation there brings.
        workers: how many attempts run at once.
        classes: how many in each compute class, where workers differ; `workers` then means nothing.
        crash: the chance that an attempt fails, at some moment of its time.
        loss: the chance that an attempt's worker is lost, at some moment of its time; another takes its place.
        seed: for the chances.

    Raises:
        OptionError: no workers, or a chance outside of 0 to 1.
    """

    duration: Callable[..., float]
    metric: Callable[[Hyperparameters, int], float]
    workers: int = 16
    classes: Mapping[str, int] = field(default_factory=dict)
    crash: float = 0.0
    loss: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for workers in self.classes.values() or [self.workers]:
            if workers < 1:
                message = f"workers of a simulated world must be at least 1, not {workers}"
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
    length: int = field(default=0, compare=False)


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
        self._slots: dict[str | None, int] = dict(world.classes.items()) or {None: world.workers}
        self._waiting: defaultdict[str | None, deque[Attempt]] = defaultdict(deque)
        self._busy: Counter[str | None] = Counter()
        self._ends: list[_End] = []
        self._running: dict[AttemptId, tuple[float, str | None]] = {}
        self._updates: list[Update] = []
        self._reached: dict[int, int] = {}

    def open(self, launch: Launch) -> None:
        """Do nothing: the world says what an attempt does, whatever the launch is."""

    @property
    def busy_s(self) -> float:
        """Seconds that all workers together have worked."""
        return self._worked_s + sum(self._now_s - started_s for started_s, _ in self._running.values())

    def now(self) -> float:
        """Return the time of this world, in seconds since 1970."""
        return self._now_s

    def room(self) -> int:
        """Return how many more attempts are wanted: one behind each that runs."""
        return (1 + _QUEUED_PER_WORKER) * self._workers - len(self._running) - sum(map(len, self._waiting.values()))

    def classes(self) -> Sequence[Capacity]:
        """Return the classes of the workers, if they differ."""
        return [self._capacity(name, slots) for name, slots in self._slots.items() if name is not None]

    def _capacity(self, name: str, slots: int) -> Capacity:
        free = slots - self._busy[name] - len(self._waiting[name])
        return Capacity(name, slots, max(0, free + _queued(slots)), max(0, free))

    @property
    def _workers(self) -> int:
        return sum(self._slots.values())

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Start attempts on free workers of their class; the rest waits."""
        for attempt in attempts:
            name = attempt.compute_class if attempt.compute_class in self._slots else next(iter(self._slots))
            self._waiting[name].append(attempt)
        self._fill()

    def _fill(self) -> None:
        for name, slots in self._slots.items():
            waiting = self._waiting[name]
            while waiting and self._busy[name] < slots:
                attempt = waiting.popleft()
                self._busy[name] += 1
                self._running[attempt.id] = self._now_s, name
                heapq.heappush(self._ends, self._end_of(attempt, () if name is None else (name,)))
                self._updates.append(AttemptStarted(self._now_s, attempt.id, name or "simulated"))

    def trained(self, attempt: Attempt) -> int:
        """Return the length from which an attempt goes on: its trial's, or that of the trial whose checkpoint it starts from."""
        if attempt.trained or attempt.start_from is None:
            return attempt.trained
        return self._reached.get(int(attempt.start_from.partition(".")[0]), 0)

    def _end_of(self, attempt: Attempt, where: tuple[str, ...]) -> _End:
        world, trained = self._world, self.trained(attempt)
        before_s = world.duration(attempt.hparams, trained, *where) if trained else 0.0
        whole_s = max(0.0, world.duration(attempt.hparams, attempt.length, *where) - before_s)
        if world.crash or world.loss:
            chance, moment = np.random.default_rng([world.seed, *attempt.id]).random(2)
            if chance < world.crash:
                failure = Failure(FailureKind.EXIT_CODE, "exited with status 1")
                return _End(self._now_s + moment * whole_s, attempt.id, self._now_s, failure)
            if chance < world.crash + world.loss:
                return _End(self._now_s + moment * whole_s, attempt.id, self._now_s, None)
        value = world.metric(attempt.hparams, attempt.length)
        outcome = Success(value) if math.isfinite(value) else Failure(FailureKind.BAD_RESULT, f"the objective returned {value}")
        return _End(self._now_s + whole_s, attempt.id, self._now_s, outcome, attempt.length)

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Stop these attempts; their workers are free at once."""
        gone = set(attempts)
        for name, waiting in self._waiting.items():
            self._waiting[name] = deque(attempt for attempt in waiting if attempt.id not in gone)
        self._updates = [update for update in self._updates if getattr(update, "attempt", None) not in gone]
        for attempt in gone & self._running.keys():
            self._release(attempt)
        self._fill()

    def _release(self, attempt: AttemptId) -> str:
        """Free an attempt's worker; return where it ran."""
        started_s, name = self._running.pop(attempt)
        self._worked_s += self._now_s - started_s
        self._busy[name] -= 1
        return name or "simulated"

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        """End these attempts, as if each had taken a checkpoint at once."""
        running = [(attempt, *self._running[attempt]) for attempt in attempts if attempt in self._running]
        self.cancel(attempts)
        asked = Failure(FailureKind.PREEMPTED, "it was asked to end, and took a checkpoint")
        for attempt, started_s, name in running:
            self._updates.append(AttemptFinished(self._now_s, attempt, started_s, name or "simulated", asked))

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
            if self._running.get(end.attempt, (None,))[0] != end.started_s:
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
        host = self._release(end.attempt)
        if end.outcome is None:
            self._updates.append(AttemptLost(end.time_s, end.attempt, host, "its worker went away"))
        else:
            if isinstance(end.outcome, Success):
                self._reached[end.attempt.trial] = end.length
            self._updates.append(AttemptFinished(end.time_s, end.attempt, end.started_s, host, end.outcome))
        self._fill()

    def status(self) -> EngineStatus:
        """Return the workers."""
        return EngineStatus(self._workers, self._workers)

    def close(self) -> None:
        """Forget what runs."""
        self._waiting.clear()
        self._running.clear()
        self._ends.clear()
        self._updates.clear()


def _queued(slots: int) -> int:
    """Return how many attempts wait for a class: as few as can be, as they can go nowhere else without being recalled."""
    return max(1, slots // _RUNNING_PER_QUEUED)
