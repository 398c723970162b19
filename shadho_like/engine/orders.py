"""Orders from one process to another on this machine: a JSON object a line on a stream socket, with the open files that go with it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

_READ_BYTES = 64 * 1024
_MOST_DESCRIPTORS = 64


class Orders:
    """The end of a socket at which orders arrive.

    Args:
        connection: the socket.

    Attributes:
        open: whether the other end is.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.open = True
        self._connection = connection
        self._text = b""
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        """Return what is readable when there is something to read."""
        return self._connection.fileno()

    def read(self) -> list[tuple[dict[str, Any], list[int]]]:
        """Return the orders that have come whole, each with its open files; waits for something to come."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._connection, _READ_BYTES, _MOST_DESCRIPTORS)
        except ConnectionError:
            data, descriptors = b"", []
        self.open = bool(data)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors += descriptors
        *lines, self._text = (self._text + data).split(b"\n")
        return [self._with_files(json.loads(line)) for line in lines]

    def _with_files(self, order: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        count = order.get("files", 0)
        files, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return order, files

    def close(self) -> None:
        """Close this end."""
        self._connection.close()


def send(connection: socket.socket, order: Mapping[str, Any], descriptors: Sequence[int] = ()) -> bool:
    """Send an order; return whether it went whole, which on a socket that blocks it always does.

    Raises:
        OSError: nothing of it can be sent now, or the other end is closed.
    """
    data = (json.dumps({**order, "files": len(descriptors)}) + "\n").encode()
    sent = socket.send_fds(connection, [data], descriptors) if descriptors else connection.send(data)
    if sent < len(data) and connection.getblocking():
        connection.sendall(data[sent:])
        return True
    return sent == len(data)
