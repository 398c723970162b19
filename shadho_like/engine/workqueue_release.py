"""Sends workers home such that they hear of it. Runs in the manager's process, beside Work Queue's module; standard library only.

Work Queue says so in one line to each worker and closes the connection. Where a worker's own lines lie unread on this side at that
moment, the system resets the connection, and the line may be lost: the worker takes the driver for dead, and waits for it.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from contextlib import suppress
from typing import Any

_HEAR_S = 2.0
_READ_BYTES = 64 * 1024


def release(queue: Any) -> None:
    """Tell every worker that nothing more is to come, and wait a moment until each has hung up."""
    links = _connections()
    queue.shutdown_workers(0)
    poll = select.poll()
    for descriptor in links:
        poll.register(descriptor, select.POLLIN)
    due_s = time.monotonic() + _HEAR_S
    while links and (left_s := due_s - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left_s * 1000):
            if not _take(links[descriptor]):
                poll.unregister(descriptor)
                links.pop(descriptor).close()


def _connections() -> dict[int, socket.socket]:
    """Return a second hold on each connection, by its descriptor: while there is one, the connection outlives its closing."""
    links = {}
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                link = socket.socket(fileno=os.dup(int(name)))
                if link.family in {socket.AF_INET, socket.AF_INET6} and link.type == socket.SOCK_STREAM and _has_peer(link):
                    links[link.fileno()] = link
    return links


def _has_peer(link: socket.socket) -> bool:
    try:
        link.getpeername()
    except OSError:
        return False
    return True


def _take(link: socket.socket) -> bool:
    """Read what is there; return False at its end."""
    try:
        return bool(link.recv(_READ_BYTES, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except OSError:
        return False
