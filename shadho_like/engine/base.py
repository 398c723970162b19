"""The engine protocol: what the loop may ask of the place where attempts run. An engine knows no search method and no journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from shadho_like.engine_status import EngineStatus
from shadho_like.events import EngineEvent
from shadho_like.launch import InputFile, Launch, OutputFile
from shadho_like.resources import Capacity
from shadho_like.trial import Attempt, AttemptId

__all__ = ["Engine", "EngineStatus", "InputFile", "Launch", "Notice", "OutputFile", "Update"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One line from an engine for the person at the terminal; it is no event and is not kept."""

    text: str


Update = EngineEvent | Notice


class Engine(Protocol):
    """Where attempts run. One thread calls it; no method but `wait` and `close` blocks for longer than a write to a pipe.

    Attributes:
        asks: whether an attempt that runs can be asked to take a checkpoint and end.
    """

    asks: ClassVar[bool]

    def open(self, launch: Launch) -> None:
        """Get ready, and clean up what a driver before this one left.

        Raises:
            EngineError: something that it needs is missing; the message says what to install or change.
        """

    def now(self) -> float:
        """Return the time in seconds since 1970, on the engine's clock."""

    def room(self) -> int:
        """Return how many more attempts are wanted now: enough to keep every slot busy, and few enough to stay free to change."""

    def classes(self) -> Sequence[Capacity]:
        """Return what each compute class can take; nothing where all workers are alike, or none is known yet.

        Where there are classes, each attempt that is submitted has one of them, and `room` is not asked.
        """

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts over. Each one ends in exactly one AttemptFinished or AttemptLost, unless it is cancelled before."""

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        """Have attempts that run take a checkpoint and end; what does not listen is killed. Each ends in an update all the same.

        Where `asks` is False, this does nothing.
        """

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Kill these attempts. No update about them is given after this returns; their slots come back when they are gone."""

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        """Return what happened: at once if something has, else when it does, when `wake_fd` is readable, or after the timeout.

        An attempt that starts and finishes between two calls may be reported as finished only. `wake_fd` is not read.
        """

    def status(self) -> EngineStatus:
        """Return what there is to run on."""

    def close(self) -> None:
        """Kill what still runs and leave nothing behind: no process, no sandbox. May be called twice, and without `open`."""
