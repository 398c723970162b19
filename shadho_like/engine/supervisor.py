"""The program that runs beside the driver and forks a keeper for each task: one small process that outlives no driver.

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
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from shadho_like.engine.keeper import Become, execute, keep, send_report
from shadho_like.engine.processes import adopt_orphans, kill_children

_READ_BYTES = 1024 * 1024
_MOST_DESCRIPTORS = 64


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


class Supervisor:
    """Keepers by task, until the driver's end.

    Args:
        control: a stream socket to the driver: tasks, with the descriptors that they need, and what to end or remove.
        report: the pipe to the driver, that the keepers write to as well.
        become: makes a task's program of a process forked from this one.
    """

    def __init__(self, control: socket.socket, report: int, become: Become = execute) -> None:
        self._control = control
        self._report = report
        self._become = become
        self._keepers: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._text = b""
        self._descriptors: list[int] = []
        self._remover, self._remover_pid = self._start_remover()

    def serve(self) -> None:
        """Work until the driver closes its end or is gone."""
        adopt_orphans()
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        driver = _opened_process(os.getppid())
        while True:
            ready = select.select([self._control.fileno(), reading, *driver], [], [])[0]
            if reading in ready and signal.SIGTERM in os.read(reading, 4096):
                break
            self._reap()
            if (driver and driver[0] in ready) or (self._control.fileno() in ready and not self._read()):
                break
        self._end_all()

    def _read(self) -> bool:
        """Take what the driver sent; return whether it is still there."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _READ_BYTES, _MOST_DESCRIPTORS)
        except ConnectionError:
            return False
        self._descriptors += descriptors
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(data)

    def _obey(self, order: dict[str, Any]) -> None:
        if "run" in order:
            self._start(order["run"])
        elif "end" in order:
            if (pid := self._pids.get(order["end"])) is not None:
                os.kill(pid, signal.SIGTERM)
        elif "ask" in order:
            if (pid := self._pids.get(order["ask"])) is not None:
                os.kill(pid, signal.SIGUSR1)
        else:
            os.write(self._remover, (json.dumps(order["remove"]) + "\n").encode())

    def _start(self, task: dict[str, Any]) -> None:
        count = task["descriptors"]
        descriptors, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        me = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
        pid = os.fork()
        if pid == 0:
            self._control.close()
            os.close(self._remover)
            keep(task, descriptors, self._report, me, self._become)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGUSR1})
        self._keepers[pid] = task["id"]
        self._pids[task["id"]] = pid
        for descriptor in descriptors:
            os.close(descriptor)

    def _reap(self) -> None:
        """Forget keepers that ended. One that was killed could not report, and left orphans, which are ours now."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            task = self._keepers.pop(pid, None)
            if task is not None:
                del self._pids[task]
            if status != 0 and task is not None:
                send_report(self._report, {"ended": task, "status": None, "over_disk": False, "oom": False})
            if status != 0 or task is None:
                kill_children(spare=frozenset(self._keepers) | {self._remover_pid})

    def _end_all(self) -> None:
        """End every keeper with its family, then let the remover finish."""
        for pid in self._keepers:
            os.kill(pid, signal.SIGTERM)
        while self._keepers:
            pid = os.waitpid(-1, 0)[0]
            self._keepers.pop(pid, None)
            kill_children(spare=frozenset(self._keepers) | {self._remover_pid})
        os.close(self._remover)
        os.waitpid(self._remover_pid, 0)

    def _start_remover(self) -> tuple[int, int]:
        """Fork the process that removes folders, so that a million files hold up nobody; return its pipe and its id."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._control.close()
            os.close(self._report)
            os.close(writing)
            _remove_as_told(reading)
        os.close(reading)
        with suppress(OSError, AttributeError):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _READ_BYTES)
        return writing, pid


def _remove_as_told(reading: int) -> NoReturn:
    try:
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


def _opened_process(pid: int) -> list[int]:
    """Return a descriptor that is readable when a process has ended, where the system has such."""
    with suppress(OSError, AttributeError):
        return [os.pidfd_open(pid)]
    return []
