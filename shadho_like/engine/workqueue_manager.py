"""Work Queue's manager as a process of its own: orders come as JSON lines on its input, what happened goes out the same way.

Standard library, the binding of Work Queue and Python 3.8 only: another Python than the driver's may run it, from its own folder,
where `workqueue_confinement` and `workqueue_survey` lie. The first line holds the settings; it ends when its input does, and
workers then look for the driver's next run, unless an order sent them home before. It makes no folders, and writes regular files
only.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import socket
import stat
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

_BINDINGS = ("ndcctools.work_queue", "work_queue")
_PR_SET_PDEATHSIG = 1
_READ_BYTES = 1024 * 1024
_PASS_S = 5
_ANNOUNCE_S = 50.0
_KEEPALIVE_S = 15
_MICROSECONDS = 1_000_000
_LONGEST_STATUS = 16
_LONGEST_SAID = 2000

_STATUS = {
    "SUCCESS": "ended",
    "OUTPUT_MISSING": "ended",
    "STDOUT_MISSING": "ended",
    "SIGNAL": "ended",
    "INPUT_MISSING": "input",
    "RESOURCE_EXHAUSTION": "exhausted",
    "DISK_ALLOC_FULL": "exhausted",
    "TASK_TIMEOUT": "time",
    "TASK_MAX_RUN_TIME": "time",
}


class _Orders:
    """The lines of the standard input."""

    def __init__(self) -> None:
        self._text = b""
        self.open = True

    def first(self) -> dict[str, Any]:
        """Wait for the first line, which must come."""
        while b"\n" not in self._text and self._fill():
            pass
        line, _, self._text = self._text.partition(b"\n")
        settings: dict[str, Any] = json.loads(line)
        return settings

    def read(self) -> list[dict[str, Any]]:
        """Return the lines that are there."""
        with suppress(BlockingIOError):
            self._fill()
        *lines, self._text = self._text.split(b"\n")
        return [json.loads(line) for line in lines]

    def _fill(self) -> bool:
        data = os.read(0, _READ_BYTES)
        self._text += data
        self.open = bool(data)
        return self.open


class _Reports:
    """Lines to the driver, sent together. What the binding prints does not get in between: it goes to the log."""

    def __init__(self) -> None:
        self._fd = os.dup(1)
        os.dup2(2, 1)
        self._lines: list[str] = []

    def say(self, **report: Any) -> None:
        """Add a line."""
        self._lines.append(json.dumps(report))

    def flush(self) -> None:
        """Send what was added."""
        if self._lines:
            data = ("\n".join(self._lines) + "\n").encode()
            self._lines.clear()
            while data:
                data = data[os.write(self._fd, data) :]


class _Passes:
    """Passes of Work Queue's own loop, each of which ends early when an order comes.

    The binding's `wait` holds the interpreter and sleeps for up to a second whatever comes in. Inside of it is the loop that Work
    Queue's foremen use, which watches one more descriptor: the standard input. Without it, orders wait for the end of a second.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._input = self._lib = None
        self._ready = ctypes.c_int(0)
        codes = [module for name, module in sys.modules.items() if name.rpartition(".")[2] in {"_work_queue", "_cwork_queue"}]
        with suppress(AttributeError, IndexError, OSError):
            lib = ctypes.CDLL(codes[0].__file__)
            lib.work_queue_wait_internal.restype = lib.link_attach_to_fd.restype = ctypes.c_void_p
            lib.update_catalog.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
            pointer, number = ctypes.c_void_p, ctypes.c_int
            lib.work_queue_wait_internal.argtypes = [pointer, number, pointer, pointer, pointer, number]
            self._input, self._lib = lib.link_attach_to_fd(0), lib
        os.set_blocking(0, False)

    def next(self) -> int | None:
        """Do what is to be done, sleep if that is nothing, and return the address of a task that ended, if one did."""
        if self._lib is None:
            task = self._queue.wait(1)
            return _address(task) if task else None
        pointer = ctypes.addressof(self._ready)
        found: int | None = self._lib.work_queue_wait_internal(self._pointer, _PASS_S, self._input, pointer, None, -1)
        return found

    def announce(self) -> None:
        """Tell the catalog about the queue, before the loop finds that it has to: it would take itself for a foreman."""
        if self._lib is not None:
            self._lib.update_catalog(self._pointer, None, 1)

    @property
    def _pointer(self) -> int:
        return int(self._queue._work_queue)  # noqa: SLF001


def _address(task: Any) -> int:
    return int(task._task.this)  # noqa: SLF001


class _Tasks:
    """The tasks that Work Queue has, by the driver's numbers."""

    def __init__(self, binding: Any, queue: Any, reports: _Reports, plan: dict[str, Any]) -> None:
        self._binding = binding
        self._queue = queue
        self._reports = reports
        self._plan = plan
        self._tasks: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._waiting: dict[int, None] = {}
        results = [name for name in dir(binding) if name.startswith("WORK_QUEUE_RESULT_")]
        self._results = {getattr(binding, name): name[len("WORK_QUEUE_RESULT_") :] for name in results}

    def submit(self, order: dict[str, Any]) -> None:
        """Hand a task to Work Queue. Its outputs go to a folder of its own."""
        number, folder = order["submit"], order["folder"]
        task = self._binding.Task(self._plan["command"])
        for local, remote, cache in self._plan["inputs"]:
            task.specify_input_file(local, remote, cache=cache)
        for local, remote in order.get("inputs", ()):
            task.specify_input_file(local, remote, cache=False)
        for remote, text in order["buffers"].items():
            task.specify_buffer(text, remote, cache=False)
        for remote, cache, only_of_failed in self._plan["outputs"]:
            task.specify_output_file(f"{folder}/{remote}", remote, cache=cache, failure_only=only_of_failed)
        for remote in self._plan["watched"]:
            # What is added to it comes every few seconds while the task runs.
            task.specify_output_file(f"{folder}/{remote}", remote, flags=self._binding.WORK_QUEUE_WATCH, cache=False)
        for name, amount in order.get("resources", self._plan["resources"]).items():
            getattr(task, f"specify_{name}")(amount)
        for feature in {*self._plan["features"], *order.get("features", ())}:
            task.specify_feature(feature)
        if "class" in order:
            task.specify_environment_variable("SHADHO_COMPUTE_CLASS", order["class"])
        for name, value in order.get("environment", {}).items():
            task.specify_environment_variable(name, value)
        # Of tasks of one priority Work Queue takes the youngest first, and the oldest might wait for ever.
        task.specify_priority(-number)
        # Work Queue gives a task back whose tries exceed its retries, and takes no retries at all to mean without end: a task
        # that counts as tried once before is given back after its first loss.
        task.specify_max_retries(1)
        task._task.try_count = 1  # noqa: SLF001
        self._queue.submit(task)
        self._tasks[number] = task
        self._numbers[_address(task)] = number
        self._waiting[number] = None

    def cancel(self, number: int) -> None:
        """End a task, if it has not been reported; the worker kills it."""
        task = self._tasks.get(number)
        if task is not None:
            self._queue.cancel_by_taskid(task.id)
            self._forget(number)
            self._reports.say(cancelled=number)

    def finish(self, address: int) -> None:
        """Report a task that Work Queue gave back."""
        number = self._numbers[address]
        task = self._tasks[number]
        result = self._results.get(task.result, str(task.result))
        end = _STATUS.get(result, "lost")
        status, asked, features = _said(task.output)
        self._reports.say(
            done=number,
            status=end,
            result=result,
            exit=task.return_status,
            said=status,
            asked=asked,
            features=features,
            host=task.hostname or "",
            started=task._task.time_when_commit_start / _MICROSECONDS,  # noqa: SLF001
            exceeded=_exceeded(task) if end == "exhausted" else [],
        )
        self._forget(number)

    def report_started(self) -> None:
        """Report the tasks that have begun to run."""
        for number in list(self._waiting):
            task = self._tasks[number]
            state = self._queue.task_state(task.id)
            if state == self._binding.WORK_QUEUE_TASK_READY:
                continue
            del self._waiting[number]
            if state == self._binding.WORK_QUEUE_TASK_RUNNING:
                began = task._task.time_when_commit_start / _MICROSECONDS  # noqa: SLF001
                self._reports.say(started=number, host=task.hostname or "", time=began)

    def _forget(self, number: int) -> None:
        task = self._tasks.pop(number)
        del self._numbers[_address(task)]
        self._waiting.pop(number, None)
        self._queue._task_table.pop(task.id, None)  # noqa: SLF001


def _said(output: str | None) -> tuple[str, bool, str | None]:
    """Return the exit status that a task printed, empty if it was killed before, whether its worker was about to end, and its features."""
    first, _, features = (output or "")[:_LONGEST_SAID].partition("\n")[0].partition("\t")
    words = first[:_LONGEST_STATUS].split()
    status = words[0] if words and words[0].isascii() and words[0].isdigit() else ""
    return status, bool(status) and words[1:] == ["asked"], features if status else None


def _exceeded(task: Any) -> list[str]:
    """Return the resources of which a task used too much."""
    return [name for name in ("memory", "disk", "wall_time") if task.limits_exceeded and getattr(task.limits_exceeded, name) >= 0]


def main() -> None:
    """Serve until the standard input ends."""
    _die_with_parent()
    orders, reports = _Orders(), _Reports()
    settings = orders.first()
    binding = _binding(reports, settings["folder"])
    if settings["ssl"] and not hasattr(binding.WorkQueue, "using_ssl"):
        _refuse(reports, without_ssl=sys.executable)
    os.chdir(settings["folder"])
    try:
        queue = _queue(binding, settings)
        port = _listen(settings["address"], *settings["ports"])
    except (OSError, ValueError) as error:
        _refuse(reports, refused=str(error))
    confinement = importlib.import_module("workqueue_confinement")
    confinement.bound_files(settings["largest_file"])
    confined = confinement.confine(settings["folder"])
    if not confined:
        print("warning: this kernel has no Landlock: what a worker sends back is held to its folder by nothing", file=sys.stderr)
    reports.say(listening=port, confined=confined)
    reports.flush()
    _serve(settings, orders, reports, binding, queue)
    # Without the interpreter's tidying up: the driver waits for this end, and the system closes everything.
    os._exit(0)


def _serve(settings: dict[str, Any], orders: _Orders, reports: _Reports, binding: Any, queue: Any) -> None:
    tasks = _Tasks(binding, queue, reports, settings)
    survey = importlib.import_module("workqueue_survey").Survey(settings, queue, tasks.report_started, reports.say)
    passes = _Passes(queue)
    announced_s = float("-inf")
    while orders.open:
        if settings["catalog"] and time.monotonic() > announced_s + _ANNOUNCE_S:
            announced_s = time.monotonic()
            passes.announce()
        address = passes.next()
        if address is not None:
            tasks.finish(address)
            continue
        for order in orders.read():
            if "submit" in order:
                tasks.submit(order)
            elif "release" in order:
                importlib.import_module("workqueue_release").release(queue)
            else:
                for number in order["cancel"]:
                    tasks.cancel(number)
        survey.look()
        reports.flush()


def _die_with_parent() -> None:
    """End when the driver does, even inside of a call that hears nothing of the input's end."""
    parent = os.getppid()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _binding(reports: _Reports, folder: str) -> Any:
    """Import Work Queue's module, which makes a temporary folder that is needed for nothing here."""
    os.environ["TMPDIR"] = folder
    problems = []
    for name in _BINDINGS:
        try:
            binding = importlib.import_module(name)
        except ImportError as error:
            problems.append(str(error))
            continue
        with suppress(AttributeError, OSError):
            os.rmdir(binding.staging_directory)
        return binding
    return _refuse(reports, missing="; ".join(problems))


def _refuse(reports: _Reports, **report: str) -> NoReturn:
    reports.say(**report)
    reports.flush()
    os._exit(1)


def _queue(binding: Any, settings: dict[str, Any]) -> Any:
    """Return a queue that listens somewhere. Only a named one is announced, and only to the catalog that was named with it."""
    for name in [name for name in os.environ if name.startswith(("WORK_QUEUE_", "CATALOG_", "TCP_"))]:
        del os.environ[name]
    queue = binding.WorkQueue(port=0, ssl=tuple(settings["ssl"])) if settings["ssl"] else binding.WorkQueue(port=0)
    if settings["catalog"]:
        host, _, port = settings["catalog"].rpartition(":")
        queue.specify_catalog_server(host, int(port))
        queue.specify_name(settings["name"])
    if settings["password_file"] and not queue.specify_password_file(settings["password_file"]):
        message = f"the password file {settings['password_file']} cannot be read, or is empty"
        raise ValueError(message)
    queue.specify_keepalive_interval(_KEEPALIVE_S)
    queue.specify_keepalive_timeout(_KEEPALIVE_S)
    return queue


def _listen(address: str, lowest: int, highest: int) -> int:
    """Put a listening socket of the wanted address and port in the place of Work Queue's own, which listens on every address."""
    place = next(fd for fd in range(3, 1024) if _is_listening(fd))
    for port in range(lowest, highest + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                ours.bind((address, port))
                # Two may be bound to a port at a time, of which one gets to listen.
                ours.listen(socket.SOMAXCONN)
            except OSError as error:
                if port < highest:
                    continue
                ports = f"port {port}" if lowest == highest else f"none of the ports {lowest} to {highest}"
                message = f"{ports} of {address or 'this machine'} can be listened on: {error.strerror}"
                raise OSError(message) from error
            ours.setblocking(False)
            os.dup2(ours.fileno(), place, inheritable=False)
            return int(ours.getsockname()[1])
    raise AssertionError


def _is_listening(fd: int) -> bool:
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            with socket.socket(fileno=os.dup(fd)) as probe:
                return bool(probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False


if __name__ == "__main__":
    main()
