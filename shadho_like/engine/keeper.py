"""The process that keeps one program: prepares its folder, starts it, and ends all that it started. Forked by the supervisor.

It adopts the program's orphans, so that nothing survives the program's end, and it dies with the supervisor.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from shadho_like.engine.processes import adopt_orphans, ask_session, die_with_parent, end_family, oom_kills

_FICLONE = 0x40049409
_SMALLEST_FILE = 4096
_MEASURE_S = 1.0
_MEASURE_SHARE = 20
_NOT_EXECUTABLE = 127
_LONGEST_REASON = 500
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024

Become = Callable[[dict[str, Any], Sequence[int]], NoReturn]
"""Turns a process that is ready for it (its folder, its log, its session) into a task's program."""


def execute(task: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Become `argv` in the task's environment; the numbers of the open files are appended to its arguments."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    os.execvpe(task["argv"][0], [*task["argv"], *map(str, descriptors)], {**os.environ, **task["env"]})


def keep(task: dict[str, Any], descriptors: Sequence[int], report: int, supervisor: int, become: Become) -> NoReturn:
    """Run a task to its end, report it, and exit; never returns. SIGTERM and SIGUSR1 are blocked when this is called.

    Args:
        task: see `supervision.Task`.
        descriptors: open files that the program gets.
        report: where the one line about the end goes.
        supervisor: the parent's process id.
        become: makes the program of a process.
    """
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGUSR1})
        die_with_parent(supervisor, signal.SIGTERM)
        adopt_orphans()
        send_report(report, _run(task, descriptors, report, become))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def send_report(report: int, value: dict[str, Any]) -> None:
    """Write one line, in one piece. The driver may be gone."""
    with suppress(OSError):
        os.write(report, (json.dumps(value) + "\n").encode())


def _run(task: dict[str, Any], descriptors: Sequence[int], report: int, become: Become) -> dict[str, Any]:
    try:
        _prepare(task)
    except OSError as error:
        return {"broken": task["id"], "reason": str(error)[:_LONGEST_REASON]}
    wake = _wake_on_signals()
    kills_before = oom_kills()
    pid = os.fork()
    if pid == 0:
        # What becomes a program without exec would keep them open.
        os.close(report)
        os.close(wake)
        _begin(task, descriptors, become)
    for descriptor in descriptors:
        os.close(descriptor)
    status, over_disk = _watch(pid, task, wake)
    end_family(pid)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _RSS_UNIT
    return {"ended": task["id"], "status": status, "over_disk": over_disk, "oom": oom_kills() > kills_before, "peak": peak}


def _prepare(task: dict[str, Any]) -> None:
    """Make the program's folder with copies of its input files: the program may write to them."""
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


def _begin(task: dict[str, Any], descriptors: Sequence[int], become: Become) -> NoReturn:
    """Turn into the program; what goes wrong here is in its log."""
    try:
        parent = os.getppid()
        os.setsid()
        die_with_parent(parent, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
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


def _watch(pid: int, task: dict[str, Any], wake: int) -> tuple[int | None, bool]:
    """Wait for the program's end, SIGTERM or too large a folder; return its status (None if it did not end by itself).

    SIGUSR1 asks the program to end, which is the end at once of one that does not listen.
    """
    limit = task["disk_bytes"]
    due_s, pause_s = time.monotonic() + _MEASURE_S, _MEASURE_S
    while True:
        status = _reap(pid)
        if status is not None:
            return status, limit is not None and _is_over(task["folder"], limit)
        if limit is not None and time.monotonic() >= due_s:
            began_s = time.monotonic()
            if _is_over(task["folder"], limit):
                return None, True
            pause_s = max(_MEASURE_S, _MEASURE_SHARE * (time.monotonic() - began_s))
            due_s = time.monotonic() + pause_s
        ready = select.select([wake], [], [], None if limit is None else max(0.0, due_s - time.monotonic()))[0]
        signals = os.read(wake, 4096) if ready else b""
        if signal.SIGTERM in signals or (signal.SIGUSR1 in signals and not ask_session(pid)):
            return _reap(pid), False


def _reap(pid: int) -> int | None:
    """Collect ended children, adopted ones too; return the exit status of `pid` if it is one of them."""
    with suppress(ChildProcessError):
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == pid:
                return os.waitstatus_to_exitcode(status)
            if ended == 0:
                return None
    return None


def _wake_on_signals() -> int:
    """Return a descriptor that gives a byte for each SIGCHLD, SIGTERM and SIGUSR1 from now on."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading


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
