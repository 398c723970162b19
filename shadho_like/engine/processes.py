"""What the system lets one process do about others: die with a parent, adopt orphans, end a whole family. Nothing is started.

Linux has all of it; elsewhere a process group is the family, and what left its group on purpose is out of reach.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import resource

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MOST_DESCRIPTORS = 65536
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Have this process get a signal when its parent's thread ends; end now if `parent` is gone already."""
    if _prctl(_PR_SET_PDEATHSIG, number) and os.getppid() != parent:
        os._exit(1)


def close_all_but(kept: set[int]) -> None:
    """Close all open files but these: what a copy of a process has of the original's locks, sockets and pipes would stay open with it."""
    import resource

    first = 0
    for descriptor in (*sorted(kept), min(_MOST_DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[0])):
        # Of an empty range, Python 3.11 closes everything.
        if first < descriptor:
            os.closerange(first, descriptor)
        first = descriptor + 1


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, however it tried to get away."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_family(group: int) -> int:
    """Kill a process group and every other child of this process, with the children that they leave; return when all are gone.

    Returns:
        The most memory that one of them had, in bytes.
    """
    peak = 0
    with suppress(OSError):
        os.killpg(group, signal.SIGKILL)
    while True:
        try:
            ended, _, used = os.wait4(-1, os.WNOHANG)
            if not ended:
                kill_children()
                _, _, used = os.wait4(-1, 0)
        except ChildProcessError:
            return peak
        peak = max(peak, peak_bytes(used))


def peak_bytes(used: resource.struct_rusage) -> int:
    """Return the most memory that a process had which has ended, or one of its children."""
    return used.ru_maxrss * _RSS_UNIT


def kill_children(*, spare: frozenset[int] = frozenset()) -> None:
    """Send SIGKILL to every child of this process but the spared ones."""
    for pid in children() - spare:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children() -> set[int]:
    """Return the process ids of this process's children, where the system shows them."""
    me, found = str(os.getpid()), set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        if _stat(entry)[1:2] == [me]:
            found.add(int(entry.parent.name))
    return found


def ask_session(session: int) -> bool:
    """Send SIGTERM to the processes of a session that have a handler for it; return whether there was one."""
    listening = [pid for pid in _members(session) if _handles(pid, signal.SIGTERM)]
    for pid in listening:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return bool(listening)


def _members(session: int) -> list[int]:
    """Return the processes of a session, where the system shows them; else its leader."""
    found = [int(entry.parent.name) for entry in Path("/proc").glob("[0-9]*/stat") if _stat(entry)[3:4] == [str(session)]]
    return found or [session]


def _handles(pid: int, number: signal.Signals) -> bool:
    """Return whether a process catches a signal; where the system does not show it, whether it is worth a try."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return not Path("/proc/self/status").exists()
    caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return bool(caught >> (number - 1) & 1)


def _stat(path: Path) -> list[str]:
    """Return the fields of a process behind its command's name, which is in parentheses and may hold anything."""
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return []


def opened_process(pid: int) -> list[int]:
    """Return a descriptor that is readable when a process has ended, where the system has such."""
    with suppress(OSError, AttributeError):
        return [os.pidfd_open(pid)]
    return []


def oom_kills() -> int:
    """Return how many processes this machine has killed for want of memory since it started; 0 where it does not say."""
    try:
        with open("/proc/vmstat", "rb", buffering=0) as file:
            counts = file.read()
    except OSError:
        return 0
    _, name, rest = counts.partition(b"\noom_kill ")
    return int(rest.split(None, 1)[0]) if name else 0


def _prctl(option: int, value: int) -> bool:
    try:
        return bool(c_library().prctl(option, value, 0, 0, 0) == 0)
    except AttributeError:
        return False


@functools.cache
def c_library() -> ctypes.CDLL:
    """Return what this process has of C's functions. Forked processes share what is loaded before."""
    return ctypes.CDLL(None)
