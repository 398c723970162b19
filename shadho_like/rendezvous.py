"""The file by which workers find a running driver, under `$SHADHO_HOME`. Its form belongs to `wq_worker`, who reads it."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from pathlib import Path

import wq_worker

from shadho_like.errors import WorldError


def publish(name: str, *, host: str, port: int, run_id: str, password_file: str | None = None) -> Path:
    """Say that this process serves the search `name`, and return the file that says so.

    Args:
        name: the search's name, any text.
        host: the address that workers on other machines use.
        port: the manager's port.
        run_id: this run's id.
        password_file: the file with the password that workers must know.

    Raises:
        WorldError: the folder cannot be made, or others may write to it.
    """
    path = wq_worker.rendezvous_path(name, run_id)
    entry = wq_worker.Rendezvous(name, host, port, os.getpid(), socket.gethostname(), run_id, time.time(), password_file)
    try:
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_owner(folder)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump({"version": 1, **entry._asdict()}, file)
        temporary.replace(path)
    except OSError as error:
        message = f"{path}: {error.strerror}; set SHADHO_HOME to a folder of yours that the workers see too"
        raise WorldError(message) from error
    return path


def withdraw(path: Path) -> None:
    """Remove the file; one that is gone already is no error."""
    path.unlink(missing_ok=True)


def _check_owner(folder: Path) -> None:
    about = folder.stat()
    if about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        message = f"{folder} may be written by others, who could send workers astray: chmod go-w it, or set SHADHO_HOME"
        raise WorldError(message)
