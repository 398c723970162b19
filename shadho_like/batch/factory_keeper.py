"""The process beside `work_queue_factory`: starts it, answers its question for the manager, drains its workers, and writes down how
it stands. Run in the background as `python -m shadho_like.batch.factory_keeper FOLDER`.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from shadho_like.batch import factory
from shadho_like.batch.factory_record import FactoryFolder, Standing, ended
from shadho_like.batch.manager_status import ManagerStatus, ask
from shadho_like.batch.workers import factory_words
from shadho_like.errors import ShadhoError

_COUNTS = re.compile(r"\|submitted: (\d+) \|needed: (\d+) .*\|requested: (-?\d+)")
_TABLE = re.compile(r"PROJECT +HOST|removing \d+ workers|all workers removed|received abort signal|.* +\d+ +\d+ +\d+ +\d+ +\d+ *$")
_OTHERS = ("BATCH_", "CATALOG_", "TCP_", "WORK_QUEUE_")
_STEP_S = 1.0
_ALIVE_S = 60.0
_ASKED_S = 20.0
_END_S = 60.0
_READ_BYTES = 65536


class Keeper:
    """One factory, kept until it is drained, or until there has been no driver for long."""

    def __init__(self, folder: FactoryFolder) -> None:
        self._folder = folder
        self._wish = folder.wish()
        self._standing = Standing.begin()
        self._status: ManagerStatus | None = None
        self._expected = 0
        self._stood_s = 0.0
        self._text = b""
        self._why = ""
        self._drain_s: float | None = None
        self._door = socket.create_server(("127.0.0.1", 0))

    def run(self) -> None:
        """Keep it to its end."""
        self._process = self._start()
        signal.signal(signal.SIGTERM, lambda *_: self._folder.drain())
        self._stand(self._standing)
        try:
            while self._process.poll() is None:
                self._watch()
                if self._drained():
                    self._finish()
        finally:
            self._process.kill()
            why = self._why or f"{factory.PROGRAM} ended with status {self._process.wait()}"
            _say(why)
            self._stand(ended(self._standing, why))

    def _start(self) -> subprocess.Popen[bytes]:
        wish, port = self._wish, self._door.getsockname()[1]
        argv = factory.command(wish.job, wish.limits, factory_words(wish.system), str(self._folder.path), port)
        env = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        return subprocess.Popen(
            argv, cwd=self._folder.path, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    @property
    def _output(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise AssertionError
        return self._process.stdout

    def _watch(self) -> None:
        door, output = self._door.fileno(), self._output.fileno()
        ready = select.select([door, output], [], [], _STEP_S)[0]
        if output in ready:
            *lines, self._text = (self._text + os.read(output, _READ_BYTES)).split(b"\n")
            for line in lines:
                self._hear(line.decode("utf-8", "replace").strip())
        if door in ready:
            with suppress(OSError, TimeoutError):
                self._answer()
        if time.monotonic() - self._stood_s > _ALIVE_S:
            self._stand(self._standing)

    def _answer(self) -> None:
        """Answer the factory's question; nothing, where there is no driver, is an answer too."""
        with self._door.accept()[0] as link:
            link.settimeout(_ASKED_S)
            link.recv(_READ_BYTES)
            status, draining = ask(self._wish.job.search), self._folder.draining
            self._stand(replace(self._standing, driver=status is not None))
            self._status = status or self._status
            if status is not None or draining:
                said = factory.answer(self._status, self._wish.job, self._wish.limits, self._expected, draining=draining)
                link.sendall(json.dumps([said]).encode() + b"\n")

    def _hear(self, line: str) -> None:
        counts = _COUNTS.search(line)
        if counts is not None:
            submitted, wanted, requested = map(int, counts.groups())
            self._expected = submitted + max(0, requested)
            self._stand(replace(self._standing, wanted=wanted, submitted=self._expected))
        elif "factory timeout" in line:
            self._why = f"no driver {self._wish.job.search} for {factory.NO_DRIVER_S} s"
        elif line and "status from 127.0.0.1" not in line and not _TABLE.match(line):
            _say(line)

    def _drained(self) -> bool:
        """Whether a drain has begun, and left no worker running, or those that run have had their time."""
        if not self._folder.draining:
            return False
        if self._drain_s is None:
            self._drain_s = time.monotonic()
            _say("draining")
        late = time.monotonic() - self._drain_s > self._wish.job.notice_s
        return late or not self._folder.running()

    def _finish(self) -> None:
        """Have the factory take what waits out of the queue, and end."""
        self._why = "drained"
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=_END_S)

    def _stand(self, standing: Standing) -> None:
        if standing.wanted is not None and (standing.wanted, standing.submitted) != (self._standing.wanted, self._standing.submitted):
            _say(f"{standing.wanted} workers wanted, {standing.submitted} submitted{'' if standing.driver else ', no driver answers'}")
        self._standing, self._stood_s = standing, time.monotonic()
        self._folder.stand(standing)


def _say(line: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), line, flush=True)


def main() -> None:
    """Run the process."""
    try:
        Keeper(FactoryFolder(Path(sys.argv[1]))).run()
    except (OSError, ShadhoError) as error:
        _say(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
