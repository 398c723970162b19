"""The program that runs beside the driver and gives tasks to keepers that it forks: one small process that outlives no driver.

It reads tasks from a socket and reports on a pipe, a JSON object a line; it ends everything when the socket closes, whatever the
reason. Standard library only; nothing here knows what a trial is.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from shadho_like.engine.keeper import Become, Link, execute, keep
from shadho_like.engine.orders import Orders, send
from shadho_like.engine.processes import adopt_orphans, close_all_but, kill_children, opened_process

_READ_BYTES = 1024 * 1024


def main() -> None:
    """Serve on the socket that is standard input; reports go to standard output."""
    control, report = take_over_streams()
    gc.disable()
    Supervisor(socket.socket(fileno=control), report).serve()


def take_over_streams() -> tuple[int, int]:
    """Return copies of standard input and output, the ways from and to the driver, which nothing else may then use."""
    copies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return copies


@dataclass(slots=True)
class _Kept:
    """A keeper, and the task that it has: None while it waits for one."""

    pid: int
    link: socket.socket
    task: int | None = None


class Supervisor:
    """Keepers, and what they run, until the driver's end. There are as many as tasks ran at once.

    Args:
        control: a stream socket to the driver: tasks, with the descriptors that they need, and what to end or remove.
        report: the pipe to the driver; the keepers keep it open, so that it ends when all that they ran is gone.
        become: makes a task's program of a process forked from this one.
    """

    def __init__(self, control: socket.socket, report: int, become: Become = execute) -> None:
        self._control = Orders(control)
        self._report = report
        self._become = become
        self._keepers: dict[int, _Kept] = {}
        self._busy: dict[int, _Kept] = {}
        self._idle: list[_Kept] = []
        self._unsent = b""
        self._heard = b""
        self._remover, self._remover_pid = self._start_remover()
        self._hearing, self._saying = os.pipe()
        self._wake, self._waking = os.pipe()
        self._driver = opened_process(os.getppid())

    def serve(self) -> None:
        """Work until the driver closes its end or is gone."""
        adopt_orphans()
        for descriptor in (self._wake, self._waking, self._hearing, self._report):
            os.set_blocking(descriptor, False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        while True:
            poll = select.poll()
            for descriptor in (self._control.fileno(), self._wake, self._hearing, *self._driver):
                poll.register(descriptor, select.POLLIN)
            if self._unsent:
                poll.register(self._report, select.POLLOUT)
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake in ready and signal.SIGTERM in os.read(self._wake, 4096):
                break
            self._reap()
            self._tell(b"")
            if self._control.fileno() in ready:
                self._obey_all()
            if not self._control.open or any(descriptor in ready for descriptor in self._driver):
                break
        self._end_all()

    def _obey_all(self) -> None:
        for order, descriptors in self._control.read():
            if "run" in order:
                self._start(order, descriptors)
            elif "remove" in order:
                self._remove(order["remove"])
            elif (kept := self._busy.get(order["end"] if "end" in order else order["ask"])) is not None:
                with suppress(OSError):
                    send(kept.link, order)

    def _remove(self, folder: str) -> None:
        """Have a folder removed. Where somebody killed the remover, what it had not removed stays until the driver's end."""
        line = (json.dumps(folder) + "\n").encode()
        try:
            os.write(self._remover, line)
        except BrokenPipeError:
            os.close(self._remover)
            self._remover, self._remover_pid = self._start_remover()
            os.write(self._remover, line)

    def _start(self, order: dict[str, Any], descriptors: list[int]) -> None:
        """Give a task to a keeper."""
        kept = next((kept for kept in self._waiting() if _takes(kept, order, descriptors)), None) or self._fork(order["run"], descriptors)
        kept.task = order["run"]["id"]
        self._busy[order["run"]["id"]] = kept
        for descriptor in descriptors:
            os.close(descriptor)

    def _waiting(self) -> Iterator[_Kept]:
        while self._idle:
            yield self._idle.pop()

    def _fork(self, task: dict[str, Any], descriptors: Sequence[int]) -> _Kept:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        me = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            links = (ours, *(kept.link for kept in self._keepers.values()))
            for descriptor in (self._remover, self._hearing, self._wake, *self._driver, *(link.fileno() for link in links)):
                os.close(descriptor)
            self._control.close()
            keep(task, descriptors, Link(Orders(theirs), self._saying, self._waking, (self._report,)), me, self._become)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        theirs.close()
        self._keepers[pid] = kept = _Kept(pid, ours)
        return kept

    def _reap(self) -> None:
        """Hear of tasks that ended, and forget keepers that did. One that was killed left orphans, which are ours now."""
        ended = list(_ended_children())
        self._hear()
        for pid, status in ended:
            kept = self._keepers.pop(pid, None)
            if kept is not None:
                self._forget(kept)
            if status != 0 or kept is None:
                kill_children(spare=frozenset(self._keepers) | {self._remover_pid})

    def _hear(self) -> None:
        """Pass on what keepers say of their tasks, and take them for idle."""
        with suppress(BlockingIOError):
            while True:
                self._heard += os.read(self._hearing, _READ_BYTES)
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            report = json.loads(line)
            kept = self._busy.pop(report.get("ended", report.get("broken")))
            kept.task = None
            self._idle.append(kept)
            self._tell(line + b"\n")

    def _forget(self, kept: _Kept) -> None:
        """Take leave of a keeper; a task that it did not report was lost with it."""
        kept.link.close()
        if kept in self._idle:
            self._idle.remove(kept)
        if kept.task is not None:
            del self._busy[kept.task]
            lost = {"ended": kept.task, "status": None, "over_disk": False, "oom": False}
            self._tell((json.dumps(lost) + "\n").encode())

    def _tell(self, report: bytes) -> None:
        """Report to the driver, which may be gone, or have no time to listen now."""
        self._unsent += report
        with suppress(BlockingIOError):
            try:
                self._unsent = self._unsent[os.write(self._report, self._unsent) :] if self._unsent else b""
            except BrokenPipeError:
                self._unsent = b""

    def _end_all(self) -> None:
        """End every keeper with its family, then let the remover finish."""
        # Nobody reads it any more: no keeper is to wait until its report fits in.
        os.close(self._hearing)
        for pid in self._keepers:
            os.kill(pid, signal.SIGTERM)
        while self._keepers:
            pid = os.waitpid(-1, 0)[0]
            self._keepers.pop(pid, None)
            kill_children(spare=frozenset(self._keepers) | {self._remover_pid})
        os.close(self._remover)
        with suppress(ChildProcessError):
            os.waitpid(self._remover_pid, 0)

    def _start_remover(self) -> tuple[int, int]:
        """Fork the process that removes folders, so that a million files hold up nobody; return its pipe and its id."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            _remove_as_told(reading)
        os.close(reading)
        with suppress(OSError, AttributeError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _READ_BYTES)
        return writing, pid


def _takes(kept: _Kept, order: dict[str, Any], descriptors: Sequence[int]) -> bool:
    """Hand a task to an idle keeper; return whether it has it whole. One that has not, or is gone, is of no use any more."""
    with suppress(OSError):
        if send(kept.link, order, descriptors):
            return True
    with suppress(ProcessLookupError):
        os.kill(kept.pid, signal.SIGKILL)
    return False


def _ended_children() -> Iterator[tuple[int, int]]:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def _remove_as_told(reading: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        close_all_but({0, 1, 2, reading})
        with open(reading, encoding="utf-8") as orders:
            for line in orders:
                remove_folder(Path(json.loads(line)))
    finally:
        os._exit(0)


def remove_folder(folder: Path) -> None:
    """Remove a folder, whatever a trial made of it: without permissions, or deeper than Python can go."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", str(folder)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
