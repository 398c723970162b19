"""The command that offers this machine to a search: finds the driver by its name, runs `work_queue_worker` for it, and finds it
again when it comes back. What one run of that program means is in `shadho_connection`.

Standard library and Python 3.8 only: it is installed where no driver ever runs.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import NoReturn, Sequence

import shadho_guard
import shadho_rendezvous
from shadho_connection import Connection, End, Program, Signalled, raise_on_signals, say

MISUSED_STATUS = 2
IDLE_STATUS = 3

_DEFAULT_TIMEOUT_S = 900
_SHORTEST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 5.0
_CONNECT_TIMEOUT_S = 1
_CATALOG_TIMEOUT_S = 5


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
        timeout_s: how long to stay without work.
        password_file: None for what the driver says.
        folder: in which a folder is made for everything that is written, None for the system's temporary one.
        features: what to say that this machine has.
        others: for `work_queue_worker`.
    """

    name: str | None
    address: tuple[str, int] | None
    catalog: str | None
    cores: int | None
    memory_mb: int | None
    disk_mb: int | None
    timeout_s: int
    password_file: str | None
    folder: str | None
    features: tuple[str, ...]
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
    return Options(
        name=known.name,
        address=address,
        catalog=known.catalog or _environment_catalog(),
        cores=known.cores,
        memory_mb=known.memory,
        disk_mb=known.disk,
        timeout_s=known.timeout,
        password_file=os.path.abspath(known.password) if known.password else None,
        folder=known.workdir,
        features=tuple(known.feature),
        others=tuple(others),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wq_worker",
        usage="wq_worker -M NAME [options]\n       wq_worker HOST PORT [options]",
        description="Offer this machine to a search. Options that are not listed here are work_queue_worker's.",
        epilog=f"Exit status: 0 the search is done, {MISUSED_STATUS} something is wrong with the options or this machine, "
        f"{IDLE_STATUS} no work for --timeout seconds, 128 + n ended by signal n.",
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
    add("--feature", metavar="NAME=VALUE", action="append", default=[], help="say what this machine has: gpu_model=A100")
    return parser


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


def _work_queue_worker() -> str:
    """Return the path of the program.

    Raises:
        Misused: it is not installed.
    """
    beside = os.pathsep.join([os.environ.get("PATH", os.defpath), os.path.dirname(sys.executable)])
    found = shutil.which("work_queue_worker", path=beside)
    if found is None:
        message = (
            "work_queue_worker is not on PATH; install Work Queue: on Debian and Ubuntu `apt-get install coop-computing-tools`, "
            "elsewhere `conda install -c conda-forge ndcctools`"
        )
        raise Misused(message)
    return os.path.abspath(found)


def _arguments(options: Options, program: str, folder: str) -> tuple[str, ...]:
    """Return the command that stays the same whichever manager it is for."""
    return (
        program,
        "--single-shot",
        *("--min-backoff", str(int(_SHORTEST_PAUSE_S)), "--max-backoff", str(int(_LONGEST_PAUSE_S))),
        *("--idle-timeout", str(options.timeout_s), "--workdir", folder),
        *_resource_options(options),
        *(word for feature in options.features for word in ("--feature", feature)),
        *options.others,
    )


def _resource_options(options: Options) -> list[str]:
    """Return what this machine offers; what is left out `work_queue_worker` measures itself."""
    cores = options.cores or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None)
    offered = {"--cores": cores, "--memory": options.memory_mb, "--disk": options.disk_mb}
    return [word for option, amount in offered.items() if amount is not None for word in (option, str(amount))]


class Search:
    """Looks for a driver, works for it, and looks again."""

    def __init__(self, options: Options, program: Program) -> None:
        self._options = options
        self._program = program
        self._idle_since_s = time.monotonic()
        self._waiting = False

    def run(self) -> int:
        """Return the exit status when the driver says that it is done, or when there is no work for too long.

        A driver that is killed says nothing and may come back.

        Raises:
            Misused: going on makes no sense until the user has changed something.
            Signalled: this process is asked to end.
        """
        pause_s = _SHORTEST_PAUSE_S
        while True:
            end = self._try_managers()
            if end is End.RELEASED:
                say(f"{self._options.called} is done")
                return 0
            if end is End.IDLE:
                return self._idle(f"no work from {self._options.called}")
            if end is not End.NO_MANAGER:
                pause_s = _SHORTEST_PAUSE_S
            left_s = self._options.timeout_s - (time.monotonic() - self._idle_since_s)
            if left_s <= 0:
                return self._idle(f"no driver {self._options.called}")
            self._say_waiting()
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _try_managers(self) -> End:
        for manager in self._managers():
            connection = Connection(self._program, manager, self._options.called)
            end = connection.run()
            if end is End.WRONG_PASSWORD:
                raise Misused(self._wrong_password())
            if end is End.REFUSED:
                message = f"work_queue_worker did not start: {' '.join(self._program.argv)}"
                raise Misused(message)
            if end is End.KILLED:
                say("work_queue_worker was killed; its trials were ended")
            if connection.connected:
                self._idle_since_s, self._waiting = time.monotonic(), False
                return end
        return End.NO_MANAGER

    def _managers(self) -> list[list[str]]:
        """Return the options for each manager that may be the one, the likeliest first."""
        options = self._options
        password = ["--password", options.password_file] if options.password_file else []
        once = ["--connect-timeout", str(_CONNECT_TIMEOUT_S)]
        if options.name is None:
            assert options.address
            return [[*once, *password, options.address[0], str(options.address[1])]]
        managers = []
        for found in shadho_rendezvous.find(_home(), options.name):
            theirs = password or (["--password", found.password_file] if found.password_file else [])
            managers += [[*once, *theirs, address, str(found.port)] for address in found.addresses]
        if options.catalog:
            asked = ["--catalog", options.catalog, "--manager-name", _as_pattern(options.name)]
            managers.append(["--connect-timeout", str(_CATALOG_TIMEOUT_S), *password, *asked])
        return managers

    def _say_waiting(self) -> None:
        if not self._waiting:
            self._waiting = True
            places = [] if self._options.name is None else [os.path.join(_home(), shadho_rendezvous.FOLDER)]
            if self._options.name is not None and self._options.catalog:
                places.append(f"the catalog {self._options.catalog}")
            where = f" in {' and '.join(places)}" if places else ""
            say(f"looking for {self._options.called}{where}, for {self._options.timeout_s} s")

    def _idle(self, what: str) -> int:
        say(f"{what} for {self._options.timeout_s} s (--timeout)")
        return IDLE_STATUS

    def _wrong_password(self) -> str:
        given = self._options.password_file
        return f"{self._options.called} does not take this worker: give the driver's password file with -P" + (
            f", {given} is not the same" if given else ""
        )


def _home() -> str:
    return os.environ.get("SHADHO_HOME") or os.path.join(os.path.expanduser("~"), ".shadho_like")


def _as_pattern(name: str) -> str:
    """Return the regular expression, as POSIX has them, that matches this name alone."""
    return re.sub(r"([][\\.^$*+?(){}|])", r"\\\1", name)


def _work(options: Options, program: str, folder: str) -> int:
    """Do everything that may be killed; `shadho_guard` cleans up after it."""
    try:
        return Search(options, Program(_arguments(options, program, folder), folder, raise_on_signals())).run()
    except Signalled as ended:
        say(f"ended by {signal.Signals(ended.number).name}")
        return shadho_guard.SIGNAL_BASE + ended.number
    except (Misused, shadho_rendezvous.RendezvousError) as error:
        say(str(error))
        return MISUSED_STATUS


def main() -> NoReturn:
    """Run the command."""
    options = parse(sys.argv[1:])
    try:
        program = _work_queue_worker()
        if options.password_file and not os.access(options.password_file, os.R_OK):
            message = f"the password file {options.password_file} cannot be read"
            raise Misused(message)
        folder = tempfile.mkdtemp(prefix="wq_worker-", dir=options.folder)
    except (Misused, OSError) as error:
        say(str(error))
        sys.exit(MISUSED_STATUS)
    # Work Queue does not tell the driver who advertises what; tasks, which inherit this, do.
    os.environ["SHADHO_FEATURES"] = "\t".join(options.features)
    sys.exit(shadho_guard.run_guarded(lambda: _work(options, program, folder), lambda: shutil.rmtree(folder, ignore_errors=True)))


if __name__ == "__main__":
    main()
