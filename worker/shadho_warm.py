"""The warm interpreter of a worker: the script that asks for it, and the server that hands trials to interpreters with the
objective already loaded. Those are in `shadho_zygote`; no user's code is loaded here.

Standard library and Python 3.8 only. In the server's folder lie `requests`, a FIFO that takes a line "pid slot" from each
launcher, and some FIFOs `slot.N`, of which the server holds the writing end. A launcher takes a slot by making `taken.N`, opens
it, asks, and reads "run" and then the exit status from it; its descriptors 4 and 5 are the trial's standard output and error.
When the slot's writing end closes before "run", nothing was started. So a server that dies in any way leaves no launcher
waiting, and a trial costs no program but the shell.
"""

from __future__ import annotations

import array
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any, BinaryIO, Tuple

import shadho_guard
import shadho_zygote

LAUNCHER_FILE = "shadho_launch.sh"
# Read by the shell of a task, in a copy of that shell: `$$` is not its own number, and `read` would take long for what /proc says.
LAUNCHER = """\
# Evaluates the trial in this folder: in a copy of an interpreter that has the objective loaded, where the worker offers one.
if [ -n "$SHADHO_WARM" ] && cd -P /proc/self; then
  own=${PWD##*/}
  cd "$OLDPWD"
  set -C
  exec 4>&1 5>&2
  for slot in "$SHADHO_WARM"/slot.*; do
    [ -p "$slot" ] || break
    { command : >"$SHADHO_WARM/taken.${slot##*.}"; } 2>/dev/null || continue
    { command exec 3<"$slot"; } 2>/dev/null || break
    { echo "$own ${slot##*.}" 1<>"$SHADHO_WARM/requests"; } 2>/dev/null
    read -r answer <&3
    [ "$answer" = run ] || break
    read -r status <&3 && exit "$status"
    echo "shadho_launch.sh: the interpreter of this trial was killed" >&2
    kill -9 "$own"
  done
  exec 3<&- 4>&- 5>&-
fi
exec "${SHADHO_PYTHON:-python3}" shadho_worker.py
"""

REQUESTS = "requests"
_SPARE_SLOTS = 8
_MOST_ZYGOTES = 8
_MOST_STARTS = 5
_LARGEST_READ = 65536
_OF_ONE_TASK = (b"MEMORY=", b"DISK=", b"OLDPWD=", b"PWD=", b"SHLVL=", b"_=")

Key = Tuple[Any, ...]


def interpreter() -> str:
    """Return the Python in which callables run here: `$SHADHO_PYTHON`, else this one."""
    return os.environ.get("SHADHO_PYTHON") or sys.executable


def is_possible() -> bool:
    """Return whether this system has what a warm interpreter needs: Linux's /proc, and an interpreter."""
    return sys.platform == "linux" and os.path.exists("/proc/self/environ") and bool(shutil.which(interpreter()))


class Warm:
    """The server as a worker sees it.

    Attributes:
        folder: for `$SHADHO_WARM`.
        pid: of the server, None until it is started.
    """

    def __init__(self, base: str) -> None:
        self.folder = os.path.join(base, "warm")
        self.pid: int | None = None
        self._starts = 0

    def start(self) -> None:
        """Start it; one that dies again and again is not started again."""
        self._starts += 1
        if self._starts <= _MOST_STARTS:
            os.mkdir(self.folder, 0o700)
            program = shutil.which(interpreter()) or interpreter()
            self.pid = shadho_guard.start([program, os.path.abspath(__file__), self.folder], dict(os.environ), sys.stderr.fileno())

    def restart(self) -> None:
        """Start it anew after its end."""
        self.discard()
        self.start()

    def discard(self) -> None:
        """Remove what an ended server left, and free the launchers that wait to open one of its FIFOs."""
        left = f"{self.folder}.ended"
        with suppress(FileNotFoundError):
            os.rename(self.folder, left)
            for name in os.listdir(left):
                os.close(os.open(os.path.join(left, name), os.O_RDWR | os.O_NONBLOCK))
            shutil.rmtree(left, ignore_errors=True)


class Server:
    """Hands requests to interpreters, one for each objective and environment."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._requests = self._open_fifo(REQUESTS)
        self._slots: dict[bytes, int] = {}
        self._made = 0
        self._unread = b""
        # The least recently used first; None where an objective cannot be kept loaded.
        self._zygotes: dict[Key, socket.socket | None] = {}

    def serve(self) -> None:
        """Serve for as long as the process lives."""
        while True:
            while len(self._slots) < _SPARE_SLOTS + (os.cpu_count() or 1):
                self._made += 1
                self._slots[b"%d" % self._made] = self._open_fifo(f"slot.{self._made}")
            running = {zygote.fileno(): (key, zygote) for key, zygote in self._zygotes.items() if zygote}
            poll = select.poll()
            for watched in (self._requests, *running):
                poll.register(watched, select.POLLIN)
            for ready, _ in poll.poll():
                if ready in running:
                    self._end_zygote(*running[ready])
                else:
                    self._take_requests()

    def _end_zygote(self, key: Key, zygote: socket.socket) -> None:
        """Remember that this objective is not kept loaded: it cannot be, or somebody killed what did."""
        if self._zygotes.get(key) is zygote:
            self._zygotes[key] = None
            zygote.close()

    def _open_fifo(self, name: str) -> int:
        """Make a FIFO that has a writer before anybody can open it."""
        path = os.path.join(self._folder, f".{name}")
        os.mkfifo(path, 0o600)
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        os.rename(path, os.path.join(self._folder, name))
        return descriptor

    def _take_requests(self) -> None:
        *lines, self._unread = (self._unread + os.read(self._requests, _LARGEST_READ)).split(b"\n")
        for line in lines:
            pid, _, slot = line.partition(b" ")
            # The writing end that is handed over is the last one: its end is the launcher's to see.
            with suppress(OSError), self._take_slot(slot) as answer:
                self._hand_over(pid, answer.fileno())

    def _take_slot(self, slot: bytes) -> BinaryIO:
        """Return the writing end of a slot, which is nobody's else any more.

        Raises:
            OSError: there is no such slot, or its launcher is gone.
        """
        folder, held = os.fsencode(self._folder), self._slots.pop(slot, None)
        if held is None:
            raise FileNotFoundError(slot)
        try:
            return open(os.open(folder + b"/slot." + slot, os.O_WRONLY | os.O_NONBLOCK), "wb", buffering=0)
        finally:
            os.unlink(folder + b"/slot." + slot)
            os.unlink(folder + b"/taken." + slot)
            os.close(held)

    def _hand_over(self, pid: bytes, answer: int) -> None:
        """Give a launcher's request to the interpreter that it needs."""
        process = b"/proc/" + pid
        sandbox = os.readlink(process + b"/cwd")
        with open(process + b"/environ", "rb") as file:
            environ = [item for item in file.read().split(b"\0") if item and sandbox not in item]
        # A shell that has started over hands on the same environment in another order.
        key = (_files_key(sandbox), *sorted(item for item in environ if not item.startswith(_OF_ONE_TASK)))
        if key in self._zygotes:
            zygote = self._zygotes.pop(key)
        else:
            self._make_room()
            zygote = self._start_zygote(sandbox, environ)
        self._zygotes[key] = zygote
        if zygote:
            descriptors = array.array("i", [answer])
            zygote.sendmsg([pid], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)], socket.MSG_DONTWAIT)

    def _make_room(self) -> None:
        while len(self._zygotes) >= _MOST_ZYGOTES:
            oldest = self._zygotes.pop(next(iter(self._zygotes)))
            if oldest:
                oldest.close()

    def _start_zygote(self, sandbox: bytes, environ: list[bytes]) -> socket.socket:
        """Start an interpreter that loads the objective in a folder of its own: the sandbox is gone after its trial."""
        folder = tempfile.mkdtemp(dir=os.path.dirname(self._folder), prefix="objective-")
        inputs = os.path.join(folder, shadho_zygote.INPUTS_FOLDER)
        shutil.copytree(os.fsdecode(sandbox), inputs, copy_function=_link, ignore=_leave_out)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = dict(item.split(b"=", 1) for item in environ)
        # Where trials have an environment of their own, its interpreter.
        python = shutil.which(os.fsdecode(env.get(b"SHADHO_PYTHON", b""))) or sys.executable
        with theirs, open(os.path.join(folder, "log"), "wb") as log:
            subprocess.Popen(
                [python, os.path.abspath(shadho_zygote.__file__), str(theirs.fileno()), folder],
                pass_fds=[theirs.fileno()],
                env=env,
                cwd=inputs,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return ours


def _files_key(sandbox: bytes) -> Key:
    """Return what tells the objective and the modules sent with it from others; the worker's cache keeps their inodes."""
    found = []
    with os.scandir(sandbox) as entries:
        for entry in entries:
            if entry.name.endswith((b".py", b".pkl")):
                status = entry.stat()
                found.append((entry.name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))


def _link(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def _leave_out(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name in shadho_zygote.FILES_OF_ONE_TRIAL or name.startswith("cctools-temp-")]


if __name__ == "__main__":
    Server(sys.argv[1]).serve()
