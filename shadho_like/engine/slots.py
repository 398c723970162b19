"""What the two ways to run attempts on this machine have in common: a number of slots over one supervisor."""

from __future__ import annotations

import itertools
import socket
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from shadho_like.engine.base import Launch, Update
from shadho_like.engine.gpu_share import GpuShare
from shadho_like.engine.supervision import Ended, Supervision
from shadho_like.events import AttemptFinished, AttemptLost
from shadho_like.trial import Attempt, AttemptId, Outcome

SHORT_S = 0.1


class Slots(ABC):
    """Attempts on their way through a fixed number of slots.

    Args:
        launch: what each attempt runs.
        slots: how many run at once.
        now: the engine's clock.
        supervision: the supervisor; after its death, `supervise` gives another.
        gpus: what each task gets of them.

    Attributes:
        updates: what happened and was not taken yet.
    """

    def __init__(self, launch: Launch, slots: int, now: Callable[[], float], supervision: Supervision, gpus: GpuShare) -> None:
        self.launch = launch
        self.slots = slots
        self.now = now
        self.supervision = supervision
        self.gpus = gpus
        self.host = socket.gethostname()
        self.updates: list[Update] = []
        self._trash: list[Path] = []
        self._run = uuid.uuid4().hex
        self._numbers = itertools.count()

    @abstractmethod
    def room(self) -> int:
        """Return how many more attempts are wanted."""

    @abstractmethod
    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts over."""

    @abstractmethod
    def cancel(self, attempts: frozenset[AttemptId]) -> None:
        """Kill attempts; nothing is told about them any more."""

    @abstractmethod
    def ask(self, attempts: frozenset[AttemptId]) -> None:
        """Have attempts take a checkpoint and end; each ends in an update."""

    @abstractmethod
    def workers(self) -> int | None:
        """Return how many worker processes there are, None where there are none to speak of."""

    @abstractmethod
    def fds(self) -> list[int]:
        """Return what becomes readable when there is something to do, besides the supervisor."""

    @abstractmethod
    def advance(self, ended: Sequence[Ended]) -> float:
        """Do what is due, tasks that ended included; return when something is due again, on the engine's clock."""

    @abstractmethod
    def supervise(self, supervision: Supervision) -> None:
        """Go on with another supervisor: all that ran under the last one is lost."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held here; everything that ran is gone."""

    def discard(self, folder: Path) -> None:
        """Have a folder removed by the next `clear_away`; its name is free at once."""
        trash = self.launch.paths.sandboxes / f"trash-{self._run}-{next(self._numbers)}"
        try:
            folder.rename(trash)
        except FileNotFoundError:
            return
        self._trash.append(trash)

    def clear_away(self) -> None:
        """Remove what was discarded, in the background. Called when all that was told is kept: on a full disk, the end of an attempt that
        failed for want of room is not to be kept in the room that its own folder leaves.
        """
        for folder in self._trash:
            self.supervision.remove(folder)
        self._trash.clear()

    def finished(self, attempt: AttemptId, started_s: float, outcome: Outcome) -> None:
        """Tell that an attempt ended by itself."""
        self.updates.append(AttemptFinished(self.now(), attempt, started_s, self.host, outcome))

    def lost(self, attempt: AttemptId, reason: str) -> None:
        """Tell that an attempt was lost."""
        self.updates.append(AttemptLost(self.now(), attempt, self.host, reason))


def in_groups(attempts: Sequence[Attempt], size: int) -> Iterator[tuple[Attempt, ...]]:
    """Yield the attempts in groups of at most `size`."""
    for start in range(0, len(attempts), size):
        yield tuple(attempts[start : start + size])
