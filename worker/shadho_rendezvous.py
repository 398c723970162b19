"""The file by which workers find a running driver: its name, its fields, who may write it, when it is stale.

Standard library and Python 3.8 only: a worker reads it without the package, which writes it. Nothing connects to anything here.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import socket
import stat
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

VERSION = 1
FOLDER = "rendezvous"
LOOPBACK = "127.0.0.1"
USUAL_PRIORITY = 42

_LARGEST_FILE = 64 * 1024
_LONGEST_NAME = 120


class RendezvousError(Exception):
    """The folder of rendezvous files cannot be used or trusted; the message says why and what to do."""


@dataclass(frozen=True)
class Rendezvous:
    """A running driver.

    Attributes:
        name: what workers ask for.
        host: reachable from other machines.
        port: of its manager.
        pid: of the driver.
        run: tells one run of a driver from the next.
        started_s: when it was published, in seconds since the epoch.
        password_file: what its workers need, None if nothing.
        machine: where `pid` and the loopback address mean the driver's own.
        pid_started: tells `pid` from a later process of that number.
        jobs_per_gpu: how many of its trials may share a GPU.
        priority: the smaller, the sooner workers go to it.
        ssl: whether its manager speaks SSL.
    """

    name: str
    host: str
    port: int
    pid: int
    run: str
    started_s: float
    password_file: str | None
    machine: str
    pid_started: int
    jobs_per_gpu: int = 1
    priority: int = USUAL_PRIORITY
    ssl: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """The hosts to connect to from here, the likeliest first: a manager may listen on one address of its machine alone."""
        return (LOOPBACK, self.host) if self.machine == this_machine() and self.host != LOOPBACK else (self.host,)


def publish(
    home: str,
    name: str,
    host: str,
    port: int,
    run: str,
    password_file: str | None = None,
    jobs_per_gpu: int = 1,
    priority: int = USUAL_PRIORITY,
    ssl: bool = False,
) -> str:
    """Write this process's file and return its path.

    Raises:
        RendezvousError: the folder is not this user's alone to write, or cannot be written.
    """
    folder = os.path.join(home, FOLDER)
    path = os.path.join(folder, f"{file_name(name)}.{file_name(run)}.json")
    pid = os.getpid()
    started = process_started(pid) or 0
    password = os.path.abspath(password_file) if password_file else None
    entry = Rendezvous(name, host, port, pid, run, time.time(), password, this_machine(), started, jobs_per_gpu, priority, ssl)
    try:
        _make_folders(home, folder)
        _write(folder, path, {"version": VERSION, **asdict(entry)})
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}; set SHADHO_HOME to a folder of your own"
        raise RendezvousError(message) from error
    return path


def password_file(home: str, name: str) -> str:
    """Return the path of the file with the password of the searches of this name; made, for this user alone, where there is none.

    It stays from one run of a driver to the next: a worker from afar has a copy.

    Raises:
        RendezvousError: the folder is not this user's alone to write, or the file is not this user's alone to read.
    """
    folder = os.path.join(home, FOLDER)
    path = os.path.join(folder, f"{file_name(name)}.password")
    try:
        _make_folders(home, folder)
        if not os.path.lexists(path):
            _make_password(folder, path)
        status = os.lstat(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}; set SHADHO_HOME to a folder of your own"
        raise RendezvousError(message) from error
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077 or not status.st_size:
        message = f"{path} is no password that only you can read: remove it, and another is made"
        raise RendezvousError(message)
    return path


def _make_password(folder: str, path: str) -> None:
    """Make the file, unless another driver of the same name does so in this moment: then its password holds for both."""
    descriptor, partial = tempfile.mkstemp(".partial", "", folder)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
        with suppress(FileExistsError):
            os.link(partial, path)
    finally:
        os.unlink(partial)


def _make_folders(*folders: str) -> None:
    for each in folders:
        os.makedirs(each, mode=0o700, exist_ok=True)
        _check_owned(each)


def _write(folder: str, path: str, fields: dict[str, Any]) -> None:
    descriptor, partial = tempfile.mkstemp(".partial", "", folder)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(fields, file)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def find(home: str, name: str) -> list[Rendezvous]:
    """Return the drivers of this name, by priority and of equals the newest first, and remove the files of those known to be gone.

    Raises:
        RendezvousError: somebody else can write to the folder, so that what lies there is not to be followed.
    """
    folder = os.path.join(home, FOLDER)
    try:
        for each in (home, folder):
            _check_owned(each)
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"{folder} cannot be read: {error.strerror}"
        raise RendezvousError(message) from error
    prefix = f"{file_name(name)}."
    paths = [os.path.join(folder, each) for each in names if each.startswith(prefix) and each.endswith(".json")]
    found = [entry for entry in map(_read_live, paths) if entry is not None and entry.name == name]
    return sorted(found, key=lambda entry: (entry.priority, -entry.started_s))


def _read_live(path: str) -> Rendezvous | None:
    """Return what a file says; None if it is not one that this version reads, or its driver is gone."""
    entry = _read(path)
    if entry is not None and _is_stale(entry):
        with suppress(OSError):
            os.unlink(path)
        return None
    return entry


def _read(path: str) -> Rendezvous | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as file:
            fields = json.loads(file.read(_LARGEST_FILE))
        if fields.pop("version") != VERSION:
            return None
        entry = Rendezvous(**fields)
        if not (int(entry.jobs_per_gpu) > 0 and isinstance(entry.priority, int)):
            return None
        return entry if entry.host and 0 < int(entry.port) < 65536 and entry.started_s > 0 else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _is_stale(entry: Rendezvous) -> bool:
    """Return whether the driver is known to be gone; of another machine's processes nothing is known."""
    return entry.machine == this_machine() and process_started(entry.pid) != (entry.pid_started or None)


def _check_owned(path: str) -> None:
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    if status.st_uid != os.geteuid():
        message = f"{path} belongs to another user (uid {status.st_uid}); set SHADHO_HOME to a folder of your own"
        raise RendezvousError(message)
    if status.st_mode & 0o022:
        message = f"{path} can be written by others, who could send workers to a manager of theirs: chmod 700 {path}"
        raise RendezvousError(message)


def file_name(text: str) -> str:
    """Return a text as a part of a file name: no separators, bounded, different for different texts."""
    name = quote(text, safe="")
    if len(name) > _LONGEST_NAME:
        name = name[:_LONGEST_NAME] + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return name


def this_machine() -> str:
    """Return what this process shares with those that see the same processes and the same loopback address."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return " ".join([boot, os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/net")])
    except OSError:
        return socket.gethostname()


def process_started(pid: int) -> int | None:
    """Return when a process started, in a unit of the system's own, None if there is no such process; 1 where it is not told."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name is in parentheses and may hold anything, also parentheses and blanks.
            return int(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        if os.path.exists("/proc/self/stat"):
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return 1
