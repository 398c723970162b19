"""A copy of this process that goes on by itself, without what belongs to the original: its files, signals, and what it does at its end."""

from __future__ import annotations

import atexit
import ctypes
import math
import os
import select
import signal
import subprocess
import sys
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import shadho_zygote

from shadho_like.engine.processes import close_all_but, opened_process

_KNOWN_TO_BREAK = ("grpc", "jax", "tensorflow")
_PATIENCE_S = 5.0
_LOOK_S, _POLL_S = 60.0, 0.01


def may_fork() -> bool:
    """Return whether a copy of this process can be expected to work: no threads of Python's, no accelerator opened, nothing loaded that
    is known to keep threads of its own.
    """
    return sys.platform == "linux" and not any(name in sys.modules for name in _KNOWN_TO_BREAK) and shadho_zygote.survives_fork()


class ForkedProcess:
    """A copy of this process; of `subprocess.Popen`, what a supervisor's holder uses.

    Args:
        become: what it does; where that returns, it becomes the command.
        command: see `become`.
        control, report: its standard input and output.
        descriptors: other open files that it keeps.
    """

    def __init__(self, become: Callable[[], None], command: Sequence[str], control: int, report: int, descriptors: Sequence[int]) -> None:
        self.returncode: int | None = None
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _go_on(become, command, control, report, descriptors)

    def poll(self) -> int | None:
        """Return its exit status, None while it runs."""
        if self.returncode is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = self.pid, 0
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it takes too long.
        """
        give_up_s = time.monotonic() + (math.inf if timeout is None else timeout)
        opened, end = opened_process(self.pid), select.poll()
        try:
            for descriptor in opened:
                end.register(descriptor, select.POLLIN)
            while (status := self.poll()) is None:
                left_s = give_up_s - time.monotonic()
                if left_s <= 0:
                    raise subprocess.TimeoutExpired("a copy of this process", timeout or 0)
                end.poll(1000 * min(left_s, _LOOK_S if opened else _POLL_S))
        finally:
            for descriptor in opened:
                os.close(descriptor)
        return status

    def kill(self) -> None:
        """Kill it."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _go_on(become: Callable[[], None], command: Sequence[str], control: int, report: int, descriptors: Sequence[int]) -> NoReturn:
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGQUIT, signal.SIGHUP):
            # What is ignored, as under nohup, stays so.
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        os.dup2(control, 0)
        os.dup2(report, 1)
        close_all_but({0, 1, 2, *descriptors})
        _open_streams()
        _forget_ends()
        if _openmp_works():
            become()
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        os.execv(command[0], list(command))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _open_streams() -> None:
    """Have Python's streams mean the standard files again: the original may have put others in their places."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # type: ignore[misc]


def _forget_ends() -> None:
    """Forget what the original is to do at its end: its temporary folders are not the copy's to remove."""
    atexit._clear()
    registry = weakref.finalize._registry  # type: ignore[attr-defined]
    registry.clear()
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]


def _openmp_works() -> bool:
    """Return whether parallel loops run here: GNU's OpenMP waits for ever for threads that a fork has not taken along."""
    libraries = {line.split()[-1] for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines() if "libgomp" in line}
    if not libraries:
        return True
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for path in libraries:
                ctypes.CDLL(path).GOMP_parallel(ctypes.CDLL(None).getpid, None, 2, 0)
        finally:
            os._exit(0)
    os.close(writing)
    ended = bool(select.select([reading], [], [], _PATIENCE_S)[0])
    os.close(reading)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1] == 0
