"""The engine protocol: what the loop may ask of the place where attempts run. An engine knows no search method and no journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from shadho_like.events import EngineEvent
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Resources
from shadho_like.trial import Attempt, AttemptId


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that travels with every attempt.

    Attributes:
        local: where it is here, absolute.
        remote: its relative POSIX path in the sandbox.
        cache: whether a worker may keep it between attempts.
    """

    local: Path
    remote: str
    cache: bool = True


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that comes back from every attempt, to the trial's folder.

    Attributes:
        local: its relative POSIX path in the trial's folder.
        remote: its relative POSIX path in the sandbox.
        cache: whether a worker may keep it.
    """

    local: str
    remote: str
    cache: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """What every attempt of an experiment runs, and how. Either `command` or `objective` is given.

    Attributes:
        experiment: the experiment's name.
        paths: its directory.
        command: a command line for a POSIX shell, run in the sandbox.
        objective: a Python callable, evaluated as `shadho_worker.run` would.
        input_files, output_files: what travels besides the files of the wire format.
        metric: the name of the searched metric.
        evaluations: how often each sample is evaluated; the metric is the mean.
        trials_per_task: how many trials share one task, each with a result of its own.
        resources: what one task needs.
        trial_timeout_s: an attempt that runs longer is killed, process group and all; None for no limit.
    """

    experiment: str
    paths: ExperimentPaths
    command: str | None = None
    objective: Callable[..., Any] | None = None
    input_files: tuple[InputFile, ...] = ()
    output_files: tuple[OutputFile, ...] = ()
    metric: str = "loss"
    evaluations: int = 1
    trials_per_task: int = 1
    resources: Resources = field(default_factory=Resources)
    trial_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One line from an engine for the person at the terminal; it is no event and is not kept."""

    text: str


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What an engine has, for the progress line.

    Attributes:
        workers: workers connected, or worker processes; None where the word means nothing.
        slots: attempts that can run at once; None while unknown.
    """

    workers: int | None = None
    slots: int | None = None


Update = EngineEvent | Notice


class Engine(Protocol):
    """Where attempts run. One thread calls it; no method but `wait` and `close` blocks for longer than a write to a pipe."""

    def open(self, launch: Launch) -> None:
        """Get ready, and clean up what a driver before this one left.

        Raises:
            EngineError: something that it needs is missing; the message says what to install or change.
        """

    def now(self) -> float:
        """Return the time in seconds since 1970, on the engine's clock."""

    def room(self) -> int:
        """Return how many more attempts are wanted now: enough to keep every slot busy, and few enough to stay free to change."""

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts over. Each one ends in exactly one AttemptFinished or AttemptLost, unless it is cancelled before."""

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
