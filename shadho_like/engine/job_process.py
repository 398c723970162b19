"""What runs in a job's process, and in the warm process that forks it: that one has loaded all that jobs need, and runs no job.

The warm process serves as the supervisor does. It is a copy of the driver where a copy can be expected to work; else it is a new
interpreter, that loads what jobs refer to. If loading started threads or opened an accelerator, which no fork survives, or if it
failed, the plain supervisor takes its place, and each job's process is an interpreter of its own.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import shadho_worker
import shadho_zygote

from shadho_like.engine.job_file import Answer, dumps, loads, read_all, write_all
from shadho_like.engine.processes import c_library
from shadho_like.engine.supervision import supervisor_command
from shadho_like.engine.supervisor import Supervisor, take_over_streams
from shadho_like.trial import FailureKind

_FULL_DEVICE = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "RESOURCE_EXHAUSTED")


def serve(known_file: int) -> None:
    """Load what jobs need, then serve as the supervisor does.

    Args:
        known_file: holds the objects that jobs refer to.
    """
    control, report = take_over_streams()
    os.dup2(2, 1)
    known = _known(known_file)
    os.close(known_file)
    if known is None or not shadho_zygote.survives_fork():
        os.dup2(control, 0)
        os.dup2(report, 1)
        command = supervisor_command()
        os.execv(command[0], command)
    _serve(known, control, report)


def serve_here(known: Sequence[Any]) -> None:
    """Do the same in a copy of the driver, which has all loaded that jobs need. Never returns."""
    control, report = take_over_streams()
    os.dup2(2, 1)
    _serve(known, control, report)
    os._exit(0)


def _serve(known: Sequence[Any], control: int, report: int) -> None:
    _flush()
    _have_lines_through()
    # What is never collected is never written to, and stays shared with the original and the copies.
    gc.freeze()
    gc.disable()
    Supervisor(socket.socket(fileno=control), report, functools.partial(_become_job, known)).serve()


def _known(known_file: int) -> Sequence[Any] | None:
    """Return the objects that jobs refer to; None where they cannot be loaded, which each job says for itself."""
    try:
        known: Sequence[Any] = loads(read_all(known_file))
    except BaseException:
        return None
    return known


def _become_job(known: Sequence[Any], task: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Run a task's job in this very process, forked from the warm one."""
    _, job_file, answer_file = descriptors
    for name, value in task["env"].items():
        os.environ[name] = value
    gc.enable()
    # The generator of Python's own `random` looks after itself.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    _run(job_file, answer_file, lambda: known)


def main(known_file: int, job_file: int, answer_file: int) -> None:
    """Run one job in an interpreter of its own."""
    for descriptor in (known_file, job_file, answer_file):
        os.set_inheritable(descriptor, False)
    _have_lines_through()
    _run(job_file, answer_file, lambda: loads(read_all(known_file)))


def _run(job_file: int, answer_file: int, load_known: Callable[[], Sequence[Any]]) -> NoReturn:
    """Run a job, leave its answer, and end as an interpreter ends. The answer counts, however the end goes."""
    status, me = 1, os.getpid()
    try:
        data = _answer(job_file, load_known)
        # A copy that the job's code forked, and that came out here, has nothing to say.
        if os.getpid() == me:
            write_all(answer_file, data)
        status = 0
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as the interpreter does
        atexit._run_exitfuncs()  # noqa: SLF001 - the same
    except SystemExit as error:
        status = _status(error)
    finally:
        _flush()
        os._exit(status)


def _have_lines_through() -> None:
    """Have each line that a job prints in its log at once, whatever is in it."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]


def _answer(job_file: int, load_known: Callable[[], Sequence[Any]]) -> bytes:
    """Run the job; return its answer, packed."""
    try:
        known = load_known()
        value = loads(read_all(job_file), known).run()
    except SystemExit:
        raise
    except BaseException as error:
        message, trace = shadho_worker.describe(error)
        print(trace.rstrip(), file=sys.stderr)
        return dumps(Answer(None, FailureKind.OUT_OF_MEMORY if _is_out_of_memory(error) else FailureKind.ERROR, message))
    try:
        return dumps(Answer(value), known)
    except Exception as error:
        message = f"the {type(value).__name__} that it returned cannot be sent back: {shadho_worker.describe(error)[0]}"
        return dumps(Answer(None, FailureKind.BAD_RESULT, message))


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory was full: Python's own, or that of one of the GPU libraries."""
    named = any(kind.__name__ in {"MemoryError", "OutOfMemoryError"} for kind in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in _FULL_DEVICE))


def _status(error: SystemExit) -> int:
    if isinstance(error.code, int):
        return error.code & 0xFF
    if error.code is None:
        return 0
    print(error.code, file=sys.stderr)
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # The job may have closed or replaced it.
        with suppress(Exception):
            stream.flush()
    with suppress(Exception):
        c_library().fflush(None)
