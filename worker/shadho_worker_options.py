"""The command line of `wq_worker`: its options, what they default to, and what its exit status tells.

Standard library and Python 3.8 only. Options that are not known here are `work_queue_worker`'s.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Sequence

MISUSED_STATUS = 2
IDLE_STATUS = 3
TIME_STATUS = 4
END_TIME = "SLURM_JOB_END_TIME"
LEAVE_S = 30

_DEFAULT_TIMEOUT_S = 900
_DEFAULT_GRACE_S = 60


class Misused(Exception):
    """The user's mistake; the message says what to do."""


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes:
        name: of the driver, None if `address` is given.
        address: host and port of the manager.
        catalog: where to ask for the name, None for nowhere.
        cores: None for what this process may use.
        memory_mb: None for all of the machine's.
        disk_mb: None for all that is free.
        gpus: how many of this machine's; None for all.
        jobs_per_gpu: how many trials may share one; None for what the driver says.
        features: what else this machine advertises.
        drain_grace_s: how long running trials have to end when this is to end.
        wall_time_s: how long this may run; None for any time.
        timeout_s: how long to stay without work.
        password_file: None for what the driver says.
        folder: in which a folder is made for everything that is written, None for the system's temporary one.
        others: for `work_queue_worker`.
    """

    name: str | None
    address: tuple[str, int] | None
    catalog: str | None
    cores: int | None
    memory_mb: int | None
    disk_mb: int | None
    gpus: int | None
    jobs_per_gpu: int | None
    features: tuple[str, ...]
    drain_grace_s: int
    wall_time_s: int | None
    timeout_s: int
    password_file: str | None
    folder: str | None
    others: tuple[str, ...]

    @property
    def called(self) -> str:
        """What the user calls the manager."""
        return self.name if self.address is None else "{}:{}".format(*self.address)  # type: ignore[return-value]


def parse(argv: Sequence[str]) -> Options:
    """Return the options; ends the process with a usage message if they are wrong."""
    parser = _parser()
    known, others = parser.parse_known_args(argv)
    address = None
    if known.name is None:
        address, others = _split_address(others)
        if address is None:
            parser.error("which search? Give its name, -M NAME, or the HOST and PORT of its manager")
    if known.wall_time is not None and known.wall_time <= known.drain_grace + LEAVE_S:
        parser.error(f"--wall-time {known.wall_time} leaves no time to work: trials begin to end {known.drain_grace + LEAVE_S} s before")
    return Options(
        name=known.name,
        address=address,
        catalog=known.catalog or _environment_catalog(),
        cores=known.cores,
        memory_mb=known.memory,
        disk_mb=known.disk,
        gpus=known.gpus,
        jobs_per_gpu=known.jobs_per_gpu,
        features=tuple(known.feature),
        drain_grace_s=known.drain_grace,
        wall_time_s=known.wall_time,
        timeout_s=known.timeout,
        password_file=os.path.abspath(known.password) if known.password else None,
        folder=known.workdir,
        others=tuple(others),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wq_worker",
        usage="wq_worker -M NAME [options]\n       wq_worker HOST PORT [options]",
        description="Offer this machine to a search. Options that are not listed here are work_queue_worker's.",
        epilog=f"Exit status: 0 the search is done, {MISUSED_STATUS} something is wrong with the options or this machine, "
        f"{IDLE_STATUS} no work for --timeout seconds, {TIME_STATUS} the time is over (--wall-time, or ${END_TIME}), 128 + n ended by "
        f"signal n: 143 by SIGTERM, which lets running trials end first.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-M", "-N", "--manager-name", dest="name", help="the driver's config.workqueue.name")
    add("-C", "--catalog", metavar="HOST:PORT", help="catalog server to ask for NAME (default: $CATALOG_HOST:$CATALOG_PORT, else none)")
    add("-P", "--password", metavar="FILE", help="password file (default: the one that the driver names)")
    add("-t", "--timeout", metavar="S", type=_positive, default=_DEFAULT_TIMEOUT_S, help="end after so long idle (default %(default)s)")
    add("-s", "--workdir", metavar="DIR", help="make the working folder in there (default: the system's temporary folder)")
    add("--cores", metavar="N", type=_positive, help="offer so many cores (default: all)")
    add("--memory", metavar="MB", type=_positive, help="offer so much memory (default: all)")
    add("--disk", metavar="MB", type=_positive, help="offer so much disk (default: all that is free)")
    add("--gpus", metavar="auto|N|0", type=_gpu_count, help="offer so many GPUs (default: auto, all that this process may use)")
    add("--jobs-per-gpu", metavar="K", type=_positive, help="how many trials may share a GPU (default: what the driver says, else 1)")
    add("--feature", metavar="NAME", action="append", default=[], help="advertise this, for trials that ask for it; may be repeated")
    add("--drain-grace", metavar="S", type=_positive, default=_DEFAULT_GRACE_S, help="at SIGTERM and at the end of the time, let running "
        "trials take a checkpoint and end for so long (default %(default)s)")
    add("--wall-time", metavar="S", type=_positive, help=f"end in so many seconds; trials begin to end {LEAVE_S} s and --drain-grace "
        f"before (default: ${END_TIME} where it is set)")
    return parser


def _gpu_count(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal():
        message = f"{text!r} is neither auto nor a whole number"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        message = f"{text!r} is not a whole number above 0"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _split_address(words: list[str]) -> tuple[tuple[str, int] | None, list[str]]:
    """Return HOST and PORT, which stand first or last among the words that are no options of ours, and the other words."""
    for at in (0, len(words) - 2):
        pair = words[max(at, 0) : at + 2]
        if len(pair) == 2 and not pair[0].startswith("-") and pair[1].isdecimal() and 0 < int(pair[1]) < 65536:
            return (pair[0], int(pair[1])), words[:at] + words[at + 2 :]
    return None, words


def _environment_catalog() -> str | None:
    host, port = os.environ.get("CATALOG_HOST"), os.environ.get("CATALOG_PORT")
    return f"{host}:{port}" if host and port and ":" not in host else host or None
