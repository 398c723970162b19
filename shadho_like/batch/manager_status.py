"""How a running driver's manager stands, as it tells whoever asks: its tasks and its workers. Work Queue's own tools do not
know its password, so they cannot ask.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
import ssl
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadho_like import rendezvous
from shadho_like.errors import WorldError
from shadho_like.rendezvous import Rendezvous

_PATIENCE_S = 10.0
_LARGEST_ANSWER = 16 * 1024 * 1024
_LARGEST_LINE = 4096
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
                    return ManagerStatus(_asked(host, driver), driver.jobs_per_gpu)
    return None


def _asked(host: str, driver: Rendezvous) -> dict[str, Any]:
    with ExitStack() as stack:
        link = stack.enter_context(socket.create_connection((host, driver.port), _PATIENCE_S))
        if driver.ssl:
            link = stack.enter_context(_encrypted(link))
        talk = _Talk(link)
        if driver.password_file is not None:
            _know_each_other(talk, Path(driver.password_file).read_bytes())
        talk.say("queue_status")
        answer = json.loads(talk.rest())[0]
    if not isinstance(answer, dict):
        raise TypeError(answer)
    return answer


def _encrypted(link: socket.socket) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    # Nobody vouches for the certificate, which was made for this search; who is there is told by the password.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(link)


class _Talk:
    """Lines to and from the other side."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._lines = link.makefile("rb")

    def say(self, line: str) -> None:
        self._link.sendall(line.encode() + b"\n")

    def hear(self) -> str:
        return self._lines.readline(_LARGEST_LINE).decode("ascii").rstrip("\n")

    def rest(self) -> bytes:
        return self._lines.read(_LARGEST_ANSWER)


def _know_each_other(talk: _Talk, password: bytes) -> None:
    """Show the other side that this one knows the password, and have it shown, as Work Queue's workers do.

    Raises:
        PermissionError: it knows another one.
    """
    ours = secrets.token_hex(32)
    talk.say(_PASSWORDS)
    talk.say(ours)
    same_way, theirs = talk.hear() == _PASSWORDS, talk.hear()
    talk.say(_proof(password, theirs))
    knows = talk.hear() == _proof(password, ours)
    talk.say("ok" if knows else "failure")
    if not same_way or not knows or talk.hear() != "ok":
        raise PermissionError


def _proof(password: bytes, challenge: str) -> str:
    # The protocol's own hash; the password is 32 random bytes.
    return hashlib.sha1(password + b" " + challenge.encode(), usedforsecurity=False).hexdigest()
