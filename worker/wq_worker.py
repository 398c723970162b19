"""`wq_worker -M name`: finds a running search, keeps a `work_queue_worker` working for it, and leaves no process behind.

Stands alone: Python 3.8, standard library only. It also owns the form of the rendezvous files by which drivers are found.

Three processes watch each other, so that kill -9 of any one leaves nothing running: this one looks for the search; its guard
holds a pipe to it and starts `work_queue_worker`, which dies with the guard. Both adopt what is orphaned below them.
"""

import argparse
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Tuple
from urllib.parse import quote

RENDEZVOUS_FOLDER = "rendezvous"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_GRACE_S = 10.0


class Rendezvous(NamedTuple):
    """Where a running search can be joined.

    Attributes:
        name: the search's name.
        host: the address that workers use.
        port: its manager's port.
        pid: its driver's process.
        machine: the host name of the driver's machine.
        run: the run's id.
        started_s: when the run began, Unix time.
        password_file: what workers must know, if anything.
    """

    name: str
    host: str
    port: int
    pid: int
    machine: str
    run: str
    started_s: float
    password_file: Optional[str] = None


def shadho_home() -> Path:
    """Return `$SHADHO_HOME`, by default `~/.shadho_like`."""
    return Path(os.environ.get("SHADHO_HOME") or Path.home() / ".shadho_like")


def rendezvous_path(name: str, run: str) -> Path:
    """Return the file of a run; a name of any characters stays in the folder."""
    return shadho_home() / RENDEZVOUS_FOLDER / "{}.{}.json".format(quote(name, safe="")[:150], quote(run, safe=""))


def find(name: str) -> List[Rendezvous]:
    """Return the searches of that name that may be running, newest first. Files of drivers that are gone are removed."""
    found = []
    for path in (shadho_home() / RENDEZVOUS_FOLDER).glob("*.json"):
        try:
            # A file that somebody else may have written is no invitation.
            if path.stat().st_uid != os.getuid() or path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                continue
            fields = json.loads(path.read_text(encoding="utf-8"))
            entry = Rendezvous(**{key: fields[key] for key in Rendezvous._fields if key in fields})
        except (OSError, ValueError, TypeError):
            continue
        if entry.machine == socket.gethostname() and not _alive(entry.pid):
            path.unlink()
        elif entry.name == name:
            found.append(entry)
    return sorted(found, key=lambda entry: entry.started_s, reverse=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _descendants() -> List[int]:
    """Return all processes below this one, those that were adopted too."""
    children: Dict[int, List[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    below, todo = [], [os.getpid()]
    while todo:
        more = children.get(todo.pop(), [])
        below += more
        todo += more
    return below


def _kill_descendants() -> None:
    """Kill everything below this process; what a dying process starts meanwhile is adopted, and found in the next round."""
    while True:
        below = _descendants()
        for pid in below:
            _signal(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        if not below:
            return
        time.sleep(0.01)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _guard(command: List[str], folder: str, lifeline: int) -> NoReturn:
    """Run the worker in this forked process until it ends or the pipe says that the parent has; leave nothing below."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    status, orphaned = 1, False
    try:
        with open(_log_path(folder), "ab") as log:
            worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent)
        worker_end, worker_died = os.pipe()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        os.set_blocking(worker_died, False)
        signal.set_wakeup_fd(worker_died, warn_on_full_buffer=False)
        asked_s = None
        while worker.poll() is None:
            wait_s = None if asked_s is None else max(0.0, asked_s + _GRACE_S - time.monotonic())
            readable = select.select([worker_end] + ([lifeline] if asked_s is None else []), [], [], wait_s)[0]
            if worker_end in readable:
                os.read(worker_end, 512)
            if lifeline in readable and asked_s is None:
                asked_s = time.monotonic()
                # A byte asks for an orderly end; without one the parent is gone.
                orphaned = not os.read(lifeline, 1)
                worker.send_signal(signal.SIGKILL if orphaned else signal.SIGTERM)
            elif asked_s is not None and time.monotonic() >= asked_s + _GRACE_S:
                worker.kill()
        status = worker.returncode if worker.returncode >= 0 else 128 - worker.returncode
    finally:
        _kill_descendants()
        if orphaned:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(status)


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class _Stopped(Exception):
    """The user or the batch system ends this worker."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _on_signal(number: int, _: Any) -> NoReturn:
    raise _Stopped(number)


def _log_path(folder: str) -> str:
    return os.path.join(folder, "worker.log")


def _run_worker(command: List[str], folder: str) -> int:
    """Run one worker to its end; return its exit status, 128 + n for signal n."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write_end)
        _guard(command, folder, read_end)
    os.close(read_end)
    try:
        status = os.waitpid(pid, 0)[1]
    except _Stopped:
        os.write(write_end, b"t")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(write_end)
        _kill_descendants()
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _resources(options: argparse.Namespace, folder: str) -> Tuple[List[str], str]:
    """Return the worker's resource options, and how to say them: what was asked for, else what this machine has."""
    cores = options.cores or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    memory = options.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    disk = options.disk or shutil.disk_usage(folder).free // 2**20
    said = "{} core{}, {} MB of memory, {} MB of disk".format(cores, "" if cores == 1 else "s", memory, disk)
    return ["--cores", str(cores), "--memory", str(memory), "--disk", str(disk)], said


def _say(text: str) -> None:
    print("wq_worker: " + text, flush=True)


def _parse(arguments: List[str]) -> Tuple[argparse.Namespace, List[str]]:
    parser = argparse.ArgumentParser(
        prog="wq_worker", description="Work for a running search. Unknown options go to work_queue_worker as they are.", allow_abbrev=False
    )
    parser.add_argument("-M", "-N", "--manager-name", dest="name", help="the search's name")
    parser.add_argument("-C", "--catalog", help="a catalog server, host:port (default: $CATALOG_HOST; never the public one)")
    parser.add_argument("-P", "--password", help="a file with the search's password")
    parser.add_argument("-t", "--timeout", type=int, default=900, help="end after so many seconds without work (default 900)")
    parser.add_argument("-s", "--workdir", help="where to keep files while working (default: the temporary folder)")
    for name in ("cores", "memory", "disk"):
        parser.add_argument("--" + name, type=int, help="offer so much (memory and disk in MB) instead of all")
    options, rest = parser.parse_known_args(arguments)
    options.address = None
    if not options.name:
        if len(rest) < 2 or not rest[-1].isdigit() or rest[-2].startswith("-"):
            parser.error("say which search: wq_worker -M NAME, or wq_worker HOST PORT")
        options.address = (rest[-2], int(rest[-1]))
        rest = rest[:-2]
    if options.catalog is None and os.environ.get("CATALOG_HOST"):
        options.catalog = "{}:{}".format(os.environ["CATALOG_HOST"].partition(":")[0], os.environ.get("CATALOG_PORT", "9097"))
    return options, rest


def _found(options: argparse.Namespace) -> Optional[Tuple[str, int, Optional[str]]]:
    """Return host, port and password file of a manager that answers."""
    if options.address:
        host, port = options.address
        return (host, port, None) if _answers(host, port) else None
    for entry in find(options.name):
        host = "127.0.0.1" if entry.machine == socket.gethostname() else entry.host
        if _answers(host, entry.port):
            return host, entry.port, entry.password_file
    return None


def _work(program: str, options: argparse.Namespace, rest: List[str], folder: str) -> int:
    """Find the search, work for it, find it again when it comes back; return the exit status."""
    resources, said = _resources(options, folder)
    common = [program, "--workdir", folder, "--min-backoff", "1", "--max-backoff", "5", *resources, *rest]
    wanted = options.name or "{}:{}".format(*options.address)
    give_up_s, pause_s, waiting = time.monotonic() + options.timeout, 1.0, False
    while True:
        found = _found(options)
        if found is None and options.catalog and options.name:
            _say("looking for {} in the catalog {}, with {}".format(wanted, options.catalog, said))
            where = ["--timeout", str(options.timeout), "-C", options.catalog, "-M", options.name]
            return _run_worker(common + _password(options.password) + where, folder)
        if found is None:
            if time.monotonic() > give_up_s:
                _say("{} did not come up within {} s: the end".format(wanted, options.timeout))
                return 0
            if not waiting:
                _say("waiting for {}".format(wanted))
            waiting = True
            time.sleep(pause_s)
            pause_s = min(5.0, pause_s * 1.5)
            continue
        host, port, password_file = found
        _say("working for {} at {}:{} with {}".format(wanted, host, port, said))
        began_s = time.monotonic()
        where = ["--single-shot", "--idle-timeout", str(options.timeout), "--connect-timeout", "15", host, str(port)]
        status = _run_worker(common + _password(options.password or password_file) + where, folder)
        lasted_s = time.monotonic() - began_s
        if status == 0 and lasted_s >= options.timeout and _answers(host, port):
            _say("no work for {} s: the end".format(options.timeout))
            return 0
        if status != 0 and lasted_s < 2:
            _say("work_queue_worker ended with status {}: {}".format(status, _last_line(_log_path(folder))))
            time.sleep(pause_s)
            pause_s = min(5.0, pause_s * 1.5)
        else:
            give_up_s, pause_s = time.monotonic() + options.timeout, 1.0
        waiting = False


def _password(path: Optional[str]) -> List[str]:
    return ["--password", path] if path else []


def _last_line(path: str) -> str:
    try:
        lines = Path(path).read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"


def main(arguments: Optional[List[str]] = None) -> NoReturn:
    """Run the command; the exit status is 0 at an idle end, 128 + n after signal n, 3 where Work Queue is missing."""
    options, rest = _parse(sys.argv[1:] if arguments is None else arguments)
    beside = os.path.join(os.path.dirname(sys.executable), "work_queue_worker")
    program = shutil.which("work_queue_worker") or (beside if os.access(beside, os.X_OK) else None)
    if program is None:
        print(
            "wq_worker: work_queue_worker is not installed; on Debian: apt-get install coop-computing-tools; elsewhere: "
            "conda install -c conda-forge ndcctools",
            file=sys.stderr,
        )
        sys.exit(3)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    os.environ.setdefault("SHADHO_PYTHON", sys.executable)
    folder = tempfile.mkdtemp(prefix="wq_worker-", dir=options.workdir)
    signal.signal(signal.SIGTERM, _on_signal)
    signal.signal(signal.SIGINT, _on_signal)
    try:
        status = _work(program, options, rest, folder)
    except _Stopped as stopped:
        _say("stopped by {}".format(signal.Signals(stopped.number).name))
        status = 128 + stopped.number
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
