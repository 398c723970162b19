"""The program of a kept worker process: loads the objective once and evaluates one trial after the other, until it is ended.

What an objective does to standard input and output, to the current folder or by forking does not reach the driver's sockets.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import shadho_worker

from shadho_like.engine.kept import LARGEST_PACKET


def main(config: dict[str, Any], tasks_fd: int, report_fd: int) -> None:
    """Serve; see `kept.KeptWorker` for the other side.

    Args:
        config: "objective" (a path), "metric", "any_json", "evaluations" and "log" (the path of the file that standard output is).
        tasks_fd: a socket that gives a trial a packet.
        report_fd: takes a JSON array a line.
    """
    os.set_inheritable(tasks_fd, False)
    os.set_inheritable(report_fd, False)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # The socket is shared with the driver, which takes trials back from it: it must stay blocking for both.
    with socket.socket(fileno=tasks_fd) as tasks, open(report_fd, "wb") as report:
        try:
            objective = shadho_worker.load_objective(config["objective"])
        except shadho_worker.LoadError as error:
            _send(report, ["broken", str(error)])
            return
        _send(report, ["ready"])
        _serve(objective, config, tasks, report)


def _serve(objective: shadho_worker.Objective, config: dict[str, Any], tasks: socket.socket, report: Any) -> None:
    log, wanted = _Log(config["log"]), (config["metric"], config["evaluations"], config["any_json"])
    home = os.open(".", os.O_RDONLY)
    while packet := tasks.recv(LARGEST_PACKET):
        # A sample that is too large for a packet is in a file.
        trial, attempt, hyperparameters = json.loads(packet if packet[:1] == b"[" else Path(os.fsdecode(packet)).read_bytes())
        began_s = time.perf_counter()
        result = shadho_worker.evaluate(objective, hyperparameters, *wanted)
        duration_s = time.perf_counter() - began_s
        if result["status"] == "failed":
            print(result["traceback"].rstrip() or f"shadho_worker: {result['message']}", file=sys.stderr)
        _send(report, ["done", trial, attempt, duration_s, result, log.taken()])
        with suppress(OSError):
            os.fchdir(home)


def _send(report: Any, message: list[Any]) -> None:
    report.write((json.dumps(message) + "\n").encode())
    report.flush()


class _Log:
    """The file behind standard output and error: taken away after each trial that wrote to it, and put anew."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._taken = 0
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._flush_c = getattr(ctypes.CDLL(None), "fflush", None)

    def taken(self) -> str | None:
        """Return the path of what the trial printed, None if it printed nothing."""
        for stream in (sys.stdout, sys.stderr):
            # The objective may have closed or replaced it.
            with suppress(Exception):
                stream.flush()
        if self._flush_c is not None:
            self._flush_c(None)
        if os.fstat(self._fd).st_size == 0:
            return None
        self._taken += 1
        kept = f"{self._path}.{self._taken}"
        os.rename(self._path, kept)
        os.close(self._fd)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(self._fd, 1)
        os.dup2(self._fd, 2)
        return kept
