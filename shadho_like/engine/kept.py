"""The driver's side of one kept worker process: what was sent to it, what it says, and how a trial is taken back from it.

Trials go to it as packets, one trial each, so that those which it has not begun can be read back out of its socket: a trial that
waits behind a slow one is given to another worker, and after a crash it is known which trial crashed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from shadho_like.trial import Attempt, AttemptId, Failure

LARGEST_PACKET = 64 * 1024
_READ_BYTES = 1024 * 1024
# Not everywhere are there packets in order with an end; datagrams between two ends of one pair are in order as well.
_PACKETS = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM) if sys.platform == "linux" else socket.SOCK_DGRAM


class KeptWorker:
    """One worker process, while it lives.

    Args:
        task: the supervisor's number for it.
        folder: where it runs.
        log: the file that is its standard output.

    Attributes:
        queue: the attempts that it has, oldest first; the first is the one that it evaluates.
        since_s: when it can have begun the first one.
        told: whether the first one's start was reported.
        ready: whether it has loaded the objective.
        doomed: whether it is being killed.
        cancelled: attempts about which nothing is to be told.
        verdict: why it is killed, where that is the first attempt's failure.
        broken: why it cannot load the objective.
        mute: whether its pipe is closed.
    """

    def __init__(self, task: int, folder: Path, log: Path) -> None:
        self.task = task
        self.folder = folder
        self.log = log
        self.queue: deque[Attempt] = deque()
        self.since_s = 0.0
        self.told = False
        self.ready = False
        self.doomed = False
        self.cancelled: frozenset[AttemptId] = frozenset()
        self.verdict: Failure | None = None
        self.broken = ""
        self.mute = False
        self._tasks, self._its_tasks = socket.socketpair(type=_PACKETS)
        self._tasks.setblocking(False)
        self.fd, self._its_report = os.pipe()
        os.set_blocking(self.fd, False)
        self._text = b""

    def descriptors(self) -> tuple[int, int]:
        """Return what the process gets: its end of the socket, and of the pipe."""
        return self._its_tasks.fileno(), self._its_report

    def started(self) -> None:
        """Let go of the process's end of the pipe: it has it now."""
        os.close(self._its_report)

    def send(self, attempt: Attempt, now_s: float) -> bool:
        """Give it one more attempt; return whether there was room."""
        data = json.dumps([attempt.id.trial, attempt.id.attempt, attempt.hparams]).encode()
        if len(data) > LARGEST_PACKET:
            path = self.log.with_name(f"{attempt.id}.json")
            path.write_bytes(data)
            data = os.fsencode(path)
        try:
            self._tasks.send(data)
        except OSError:
            return False
        if not self.queue:
            self._new_first(now_s)
        self.queue.append(attempt)
        return True

    def take_back(self) -> list[Attempt]:
        """Take back what it has not begun, in order."""
        count = 0
        with suppress(BlockingIOError):
            while self._its_tasks.recv(1, socket.MSG_DONTWAIT):
                count += 1
        taken = [self.queue.pop() for _ in range(count)]
        return taken[::-1]

    def read(self) -> list[list[Any]]:
        """Return the messages that are there."""
        parts = [self._text]
        with suppress(BlockingIOError):
            while part := os.read(self.fd, _READ_BYTES):
                parts.append(part)
            self.mute = True
        *lines, self._text = b"".join(parts).split(b"\n")
        return [json.loads(line) for line in lines]

    def finish_first(self, now_s: float) -> Attempt:
        """Drop the first attempt: it is over."""
        attempt = self.queue.popleft()
        self._new_first(now_s)
        return attempt

    def close(self) -> None:
        """Let go of everything; the process is gone."""
        self._tasks.close()
        self._its_tasks.close()
        os.close(self.fd)

    def _new_first(self, now_s: float) -> None:
        self.since_s = now_s
        self.told = False
