"""The protocol of the places where jobs run, a pool on this machine or the workers of a cluster, and what they tell of a job's end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from shadho_like.trial import Failure


class Job(Protocol):
    """Something to be pickled that can run; its result goes back to the driver."""

    def run(self) -> Any:
        """Do the work, in a process of the job's own."""


@dataclass(frozen=True, slots=True)
class JobEnd:
    """What became of a job.

    Attributes:
        ticket: the caller's number for it.
        device: where it ran last, as a value for `CUDA_VISIBLE_DEVICES`; None for the processor.
        started_s, finished_s: Unix times, in seconds, of its last try.
        value: what it returned.
        failure: why it failed; None where it did not.
    """

    ticket: int
    device: str | None
    started_s: float
    finished_s: float
    value: Any = None
    failure: Failure | None = None


class Jobs(Protocol):
    """Where jobs run. One thread calls it; no method but `wait` and `close` blocks."""

    notices: list[str]

    @property
    def slots(self) -> int:
        """How many jobs run at once."""

    def now(self) -> float:
        """Return the time in seconds since 1970."""

    def free(self) -> int:
        """Return how many more jobs can be started now."""

    def start(self, ticket: int, job: Job, log: Path | None = None) -> str | None:
        """Start a job, and return its device's name where that is known; it ends in exactly one `JobEnd`, unless it is ended before.

        Raises:
            EngineError: there is no free slot, or jobs cannot be run any more.
        """

    def end(self, tickets: Collection[int]) -> None:
        """Kill these jobs with all that they started. Nothing more is told about them; their slots come back when they are gone."""

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[JobEnd]:
        """Return the jobs that ended: at once if some have, else when one does, `wake_fd` is readable, or after the timeout.

        Raises:
            EngineError: jobs cannot be run any more.
        """

    def close(self) -> None:
        """Kill what runs, and leave no process and no file. May be called twice."""
