"""What our own pages answer with, and how that goes over WSGI."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Response:
    """One answer.

    Attributes:
        body: bytes.
        kind: its media type.
        status: HTTP's.
        headers: more of them.
    """

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[str, str], ...] = ()

    def send(self, start_response: StartResponse) -> list[bytes]:
        """Begin the answer, and return its body."""
        head = [("Content-Type", self.kind), ("Content-Length", str(len(self.body))), *self.headers]
        start_response(f"{self.status.value} {self.status.phrase}", head)
        return [self.body]


def as_json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return an answer for a program."""
    return Response(json.dumps(value, separators=(",", ":")).encode(), "application/json", status)


def refusal(status: HTTPStatus, reason: str) -> Response:
    """Return why something is not done, in the form in which optuna-dashboard says so too."""
    return as_json({"reason": reason}, status)
