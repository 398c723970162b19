"""What one wants of a batch system, and what a batch system is: a text made from the wish, and the commands around it. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from shadho_like.errors import OptionError

_UNITS_MB = {"": 1, "M": 1, "G": 1024, "T": 1024 * 1024}
_LEAVE_S = 30
_LONGEST_JOB_NAME = 15
GRACE_S = 60


class Place(Enum):
    """Where a worker of a batch system is."""

    WAITING = "waiting"
    """In the queue, and nothing of it runs."""
    RUNNING = "running"
    """On a machine."""
    ENDING = "ending"
    """On a machine, and told to end."""
    HELD = "held"
    """In the queue, and does not start until somebody lets it."""
    GONE = "gone"
    """The queue does not list it: it has ended, in whatever way."""


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """Workers of one kind for one search.

    Attributes:
        search: the driver's name.
        count: how many.
        worker: the path of `wq_worker` on the machines where it runs.
        home: the folder of rendezvous files, as those machines see it.
        logs: the folder for what the workers print.
        gpus: of each.
        cores: of each.
        memory_mb: of each; None for what the batch system gives.
        time_s: after which the batch system ends them; None for what it gives.
        drain_grace_s: how long running trials have to end before the time is over, or when they are drained.
        batch_options: what else the batch system is told, in its own words.
        worker_options: what else `wq_worker` is told.
        gpu_type: the type of the GPUs, as Slurm calls it; None for any.
        path: folders with programs for the trials, as PATH has them, where the batch system's jobs begin with a bare PATH: they come
            before it. None for the bare one.

    Raises:
        OptionError: one of them cannot be.
    """

    search: str
    count: int
    worker: str
    home: str
    logs: str
    gpus: int = 0
    cores: int = 1
    memory_mb: int | None = None
    time_s: int | None = None
    drain_grace_s: int = GRACE_S
    batch_options: tuple[str, ...] = ()
    worker_options: tuple[str, ...] = ()
    gpu_type: str | None = None
    path: str | None = None

    def __post_init__(self) -> None:
        optional = (self.gpu_type or "any", self.path or "any")
        for text in (self.search, self.worker, self.home, self.logs, *self.batch_options, *self.worker_options, *optional):
            if not text or not text.isprintable():
                raise OptionError(f"{text!r} cannot stand in a batch script: it must be a printable text of one line")
        if self.time_s is not None and self.time_s <= self.drain_grace_s + _LEAVE_S:
            least = f"{self.drain_grace_s} s for running trials to end (--drain-grace) and {_LEAVE_S} s to hand them back"
            raise OptionError(f"--time {self.time_s} s leaves no time to work: it must hold {least}")

    @property
    def job_name(self) -> str:
        """The job's name in the queue, of characters that every batch system takes."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.search)
        return f"wq_{name}"[:_LONGEST_JOB_NAME]

    @property
    def notice_s(self) -> int:
        """How long before it kills a worker the batch system is to tell it."""
        return self.drain_grace_s + _LEAVE_S

    @property
    def command(self) -> str:
        """The worker's command as a shell takes it."""
        return shlex.join(self.argv)

    @property
    def argv(self) -> list[str]:
        """The worker's command."""
        offered = {"--cores": self.cores, "--gpus": self.gpus, "--memory": self.memory_mb, "--wall-time": self.time_s}
        words = [word for option, amount in offered.items() if amount is not None for word in (option, str(amount))]
        return [self.worker, "-M", self.search, *words, "--drain-grace", str(self.drain_grace_s), *self.worker_options]


@dataclass(frozen=True, slots=True)
class FactoryWords:
    """What the factory is told of one batch system.

    Attributes:
        batch_type: its name there.
        options: what its jobs ask for beside cores, in the batch system's words, as one argument.
    """

    batch_type: str
    options: Callable[[WorkerJob], str]


@dataclass(frozen=True, slots=True)
class BatchSystem:
    """How one batch system is spoken to.

    Attributes:
        name: on the command line.
        suffix: of a script's file name.
        submit: the command that takes a script's path as its last word.
        ids: the workers' ids, from what `submit` printed and how many there are.
        listing: the command that lists this user's jobs.
        places: where each worker is that is listed, from what `listing` printed.
        remove: the commands that end workers at once, from their ids.
        drain: the commands that ask running workers to let their trials end.
        script: the whole text of the script.
        factory: what `work_queue_factory` is told of it.
    """

    name: str
    suffix: str
    submit: tuple[str, ...]
    ids: Callable[[str, int], tuple[str, ...]]
    listing: tuple[str, ...]
    places: Callable[[str], Mapping[str, Place]]
    remove: Callable[[Sequence[str]], list[list[str]]]
    drain: Callable[[Sequence[str]], list[list[str]]]
    script: Callable[[WorkerJob], str]
    factory: FactoryWords


def lines(*parts: str | None) -> str:
    """Return the lines of a script, those left out that are None."""
    return "\n".join(part for part in parts if part is not None) + "\n"


def clock(seconds: int) -> str:
    """Return a time as hours:minutes:seconds."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def read_clock(text: str) -> int:
    """Return the seconds of a time as Slurm has it: minutes, hours:minutes:seconds, minutes:seconds, days-hours[:minutes[:seconds]].

    Raises:
        OptionError: it is none.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        raise OptionError(f"{text!r} is no time: give minutes (90), hours:minutes:seconds (1:30:00) or days-hours (2-12)")
    days, *rest = match.groups()
    numbers = [int(part) for part in rest if part is not None]
    if days is not None or len(numbers) == 3:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
        return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    minutes, seconds = (*numbers, 0)[:2]
    return minutes * 60 + seconds


def read_memory(text: str) -> int:
    """Return the MiB of an amount of memory such as 16G or 500M; a number alone is MiB.

    Raises:
        OptionError: it is none.
    """
    match = re.fullmatch(r"(\d+)([MGT]?)B?", text.upper())
    if match is None or int(match[1]) == 0:
        raise OptionError(f"{text!r} is no amount of memory: give 16G, 500M, or a number of MiB")
    return int(match[1]) * _UNITS_MB[match[2]]
