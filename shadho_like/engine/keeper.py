"""The process that keeps one program at a time: starts it, in a folder that it prepares, and ends all that it started. Forked by the
supervisor, with its first task; the next ones come by a socket, since a fork costs more than all the rest.

It adopts the program's orphans, so that nothing survives the program's end, and it dies with the supervisor.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from shadho_like.engine.orders import Orders
from shadho_like.engine.processes import adopt_orphans, ask_session, die_with_parent, end_family, oom_kills, peak_bytes

_FICLONE = 0x40049409
_SMALLEST_FILE = 4096
_MEASURE_S = 1.0
_MEASURE_SHARE = 20
_NOT_EXECUTABLE = 127
_LONGEST_REASON = 300
_READ_BYTES = 4096

Become = Callable[[dict[str, Any], Sequence[int]], NoReturn]
"""Turns a process that is ready for it (its folder, its log, its session) into a task's program."""


def execute(task: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Become `argv` in the task's environment; the numbers of the open files are appended to its arguments."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    os.execvpe(task["argv"][0], [*task["argv"], *map(str, descriptors)], {**os.environ, **task["env"]})


def keep(task: dict[str, Any], descriptors: Sequence[int], link: Link, supervisor: int, become: Become) -> NoReturn:
    """Run a task to its end, report it, and do the same with each that comes later; never returns.

    SIGTERM, which is blocked when this is called, ends the task, if there is one, and then this process.

    Args:
        task: see `supervision.Task`.
        descriptors: open files that the program gets.
        link: to the supervisor.
        supervisor: the parent's process id.
        become: makes the program of a process.
    """
    status = 1
    try:
        signals = _wake_on_signals(link.signals)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        die_with_parent(supervisor, signal.SIGTERM)
        adopt_orphans()
        Keeper(link, signals, become).serve(task, descriptors)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


@dataclass(frozen=True, slots=True)
class Link:
    """A keeper's ways from and to the supervisor, and what else its program must not have.

    Attributes:
        orders: the next task, and what is to be done about the one that runs.
        reports: the pipe for the line about a task's end.
        signals: what tells the supervisor of signals; closed here once this process has its own.
        others: open files that are not closed while the keeper lives.
    """

    orders: Orders
    reports: int
    signals: int
    others: tuple[int, ...] = ()


class Keeper:
    """Runs one task after another, of each of which nothing is left when it is reported.

    Args:
        link: to the supervisor.
        signals: the end to read and the end to write of a pipe that gives a byte for each SIGCHLD and SIGTERM.
        become: makes the program of a process.
    """

    def __init__(self, link: Link, signals: tuple[int, int], become: Become) -> None:
        self._link = link
        self._wake, self._waking = signals
        # Not `select.select`: of a thousand keepers, the last ones' files have numbers that it does not take.
        self._poll = select.poll()
        for descriptor in (self._wake, link.orders.fileno()):
            self._poll.register(descriptor, select.POLLIN)
        self._become = become
        self._troubles, self._trouble = os.pipe()
        os.set_blocking(self._troubles, False)
        self._ends = False

    def serve(self, task: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Run tasks until SIGTERM, or the supervisor is gone."""
        coming: Sequence[tuple[dict[str, Any], Sequence[int]]] = [({"run": task}, descriptors)]
        while not self._ends:
            for place, (order, files) in enumerate(coming):
                # Any other order is about a task that has ended, or came together with its task.
                if "run" in order:
                    send_report(self._link.reports, self._run(order["run"], files, [later for later, _ in coming[place + 1 :]]))
            coming = [] if self._ends else self._wait(None)

    def _run(self, task: dict[str, Any], descriptors: Sequence[int], orders: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Run a task, of which these orders have come already; return the report."""
        kills_before = oom_kills()
        # Sent to the new process, it would else be told to this one, whose pipe for signals both have at first.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            # What becomes a program without exec would keep them open.
            for own in (self._link.orders.fileno(), self._link.reports, *self._link.others, self._wake, self._troubles):
                os.close(own)
            _begin(task, descriptors, self._become, self._trouble, self._waking)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        for descriptor in descriptors:
            os.close(descriptor)
        status, over_disk, peak = self._watch(pid, task, orders)
        peak = max(peak, end_family(pid))
        with suppress(BlockingIOError):
            return {"broken": task["id"], "reason": os.read(self._troubles, _READ_BYTES).decode(errors="replace")}
        oom = status != 0 and oom_kills() > kills_before
        return {"ended": task["id"], "status": status, "over_disk": over_disk, "oom": oom, "peak": peak}

    def _watch(self, pid: int, task: dict[str, Any], orders: Sequence[dict[str, Any]]) -> tuple[int | None, bool, int]:
        """Wait for the program's end, the order to end it, SIGTERM or too large a folder.

        Args:
            pid: the program.
            task: what it is.
            orders: about it, that have come.

        Returns:
            Its status (None if it did not end by itself), whether its folder is too large, and the most memory that was seen.
        """
        limit, peak = task["disk_bytes"], 0
        due_s, pause_s = time.monotonic() + _MEASURE_S, _MEASURE_S
        while True:
            status, most = _reap(pid)
            peak = max(peak, most)
            if status is not None:
                return status, limit is not None and _is_over(task["folder"], limit), peak
            if self._ends or any(_ends_task(order, task["id"], pid) for order in orders):
                status, most = _reap(pid)
                return status, False, max(peak, most)
            if limit is not None and time.monotonic() >= due_s:
                began_s = time.monotonic()
                if _is_over(task["folder"], limit):
                    return None, True, peak
                pause_s = max(_MEASURE_S, _MEASURE_SHARE * (time.monotonic() - began_s))
                due_s = time.monotonic() + pause_s
            orders = [order for order, _ in self._wait(None if limit is None else max(0.0, due_s - time.monotonic()))]

    def _wait(self, timeout_s: float | None) -> list[tuple[dict[str, Any], list[int]]]:
        """Sleep until a signal or an order comes, at most so long; return the orders."""
        orders = self._link.orders
        ready = {descriptor for descriptor, _ in self._poll.poll(None if timeout_s is None else math.ceil(1000 * timeout_s))}
        self._ends = self._wake in ready and signal.SIGTERM in os.read(self._wake, _READ_BYTES)
        came = orders.read() if orders.fileno() in ready else []
        self._ends = self._ends or not orders.open
        return came


def send_report(reports: int, value: dict[str, Any]) -> None:
    """Write one line, in one piece, as a pipe takes up to 4 KiB. Who reads it may be gone."""
    with suppress(OSError):
        os.write(reports, (json.dumps(value) + "\n").encode())


def _ends_task(order: dict[str, Any], task: int, pid: int) -> bool:
    """Return whether a task is to be killed by an order; one that is asked to end and does not listen is."""
    return order.get("end") == task or (order.get("ask") == task and not ask_session(pid))


def _prepare(task: dict[str, Any]) -> None:
    """Make the program's folder with copies of its input files: the program may write to them."""
    if not (task["make_folder"] or task["copies"] or task["files"]):
        return
    folder = Path(task["folder"])
    if task["make_folder"]:
        folder.mkdir(parents=True, exist_ok=True)
    for source, remote in task["copies"]:
        target = folder / remote
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(source).is_dir():
            shutil.copytree(source, target, copy_function=_copy, dirs_exist_ok=True)
        else:
            _copy(source, target)
    for name, text in task["files"].items():
        (folder / name).write_text(text, encoding="utf-8")


def _copy(source: str | Path, target: str | Path) -> None:
    with open(source, "rb") as original, open(target, "wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
        except OSError:
            shutil.copyfileobj(original, copy, 1024 * 1024)
    shutil.copymode(source, target)


def _begin(task: dict[str, Any], descriptors: Sequence[int], become: Become, trouble: int, waking: int) -> NoReturn:
    """Turn into the program. Why its folder cannot be made goes to `trouble`; what goes wrong later is in its log."""
    try:
        parent = os.getppid()
        os.setsid()
        die_with_parent(parent, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        os.close(waking)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _prepare_or_tell(task, trouble)
        log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for standard, source in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
            os.dup2(source, standard)
        os.chdir(task["folder"])
        os.nice(task["nice"])
        become(task, descriptors)
    except OSError as error:
        print(f"shadho_like: {task['argv'][0]} cannot be started: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(_NOT_EXECUTABLE)


def _prepare_or_tell(task: dict[str, Any], trouble: int) -> None:
    try:
        _prepare(task)
    except Exception as error:
        os.write(trouble, str(error)[:_LONGEST_REASON].encode(errors="replace"))
        os._exit(_NOT_EXECUTABLE)
    os.close(trouble)


def _reap(pid: int) -> tuple[int | None, int]:
    """Collect ended children, adopted ones too; return the exit status of `pid` if it is one of them, and the most memory of one."""
    peak = 0
    with suppress(ChildProcessError):
        while True:
            ended, status, used = os.wait4(-1, os.WNOHANG)
            if ended == 0:
                break
            peak = max(peak, peak_bytes(used))
            if ended == pid:
                return os.waitstatus_to_exitcode(status), peak
    return None, peak


def _wake_on_signals(supervisors: int) -> tuple[int, int]:
    """Return the ends of a pipe that gives a byte for each SIGCHLD and SIGTERM from now on, in place of the supervisor's."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    # Not what this returns: where asyncio is loaded, a fork has set it to none.
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.close(supervisors)
    return reading, writing


def _is_over(folder: str, limit: int) -> bool:
    """Return whether a folder takes more room than `limit` bytes; stops to look as soon as it does."""
    total = 0
    for size in _sizes(folder):
        total += size
        if total > limit:
            return True
    return False


def _sizes(folder: str) -> Iterator[int]:
    """Yield the room that each entry takes: blocks, not lengths, and at least one, so that a million empty files count too."""
    waiting = [folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    yield max(_SMALLEST_FILE, entry.stat(follow_symlinks=False).st_blocks * 512)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
