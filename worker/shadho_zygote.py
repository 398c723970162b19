"""An interpreter with one objective loaded, which forks for each trial. Each trial is a process of its own: what it changes is
gone with it.

Standard library and Python 3.8 only; a program of its own, started by `shadho_warm`. If loading the objective started threads
or opened an accelerator, which no fork survives, it ends before its first trial, and trials start interpreters of their own.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import gc
import os
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from typing import Callable, NoReturn

import shadho_guard

FILES_OF_ONE_TRIAL = ("hyperparameters.json", "trial.json", "batch.json", "output.log", "latest_checkpoint.tar")
INPUTS_FOLDER = "inputs"

_OBJECTIVE_FILE = "objective.pkl"
_STREAMS = (4, 5)
_ACCELERATORS = ("/dev/nvidia", "/dev/kfd")


class Zygote:
    """Forks a process for each request, and answers with its exit status."""

    def __init__(self, requests: socket.socket, run: Callable[[], int]) -> None:
        """Prepare to serve.

        Args:
            requests: gives the pid of a launcher with a descriptor for the answer; ends when no more trials come.
            run: evaluates the trial in the current folder and returns the exit status.
        """
        self._requests = requests
        self._run = run
        self._answers: dict[int, int] = {}
        self._poll = select.poll()
        self._wake, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._own = (requests.fileno(), self._wake, writing)
        for descriptor in (requests.fileno(), self._wake):
            self._poll.register(descriptor, select.POLLIN)

    def serve(self) -> None:
        """Return when no more trials come and the last one has ended."""
        more = True
        while more or self._answers:
            for ready, _ in self._poll.poll():
                if ready == self._wake:
                    os.read(self._wake, 4096)
                    self._collect()
                elif ready == self._requests.fileno():
                    more = self._take_request()
                else:
                    self._end_abandoned(ready)

    def _take_request(self) -> bool:
        message, ancillary, _, _ = self._requests.recvmsg(64, socket.CMSG_SPACE(array.array("i").itemsize))
        if not message:
            self._poll.unregister(self._requests)
            return False
        answer = array.array("i", ancillary[0][2])[0]
        try:
            self._fork(int(message), answer)
        except OSError:
            os.close(answer)
        return True

    def _fork(self, launcher: int, answer: int) -> None:
        streams = [os.open(f"/proc/{launcher}/fd/{number}", os.O_WRONLY | os.O_APPEND) for number in _STREAMS]
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            for descriptor in (*self._own, answer, *self._answers.values()):
                os.close(descriptor)
            _be_trial(launcher, streams, parent, self._run)
        for descriptor in streams:
            os.close(descriptor)
        self._answers[pid] = answer
        # Without any event asked for, poll reports one thing: that the launcher is gone.
        self._poll.register(answer, 0)
        with suppress(BrokenPipeError):
            os.write(answer, b"run\n")

    def _collect(self) -> None:
        """Answer for each trial that has ended, when what it left running in its process group is killed."""
        with suppress(ChildProcessError):
            while True:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is None:
                    return
                _kill_group(ended.si_pid)
                pid, status = os.waitpid(ended.si_pid, 0)
                answer = self._answers.pop(pid)
                self._poll.unregister(answer)
                with suppress(BrokenPipeError):
                    os.write(answer, b"%d\n" % shadho_guard.shell_status(status))
                os.close(answer)

    def _end_abandoned(self, answer: int) -> None:
        """Kill the trial whose launcher is gone."""
        for pid, its in self._answers.items():
            if its == answer:
                os.kill(pid, signal.SIGKILL)
                _kill_group(pid)


def _kill_group(group: int) -> None:
    with suppress(OSError):
        os.killpg(group, signal.SIGKILL)


def _be_trial(launcher: int, streams: list[int], parent: int, run: Callable[[], int]) -> NoReturn:
    """Evaluate the launcher's trial in its environment and folder, as if it had started this interpreter."""
    status = 1
    try:
        shadho_guard.die_with_parent(parent, signal.SIGKILL)
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in zip((1, 2), streams):
            os.dup2(stream, number)
            os.close(stream)
        _move(launcher)
        status = run()
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(status)


def _move(launcher: int) -> None:
    sandbox = os.readlink(f"/proc/{launcher}/cwd")
    with open(f"/proc/{launcher}/environ", "rb") as file:
        environ = dict(item.split(b"=", 1) for item in file.read().split(b"\0") if b"=" in item)
    for name in os.environb.keys() - environ.keys():
        del os.environb[name]
    for name, value in environ.items():
        if os.environb.get(name) != value:
            os.environb[name] = value
    os.chdir(sandbox)
    sys.path[0] = sandbox
    # The generator of Python's own `random` looks after itself.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # The objective may have closed or replaced it.
        with suppress(Exception):
            stream.flush()
    with suppress(Exception):
        ctypes.CDLL(None).fflush(None)


def load(folder: str) -> Callable[[], int]:
    """Load the objective in a folder; return what evaluates the trial in the current folder with it."""
    sys.path[0] = folder
    sys.argv = ["shadho_worker.py"]
    import shadho_worker  # The one that was sent with the objective.

    objective = shadho_worker.load_objective(os.path.join(folder, _OBJECTIVE_FILE))
    return lambda: shadho_worker.run_in(os.getcwd(), objective)


def survives_fork() -> bool:
    """Return whether copies of this process can go on: no threads of Python's, no accelerator opened."""
    opened = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            opened.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return threading.active_count() == 1 and not any(path.startswith(_ACCELERATORS) for path in opened)


def main(requests: int, folder: str) -> None:
    """Serve requests from a socket, with the objective that lies in a folder; the folder is removed at the end."""
    try:
        with socket.socket(fileno=requests) as connection:
            run = load(os.path.join(folder, INPUTS_FOLDER))
            if survives_fork():
                _flush()
                gc.collect()
                # What is never collected is never written to, and stays shared with the copies.
                gc.freeze()
                Zygote(connection, run).serve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
