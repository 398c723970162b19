"""How a running driver's manager stands, as it tells whoever asks: its tasks and its workers. Work Queue's own tools do not
know its password, so they cannot ask."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from shadho_like import rendezvous
from shadho_like.errors import WorldError

_PATIENCE_S = 10.0
_LARGEST_ANSWER = 16 * 1024 * 1024
_PASSWORDS = "auth password sha1"


@dataclass(frozen=True, slots=True)
class ManagerStatus:
    """What a manager says.

    Attributes:
        numbers: its own words, such as tasks_waiting, tasks_on_workers, tasks_total_cores and workers.
        jobs_per_gpu: how many of its trials share a GPU.
    """

    numbers: Mapping[str, Any]
    jobs_per_gpu: int

    def __getitem__(self, name: str) -> int:
        value = self.numbers.get(name, 0)
        return int(value) if isinstance(value, (int, float)) else 0


def ask(name: str) -> ManagerStatus | None:
    """Return how the newest driver of a name stands; None where none of them answers."""
    with suppress(WorldError):
        for driver in rendezvous.find(name):
            for host in driver.addresses:
                with suppress(OSError, ValueError, LookupError):
                    return ManagerStatus(_asked(host, driver.port, driver.password_file), driver.jobs_per_gpu)
    return None


def _asked(host: str, port: int, password_file: str | None) -> dict[str, Any]:
    with socket.create_connection((host, port), _PATIENCE_S) as link, link.makefile("rwb") as stream:
        if password_file is not None:
            _know_each_other(stream, Path(password_file).read_bytes())
        _say(stream, "queue_status")
        answer = json.loads(stream.read(_LARGEST_ANSWER))[0]
    if not isinstance(answer, dict):
        raise TypeError(answer)
    return answer


def _know_each_other(stream: BinaryIO, password: bytes) -> None:
    """Show the other side that this one knows the password, and have it shown, as Work Queue's workers do.

    Raises:
        PermissionError: it knows another one.
    """
    ours = secrets.token_hex(32).encode()
    _say(stream, _PASSWORDS)
    _say(stream, ours.decode())
    same_way, theirs = _hear(stream), _hear(stream)
    _say(stream, _proof(password, theirs))
    knows = _hear(stream) == _proof(password, ours).encode()
    _say(stream, "ok" if knows else "failure")
    if same_way != _PASSWORDS.encode() or not knows or _hear(stream) != b"ok":
        raise PermissionError


def _proof(password: bytes, challenge: bytes) -> str:
    # The protocol's own hash; the password is 32 random bytes.
    return hashlib.sha1(password + b" " + challenge, usedforsecurity=False).hexdigest()


def _say(stream: BinaryIO, line: str) -> None:
    stream.write(line.encode() + b"\n")
    stream.flush()


def _hear(stream: BinaryIO) -> bytes:
    return stream.readline(4096).rstrip(b"\n")
