"""Two processes that watch each other, so that nothing which the second one starts outlives either, by kill -9 too.

Standard library and Python 3.8 only. On Linux each adopts the orphans of all that is below it, and so finds them again
whatever they did to get away; elsewhere only direct children are found.
"""

from __future__ import annotations

import ctypes
import os
import signal
import traceback
from contextlib import suppress
from typing import Callable, NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SIGNAL_BASE = 128
NOT_EXECUTABLE = 127

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def run_guarded(work: Callable[[], int], clean_up: Callable[[], None]) -> int:
    """Run `work` in a child process and return its exit status, with every process gone that it or its children started.

    Signals are passed on to the child, which gets SIGTERM too when this process dies. `work` sets its own handlers and
    unblocks `SIGNALS`, which it is started with blocked. `clean_up` is called by whichever process is left.
    """
    adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_guarded(work, clean_up, parent)
    for number in SIGNALS:
        signal.signal(number, lambda received, _: os.kill(pid, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    status = _wait_for(pid)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    end_descendants()
    clean_up()
    return status


def _be_guarded(work: Callable[[], int], clean_up: Callable[[], None], parent: int) -> NoReturn:
    status = 1
    try:
        # A batch system's or a terminal's kill of the parent's group must leave this process time to clean up.
        os.setsid()
        die_with_parent(parent, signal.SIGTERM)
        adopt_orphans()
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        end_descendants()
        clean_up()
        os._exit(status)


def _wait_for(pid: int) -> int:
    """Wait for a child, collecting adopted ones on the way; return its exit status as a shell tells it."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return shell_status(status)


def shell_status(status: int) -> int:
    """Return what `waitpid` gave as an exit status, 128 + n for signal n."""
    return SIGNAL_BASE + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def end_descendants() -> None:
    """Kill and collect every child, and the orphans that they leave to this process, until none is left."""
    pids = children()
    while pids:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)
        pids = children()


def children() -> set[int]:
    """Return the process ids of this process's children, where the system shows them."""
    me = os.getpid()
    return {pid for pid, parent in _parents().items() if parent == me}


def descendants() -> dict[int, int]:
    """Return the process ids of all that is below this process, each with its parent's, where the system shows them."""
    parents, found = _parents(), {os.getpid(): 0}
    while True:
        more = {pid: parent for pid, parent in parents.items() if parent in found and pid not in found}
        if not more:
            del found[os.getpid()]
            return found
        found.update(more)


def _parents() -> dict[int, int]:
    """Return the parent of each process."""
    found = {}
    try:
        entries = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return {}
    for pid in entries:
        with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name is in parentheses and may hold anything, also parentheses and blanks.
            found[pid] = int(file.read().rpartition(b")")[2].split()[1])
    return found


def start(argv: list[str], env: dict[str, str], output: int) -> int:
    """Start a program that gets SIGTERM when this process dies; `output` is its standard output and error. Return its pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(argv, env, output, parent)
    return pid


def _become(argv: list[str], env: dict[str, str], output: int, parent: int) -> NoReturn:
    try:
        for number in (*SIGNALS, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        die_with_parent(parent, signal.SIGTERM)
        for standard, source in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
            os.dup2(source, standard)
        os.execve(argv[0], argv, env)
    except OSError as error:
        os.write(2, f"{argv[0]} cannot be started: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_EXECUTABLE)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Have this process get a signal when its parent ends; now if `parent` is gone already."""
    if _prctl(_PR_SET_PDEATHSIG, number) and os.getppid() != parent:
        os.kill(os.getpid(), number)


def _prctl(option: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except AttributeError:
        return False
