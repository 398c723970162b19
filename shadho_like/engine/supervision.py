"""The driver's hold on its supervisor: starts it, hands it tasks, hears of their ends, and starts another if it dies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import shadho_like
from shadho_like.engine.forked import ForkedProcess
from shadho_like.engine.orders import send

_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from shadho_like.engine.supervisor import main; main()"
_READ_BYTES = 1024 * 1024
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """A program to run once.

    Attributes:
        id: the driver's number for it, never used twice.
        argv: the program and its arguments.
        folder: where it runs.
        log: the file that gets its output, appended.
        make_folder: whether the folder is to be made.
        copies: (path here, relative path there) of files and folders that are copied into it first.
        files: small files to write into it, by name.
        env: what differs from the driver's environment.
        nice: by how much its processes yield to others, 0 to 19.
        disk_bytes: how much room the folder may take; None for any.
    """

    id: int
    argv: tuple[str, ...]
    folder: str
    log: str
    make_folder: bool = False
    copies: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    nice: int = 0
    disk_bytes: int | None = None


_FIELDS = tuple(field.name for field in fields(Task))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task ended.

    Attributes:
        task: its number.
        status: its exit status, negative for a signal; None if it was ended from outside or never began.
        over_disk: whether its folder took too much room.
        oom: whether the machine killed a process for want of memory meanwhile.
        peak_bytes: the most memory that one of its processes had; 0 where that is not known.
        broken: why it could not begin, where it could not.
    """

    task: int
    status: int | None
    over_disk: bool = False
    oom: bool = False
    peak_bytes: int = 0
    broken: str = ""


class Supervision:
    """One supervisor process. `alive` turns False when it is gone, and with it all that it ran.

    Args:
        command: what starts another program that serves as `supervisor.main` does; None for that one.
        descriptors: open files that the command gets by their numbers.
        become: what a copy of this process does in place of the command, which it falls back to when this returns.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        descriptors: Sequence[int] = (),
        become: Callable[[], None] | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        command = command or supervisor_command()
        with theirs, open(writing, "wb", buffering=0):
            self._process: subprocess.Popen[bytes] | ForkedProcess
            if become is None:
                self._process = subprocess.Popen(
                    command, stdin=theirs.fileno(), stdout=writing, pass_fds=descriptors, start_new_session=True
                )
            else:
                self._process = ForkedProcess(become, command, theirs.fileno(), writing, descriptors)
        self._control = ours
        self._report = open(reading, "rb", buffering=0)  # noqa: SIM115 - `close` closes it
        self._text = b""
        self.alive = True
        os.set_blocking(self._report.fileno(), False)

    @property
    def fd(self) -> int:
        """Readable when there is something to hear."""
        return self._report.fileno()

    def run(self, task: Task, descriptors: Sequence[int] = ()) -> None:
        """Start a task; the program gets copies of the open files, and their numbers as further arguments."""
        self._send({"run": {name: getattr(task, name) for name in _FIELDS}}, descriptors)

    def end(self, task: int) -> None:
        """Kill a task with all that it started; it is reported when all is gone."""
        self._send({"end": task})

    def ask(self, task: int) -> None:
        """Ask a task to end, by SIGTERM to what handles it; a task that has no such process is killed."""
        self._send({"ask": task})

    def remove(self, folder: Path) -> None:
        """Remove a folder, some time before the supervisor ends."""
        self._send({"remove": str(folder)})

    def read(self) -> list[Ended]:
        """Return what is to be heard now."""
        data = b""
        with suppress(BlockingIOError):
            data = os.read(self.fd, _READ_BYTES)
            self.alive = bool(data)
        *lines, self._text = (self._text + data).split(b"\n")
        return [_ended(json.loads(line)) for line in lines]

    def close(self) -> None:
        """End everything that runs and wait until it is gone."""
        self._control.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._report.close()

    def _send(self, order: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        with suppress(ConnectionError):
            send(self._control, order, descriptors)


def supervisor_command() -> list[str]:
    """Return what starts the supervisor: an interpreter with next to nothing loaded."""
    root = str(Path(shadho_like.__file__).parent.parent)
    return [sys.executable, "-S", "-E", "-c", _PROGRAM, root]


def _ended(report: Mapping[str, Any]) -> Ended:
    if "broken" in report:
        return Ended(report["broken"], None, broken=report["reason"])
    return Ended(report["ended"], report["status"], report["over_disk"], report["oom"], report.get("peak", 0))
