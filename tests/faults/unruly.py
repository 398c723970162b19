"""A driver's world gone wrong: an engine that loses, delays, repeats and shuffles answers, a journal whose disk refuses, a driver that dies.

All of it follows from one generator. What is right and wrong afterwards is `promises`' business.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from shadho_like.engine.base import EngineStatus, Launch, Update
from shadho_like.engine.simulated import SimulatedEngine
from shadho_like.errors import JournalError
from shadho_like.events import AttemptFinished, AttemptLost, Event
from shadho_like.journal import Journal, MethodRow
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Capacity
from shadho_like.trial import Attempt, AttemptId
from shadho_like.turn import Turn


class Died(BaseException):
    """The driver was killed here."""


@dataclass
class Mischief:
    """Decides what goes wrong when, and counts it.

    Attributes:
        random: the generator.
        lose, late, twice, shuffle: chances of each answer.
        refuse: the chance that the disk refuses a write.
        die: the chance that the driver dies, at each of its calls.
        faults: how many things went wrong.
    """

    random: random.Random
    lose: float = 0.15
    late: float = 0.1
    twice: float = 0.15
    shuffle: float = 0.3
    refuse: float = 0.01
    die: float = 0.004
    faults: int = 0

    def strikes(self, chance: float) -> bool:
        """Return whether it happens now."""
        struck = self.random.random() < chance
        self.faults += struck
        return struck

    def maybe_die(self) -> None:
        """Kill the driver here, by chance.

        Raises:
            Died: so it is.
        """
        if self.strikes(self.die):
            raise Died


class UnrulyEngine:
    """An engine between the loop and a world, that keeps no order.

    Args:
        inner: the world.
        mischief: what goes wrong.
    """

    asks: ClassVar[bool] = True

    def __init__(self, inner: SimulatedEngine, mischief: Mischief) -> None:
        self._inner = inner
        self._mischief = mischief
        self._held: list[tuple[int, Update]] = []
        self._waits = 0
        self.closed = False

    def open(self, launch: Launch) -> None:
        self._mischief.maybe_die()
        self._inner.open(launch)

    def now(self) -> float:
        return self._inner.now()

    def room(self) -> int:
        return self._inner.room()

    def classes(self) -> Sequence[Capacity]:
        return self._inner.classes()

    def submit(self, attempts: Sequence[Attempt]) -> None:
        self._mischief.maybe_die()
        self._inner.submit(attempts)
        self._mischief.maybe_die()

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        self._mischief.maybe_die()
        self._inner.ask(attempts)

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        self._mischief.maybe_die()
        self._inner.cancel(attempts)

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        self._mischief.maybe_die()
        self._waits += 1
        updates = [twisted for update in self._inner.wait(timeout_s, wake_fd) for twisted in self._twist(update)]
        updates += [update for due, update in self._held if due <= self._waits]
        self._held = [(due, update) for due, update in self._held if due > self._waits]
        if len(updates) > 1 and self._mischief.strikes(self._mischief.shuffle):
            self._mischief.random.shuffle(updates)
        self._mischief.maybe_die()
        return updates

    def _twist(self, update: Update) -> list[Update]:
        mischief = self._mischief
        if isinstance(update, AttemptFinished) and mischief.strikes(mischief.lose):
            # What it brought arrives all the same, when it is given up already.
            self._hold(update)
            return [AttemptLost(update.time_s, update.attempt, update.host, "the worker went away")]
        if mischief.strikes(mischief.late):
            self._hold(update)
            return []
        if mischief.strikes(mischief.twice):
            self._hold(update)
            return [update, update] if mischief.random.random() < 0.5 else [update]
        return [update]

    def _hold(self, update: Update) -> None:
        waits = self._mischief.random.choice((1, 1, 2, 3, 5, 10, 40))
        self._held.append((self._waits + waits, update))

    def status(self) -> EngineStatus:
        return self._inner.status()

    def close(self) -> None:
        self.closed = True
        self._inner.close()


class UnrulyJournal(Journal):
    """The real journal, on a disk that refuses at any instruction of SQLite's, by a driver that dies before or after any write."""

    def __init__(self, paths: ExperimentPaths, config: Mapping[str, Any], mischief: Mischief) -> None:
        self._mischief = mischief
        super().__init__(paths, config)

    def append(self, turns: Sequence[Turn], method: Sequence[MethodRow] = (), run_times: Sequence[Any] = ()) -> None:
        self._unsafely(lambda: super(UnrulyJournal, self).append(turns, method, run_times))

    def keep_event(self, number: int, event: Event) -> None:
        self._unsafely(lambda: super(UnrulyJournal, self).keep_event(number, event))

    def save_snapshot(self, turn: int, state: Mapping[str, Any], method_state: bytes | None = None) -> int:
        saved: list[int] = []
        self._unsafely(lambda: saved.append(super(UnrulyJournal, self).save_snapshot(turn, state, method_state)))
        return saved[0]

    def _unsafely(self, write: Callable[[], None]) -> None:
        mischief = self._mischief
        mischief.maybe_die()
        if mischief.random.random() < mischief.refuse:
            self._refuse(write)
        else:
            write()
        mischief.maybe_die()

    def _refuse(self, write: Callable[[], None]) -> None:
        """Let a write fail: the disk is full, read-only, or an instruction somewhere in it does not get through."""
        how = self._mischief.random.choice(("full", "read-only", "interrupted"))
        if how == "full":
            pages = self._db.execute("PRAGMA page_count").fetchone()[0]
            self._db.execute(f"PRAGMA max_page_count = {pages}")
        elif how == "read-only":
            self._db.execute("PRAGMA query_only = ON")
        else:
            left = iter(range(self._mischief.random.randrange(40)))
            self._db.set_progress_handler(lambda: next(left, None) is None, 5)
        try:
            write()
        except JournalError:
            self._mischief.faults += 1
            raise
        finally:
            self._db.set_progress_handler(None, 0)
            self._db.execute("PRAGMA query_only = OFF")
            self._db.execute("PRAGMA max_page_count = 1073741823")

    def die(self) -> None:
        """Be gone as a killed process is: what is not committed is not there, the lock is free, nothing is tidied up."""
        self._db.close()
        self._lock.release()

