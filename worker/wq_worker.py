"""The command that offers this machine to a search: finds the driver by its name, runs `work_queue_worker` for it, and finds it
again when it comes back. What one run of that program means is in `shadho_connection`.

Standard library and Python 3.8 only: it is installed where no driver ever runs.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import NoReturn, Sequence

import shadho_gpus
import shadho_guard
import shadho_rendezvous
from shadho_connection import Connection, End, Program, Signalled, raise_on_signals, say
from shadho_gpu_probe import Gpu
from shadho_worker_options import END_TIME, IDLE_STATUS, LEAVE_S, MISUSED_STATUS, TIME_STATUS, Misused, Options, parse

_SHORTEST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 5.0
_CONNECT_TIMEOUT_S = 1
_SLOW_S = 5.0
_CATALOG_TIMEOUT_S = 5
_SSL = "--ssl"


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


def _arguments(options: Options, program: str, folder: str, features: Sequence[str]) -> tuple[str, ...]:
    """Return the command that stays the same whichever manager it is for."""
    return (
        program,
        "--single-shot",
        *("--min-backoff", str(int(_SHORTEST_PAUSE_S)), "--max-backoff", str(int(_LONGEST_PAUSE_S))),
        *("--idle-timeout", str(options.timeout_s), "--workdir", folder),
        *_resource_options(options),
        *(word for feature in (*options.features, *features) for word in ("--feature", feature)),
        *options.others,
    )


def _resource_options(options: Options) -> list[str]:
    """Return what this machine offers; what is left out `work_queue_worker` measures itself."""
    cores = options.cores or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None)
    offered = {"--cores": cores, "--memory": options.memory_mb, "--disk": options.disk_mb}
    return [word for option, amount in offered.items() if amount is not None for word in (option, str(amount))]


def _found_gpus() -> tuple[list[Gpu], str]:
    """Return what there is, and a warning; a driver that starts its GPUs first, or hangs, is told of while it is waited for."""
    slow = threading.Timer(_SLOW_S, say, ["waiting for the driver of this machine's GPUs"])
    slow.start()
    try:
        return shadho_gpus.find(os.environ)
    finally:
        slow.cancel()
        slow.join()


def _offered_gpus(options: Options) -> list[Gpu]:
    """Return the GPUs that this worker shares out, and say what is odd about them.

    Raises:
        Misused: there are fewer than are wanted.
    """
    found, warning = _found_gpus() if options.gpus != 0 else ([], "")
    if warning:
        say(f"warning: {warning}" + ("" if options.gpus or found else "; no GPU is offered"))
    if options.gpus is None:
        return found
    listed = os.environ.get(shadho_gpus.CUDA)
    if not found:
        # Where nothing tells of them they are taken as they are said to be.
        found = [Gpu(name) for name in (map(str, range(options.gpus)) if listed is None else shadho_gpus.names_in(listed))]
    if len(found) < options.gpus:
        there = shadho_gpus.described(found) or f"none, as CUDA_VISIBLE_DEVICES={listed}"
        message = f"--gpus {options.gpus}: this process may use {there}"
        raise Misused(message)
    return found[: options.gpus]


def _ends_s(options: Options) -> float:
    """Return when trials are to begin to end, as `time.monotonic` tells it; infinite for never."""
    left_s = [] if options.wall_time_s is None else [float(options.wall_time_s)]
    end = os.environ.get(END_TIME, "")
    if end.isdecimal() and int(end):
        left_s.append(int(end) - time.time())
    return time.monotonic() + min(left_s, default=math.inf) - options.drain_grace_s - LEAVE_S


class Search:
    """Looks for a driver, works for it, and looks again."""

    def __init__(self, options: Options, program: Program, gpus: int) -> None:
        self._options = options
        self._program = program
        self._gpus = gpus
        self._idle_since_s = time.monotonic()
        self._waiting = False

    def run(self) -> int:
        """Return the exit status when the driver says that it is done, when there is no work for too long, or when time is over.

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
            time_s = self._program.ends_s - time.monotonic()
            if end is End.TIME or time_s <= 0:
                say("the time is over (--wall-time, or the batch job's)")
                return TIME_STATUS
            if end is not End.NO_MANAGER:
                pause_s = _SHORTEST_PAUSE_S
            left_s = self._options.timeout_s - (time.monotonic() - self._idle_since_s)
            if left_s <= 0:
                return self._idle(f"no driver {self._options.called}")
            self._say_waiting()
            time.sleep(min(pause_s, left_s, time_s))
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
            return [[*once, *password, *self._gpu_slots(1), options.address[0], str(options.address[1])]]
        managers = []
        for found in shadho_rendezvous.find(_home(), options.name):
            theirs = password or (["--password", found.password_file] if found.password_file else [])
            slots = self._gpu_slots(found.jobs_per_gpu)
            encrypted = self._encrypted() if found.ssl else []
            managers += [[*once, *theirs, *slots, *encrypted, address, str(found.port)] for address in found.addresses]
        if options.catalog:
            asked = ["--catalog", options.catalog, "--manager-name", _as_pattern(options.name)]
            managers.append(["--connect-timeout", str(_CATALOG_TIMEOUT_S), *password, *self._gpu_slots(1), *asked])
        return managers

    def _encrypted(self) -> list[str]:
        """Return the option for a manager that speaks SSL.

        Raises:
            Misused: `work_queue_worker` does not.
        """
        program = self._program.argv[0]
        said = subprocess.run([program, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
        if _SSL.encode() not in said:
            message = (
                f"{self._options.called} speaks SSL (config.workqueue.ssl), and {program} does not: install a newer Work Queue here, "
                "such as conda-forge's ndcctools"
            )
            raise Misused(message)
        return [_SSL]

    def _gpu_slots(self, jobs_per_gpu: int) -> list[str]:
        """Return the option that offers a slot for each trial that the GPUs take; Work Queue takes 0 to mean none."""
        return ["--gpus", str(self._gpus * (self._options.jobs_per_gpu or jobs_per_gpu))]

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
        signals = raise_on_signals()
        gpus = _offered_gpus(options)
        features, warning = shadho_gpus.features(gpus)
        kind = shadho_gpus.kind(features)
        features += [] if kind[0] in features else kind
        if warning:
            say(f"warning: {warning}")
        if gpus:
            say(f"offers {shadho_gpus.described(gpus)}, to trials that ask for a GPU")
        # Work Queue does not tell the driver who advertises what; tasks, which inherit this, do.
        env = {**shadho_gpus.worker_environment(gpus, os.environ), "SHADHO_FEATURES": "\t".join((*options.features, *kind))}
        argv = _arguments(options, program, folder, features)
        started = Program(argv, folder, signals, env, options.drain_grace_s, _ends_s(options), os.getppid())
        return Search(options, started, len(gpus)).run()
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
    sys.exit(shadho_guard.run_guarded(lambda: _work(options, program, folder), lambda: shutil.rmtree(folder, ignore_errors=True)))


if __name__ == "__main__":
    main()
