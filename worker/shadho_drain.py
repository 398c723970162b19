"""How a worker empties before its end: what begins no more, who is asked to take a checkpoint, and when all is handed back.

Standard library and Python 3.8 only. A task's shell looks for the marker's file, whose path the environment tells it: where that is,
it begins nothing and holds its place, so that the driver sends no other, and its trial goes on elsewhere when the worker is gone.
"""

from __future__ import annotations

import glob
import os
import signal
from contextlib import suppress

import shadho_guard

MARKER = "SHADHO_DRAIN"
HELD_FILE = "shadho_held"

_SHELLS = frozenset({"sh", "bash", "busybox", "dash", "ksh", "mksh", "zsh"})


def marker(folder: str) -> str:
    """Return the path of the file that says that no more is to begin."""
    return os.path.join(folder, "draining")


class Drain:
    """The end of a worker's work; it begins when this is made.

    Args:
        folder: that `work_queue_worker` has for its own.
        program: its process id.
    """

    def __init__(self, folder: str, program: int) -> None:
        self._tasks = os.path.join(glob.escape(folder), "worker-*", "t.*")
        self._program = program
        self._asked: set[int] = set()
        with open(marker(folder), "wb"):
            pass

    def left(self) -> int:
        """Return how many tasks run, or have not been handed back."""
        return sum(not os.path.exists(os.path.join(task, HELD_FILE)) for task in glob.glob(self._tasks))

    def ask(self) -> None:
        """Send SIGTERM to each process of a trial that has a handler for it, once; some set it up late."""
        parents = shadho_guard.descendants()
        for pid, parent in parents.items():
            if pid in self._asked or pid == self._program or (parent == self._program and _is_shell(pid)) or not _listens(pid):
                continue
            self._asked.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _is_shell(pid: int) -> bool:
    """Return whether a process is a task's own shell: one that traps its end takes the signal for it, and its command's work is lost."""
    with suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) in _SHELLS
    return False


def _listens(pid: int) -> bool:
    """Return whether a process has a handler for SIGTERM."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/status", "rb") as file:
        caught = next((int(line.split()[1], 16) for line in file if line.startswith(b"SigCgt:")), 0)
        return bool(caught >> (signal.SIGTERM - 1) & 1)
    return False
