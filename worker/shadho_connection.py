"""One run of `work_queue_worker`, from its start to the end of its one connection, and how that ended. Which manager is not
decided here.

Standard library and Python 3.8 only. The program says what happens to it in lines of text alone, and its exit status is
always 0; the lines are read from a pseudo-terminal because it would not flush them to a pipe.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from types import FrameType
from typing import Mapping

import shadho_drain
import shadho_guard
import shadho_warm

_CONNECTED = re.compile(r"connected to manager (\S+):(\d+) via ")
_RESOURCES = re.compile(r"work_queue_worker: using (.*?)(?:, 0 gpus)?$")
_QUIET = re.compile(r"work_queue_worker: (creating|deleting) workspace|couldn't connect to |.*could not connect after ")
_NO_WORK = "(--idle-timeout)"
_WRONG_PASSWORD = ("wrong password for manager", "this manager requires a password")
_DISCONNECTED = "disconnected from manager"

# It sleeps for 5 s between the loss of its connection and the line that says so; when the manager sent it home, it only tidies up
# first: the only difference that can be seen. A look this often finds the loss in between, and a second one so much later that
# nothing was tidied up.
_CHECK_S = 1.5
_TIDY_S = 2.5
# A line that comes so long after the connection was seen last tells nothing any more: this process itself may have had no time to look.
_SLEEP_S = 5.0
_GRACE_S = 5.0
_DRAIN_STEP_S = 0.25


class End(Enum):
    """How a run of `work_queue_worker` ended."""

    RELEASED = "released"
    """The manager sent it home."""
    IDLE = "idle"
    """The manager sent no work for the whole idle timeout."""
    LOST = "lost"
    """The connection broke: the driver died, or the network."""
    NO_MANAGER = "no manager"
    """Nobody listened there."""
    WRONG_PASSWORD = "wrong password"
    """The manager and this worker do not have the same password, or one has none."""
    TIME = "time"
    """The time that there was is over."""
    KILLED = "killed"
    """Somebody killed it, or it crashed."""
    REFUSED = "refused"
    """It ended before it tried to connect: its options are wrong."""


class Signalled(Exception):
    """A signal asks this process to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def raise_on_signals() -> int:
    """Have `Signalled` raised where the process is when it is asked to end; return a descriptor with a byte for each signal."""
    reading, writing = os.pipe()
    for descriptor in (reading, writing):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in shadho_guard.SIGNALS:
        signal.signal(number, _raise)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, shadho_guard.SIGNALS)
    return reading


def _raise(number: int, _: FrameType | None) -> None:
    raise Signalled(number)


def say(text: str) -> None:
    """Tell the user one line."""
    with suppress(OSError):
        print(f"wq_worker: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Program:
    """How to start `work_queue_worker`.

    Attributes:
        argv: with all options but those that name a manager.
        folder: everything that it and its trials write is beneath.
        signals: see `raise_on_signals`.
        env: its environment.
        drain_grace_s: how long running trials have, to take a checkpoint and hand back, before it ends.
        ends_s: when this is to begin by itself, as `time.monotonic` tells it; infinite for never.
        guard: the process id of this process's parent, whose end leaves no time for that.
    """

    argv: tuple[str, ...]
    folder: str
    signals: int
    env: Mapping[str, str]
    drain_grace_s: float
    ends_s: float
    guard: int


class Connection:
    """A run of `work_queue_worker`.

    Attributes:
        connected: whether it got as far as that.
    """

    def __init__(self, program: Program, manager: list[str], name: str) -> None:
        """Start it.

        Args:
            program: what to start.
            manager: the options that name the manager.
            name: what the user calls the manager.
        """
        self.connected = False
        self._name = name
        self._program = program
        self._resources = ""
        self._end: End | None = None
        self._exit: int | None = None
        self._partial = b""
        self._seen_s = time.monotonic()
        self._warm = shadho_warm.Warm(program.folder) if shadho_warm.is_possible() else None
        self._terminal, other_end = os.openpty()
        env = {**program.env, "SHADHO_PYTHON": shadho_warm.interpreter(), shadho_drain.MARKER: shadho_drain.marker(program.folder)}
        if self._warm:
            env["SHADHO_WARM"] = self._warm.folder
        self._pid = shadho_guard.start([*program.argv, *manager], env, other_end)
        os.close(other_end)

    def run(self) -> End:
        """Watch it to its end; nothing that it started is left then.

        Raises:
            Signalled: this process is asked to end; `work_queue_worker` has told the manager that its tasks are lost. SIGTERM leaves
                them time to end before.
        """
        try:
            while self._exit is None:
                self._watch(max(0.0, min(_CHECK_S, self._program.ends_s - time.monotonic())))
                if self._exit is None and time.monotonic() >= self._program.ends_s:
                    self._drain("the time is almost over")
                    self._leave()
                    return End.TIME
                if self.connected and self._exit is None:
                    self._look()
            while self._read():
                pass
        except Signalled as signalled:
            self._heed(signalled)
            raise
        finally:
            os.close(self._terminal)
            shadho_guard.end_descendants()
            if self._warm:
                self._warm.discard()
        return self._outcome()

    def _look(self) -> None:
        """See whether there still is a connection, and if there is none, what became of it."""
        now_s = time.monotonic()
        if _has_socket(self._pid):
            self._seen_s = now_s
        else:
            self._watch_for(_TIDY_S)
            self._finish(End.LOST)

    def _watch(self, timeout_s: float) -> None:
        """Wait for lines, ended children or the time."""
        ready = select.select([self._terminal, self._program.signals], [], [], timeout_s)[0]
        closed = self._terminal in ready and not self._read()
        if self._program.signals in ready:
            os.read(self._program.signals, 4096)
        self._collect(0 if closed else os.WNOHANG)

    def _watch_for(self, seconds: float) -> None:
        """Watch it for so long, or to its end."""
        due_s = time.monotonic() + seconds
        while self._exit is None and (left_s := due_s - time.monotonic()) > 0:
            self._watch(left_s)

    def _collect(self, flags: int) -> None:
        """Collect ended children, with no flags until `work_queue_worker` is among them."""
        while self._exit is None:
            pid, status = os.waitpid(-1, flags)
            if pid == self._pid:
                self._exit = shadho_guard.shell_status(status)
            elif self._warm and pid == self._warm.pid:
                self._warm.restart()
            elif pid == 0:
                return

    def _read(self) -> bool:
        """Take the lines that are there; return False when there will be none any more."""
        try:
            data = os.read(self._terminal, 65536)
        except OSError:
            data = b""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._hear(line.decode("utf-8", "replace").strip())
        return bool(data)

    def _hear(self, line: str) -> None:
        """Understand one line of what `work_queue_worker` says, or pass it on."""
        resources, connected = _RESOURCES.match(line), _CONNECTED.match(line)
        if resources:
            self._resources = resources[1]
        elif connected:
            self._welcome(connected[1], connected[2])
        elif any(text in line for text in _WRONG_PASSWORD):
            self._finish(End.WRONG_PASSWORD)
        elif _NO_WORK in line:
            self._finish(End.IDLE)
        elif line.startswith(_DISCONNECTED):
            self._end = self._end or (End.RELEASED if time.monotonic() < self._seen_s + _SLEEP_S else End.LOST)
        elif line and not _QUIET.match(line):
            with suppress(OSError):
                print(line, file=sys.stderr, flush=True)

    def _welcome(self, host: str, port: str) -> None:
        if self.connected:  # turned away, it tries again until it heeds the signal
            return
        self.connected = True
        of_name = "the manager" if self._name == f"{host}:{port}" else self._name
        say(f"connected to {of_name} at {host}:{port} with {self._resources}")
        if self._warm:
            self._warm.start()

    def _finish(self, end: End) -> None:
        """Have it end now, without its sleep."""
        if self._end is None:
            self._end = end
            self._terminate()

    def _terminate(self) -> None:
        if self._exit is None:
            os.kill(self._pid, signal.SIGTERM)

    def _heed(self, signalled: Signalled) -> None:
        """Let the trials end first, unless this is urgent: at the terminal, or when the guard died; then let it tell the manager."""
        with suppress(Signalled):
            if signalled.number == signal.SIGTERM and os.getppid() == self._program.guard and self._end is None:
                self._drain("asked to end")
        self._leave()

    def _drain(self, why: str) -> None:
        """Begin nothing more, and wait until what runs has ended or the time for that is over."""
        drain = shadho_drain.Drain(self._program.folder, self._pid)
        due_s = time.monotonic() + self._program.drain_grace_s
        left = drain.left()
        if left and self._exit is None:
            grace = f"{self._program.drain_grace_s:g} s to end, with a checkpoint where they take one"
            say(f"{why}: {left} running tasks have {grace}; a second signal ends them now")
        while self._exit is None and left and time.monotonic() < due_s:
            drain.ask()
            self._watch(_DRAIN_STEP_S)
            left = drain.left()
        say(f"{left} tasks did not end in time and are lost" if left else "nothing runs any more")

    def _leave(self) -> None:
        """Let it tell the manager; a second signal, or the time, ends the wait."""
        with suppress(Signalled):
            self._terminate()
            self._watch_for(_GRACE_S)

    def _outcome(self) -> End:
        if self._end is not None:
            return self._end
        if self._exit:
            return End.KILLED if self._exit > shadho_guard.SIGNAL_BASE else End.REFUSED
        return End.LOST if self.connected else End.NO_MANAGER


def _has_socket(pid: int) -> bool:
    """Return whether a process has a connection; True where that cannot be told."""
    folder = f"/proc/{pid}/fd"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return True
    for descriptor in descriptors:
        with suppress(OSError):
            if os.readlink(os.path.join(folder, descriptor)).startswith("socket:"):
                return True
    return not descriptors
