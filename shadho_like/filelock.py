"""A lock that one process holds on a file until it ends, in whatever way it ends; the file says who that is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from shadho_like.errors import ExperimentInUse, JournalError

_READERS_S = 60.0


class FileLock:
    """Takes the lock when made. The kernel gives it back when the process is gone.

    Raises:
        ExperimentInUse: another process, here or on another machine of a shared file system, holds it.
        JournalError: the file system knows no locks, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            message = f"{path} cannot be written: {error.strerror}; an experiment is changed by those who may write in its directory"
            raise JournalError(message) from error
        try:
            if not take(self._fd, path, patience_s=0.5):
                raise ExperimentInUse(_in_use(path))
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since_s": time.time()}
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, json.dumps(owner).encode(), 0)
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Give the lock back. May be called twice."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    @staticmethod
    def holder(path: Path) -> dict[str, Any] | None:
        """Return what the holder wrote (pid, host, since_s), or None where nobody holds the lock."""
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(path)
        except OSError:
            return None
        finally:
            os.close(fd)
        return None


def take(fd: int, path: Path, *, patience_s: float) -> bool:
    """Lock an open file; return False where another one has it for `patience_s`. Who only asks who holds it is waited for longer.

    Raises:
        JournalError: the file system knows no locks.
    """
    began_s = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - began_s > (max(patience_s, _READERS_S) if _is_only_read(fd) else patience_s):
                return False
            time.sleep(0.05)
        except OSError as error:
            hint = "choose a directory on another file system, or ask for this one to be mounted with locks"
            message = f"{path}: this file system cannot lock files ({errno.errorcode.get(error.errno or 0, error)}); {hint}"
            raise JournalError(message) from error
        else:
            return True


def _is_only_read(fd: int) -> bool:
    """Return whether those who hold a file's lock are readers, of which one has had no processor since it asked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Kept, it would keep out another driver that waits as this one does.
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        owner = json.loads(path.read_bytes())
        if isinstance(owner, dict):
            return owner
    return {}


def _in_use(path: Path) -> str:
    owner = _read(path)
    who = f"process {owner['pid']} on {owner['host']}" if {"pid", "host"} <= owner.keys() else "another process"
    return f"{path.parent} is in use by {who}; wait for it, stop it, or give this search another name= or directory="
