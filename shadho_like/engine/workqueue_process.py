"""The driver's hold on the process with Work Queue's manager: finds a Python for it, starts it, writes and reads its lines."""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from shadho_like.errors import EngineError

_PROGRAM = Path(__file__).with_name("workqueue_manager.py")
_READ_BYTES = 1024 * 1024
_START_S = 60.0
_END_S = 5.0
_LAST_LINES = 10
_INSTALL = """Work Queue is not installed for any Python that was found; {tried}.
Install it, then run this again: on Debian and Ubuntu `apt-get install coop-computing-tools python3-workqueue`,
elsewhere `conda install -c conda-forge ndcctools`. Or search on this machine alone with engine="local"."""
_WITHOUT_SSL = """config.workqueue.ssl needs a Work Queue with SSL, and that of {pythons} has none.
Install a newer one, here and where workers run, such as conda-forge's ndcctools; or leave ssl out."""


class ManagerProcess:
    """One process with Work Queue's manager in it, listening.

    Args:
        settings: its first line; see `workqueue_manager`.
        log: the file that gets what it prints.

    Attributes:
        port: where it listens.
        confined: whether the system holds what it writes to its folder.
        alive: False when it is gone, and with it everything that it knew.

    Raises:
        EngineError: it cannot start; the message says what to install or to change.
    """

    def __init__(self, settings: Mapping[str, Any], log: Path) -> None:
        self._log = log
        self._text = b""
        self._unsent = b""
        tried, without_ssl = [], []
        for python in _pythons():
            try:
                first = self._start(python, settings)
            except OSError as error:
                tried.append(f"{python}: {error.strerror}")
                continue
            if "listening" in first:
                self.port: int = first["listening"]
                self.confined: bool = first["confined"]
                self.alive = True
                return
            self.close()
            if "refused" in first:
                raise EngineError(f"Work Queue's manager cannot start: {first['refused']}")
            if "without_ssl" in first:
                without_ssl.append(python)
            tried.append(f"{python}: {first.get('missing') or 'it did not start'}")
        if without_ssl:
            raise EngineError(_WITHOUT_SSL.format(pythons=" and ".join(without_ssl)))
        raise EngineError(_INSTALL.format(tried="; ".join(tried)))

    def _start(self, python: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Start the program with one Python and return the first thing that it says; nothing if it cannot run it."""
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C at the terminal is the driver's to act on.
            self._process = subprocess.Popen(
                [python, str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        self._orders, self._reports = _pipe(self._process.stdin), _pipe(self._process.stdout)
        self._unsent = b""
        self.send(settings)
        return next(self._first_reports(), {})

    def _first_reports(self) -> Iterator[dict[str, Any]]:
        self.alive = True
        while self.alive and self._ready(_START_S, hearing=True):
            self.flush()
            yield from self.read()

    @property
    def fd(self) -> int:
        """Readable when there is something to hear."""
        return self._reports.fileno()

    @property
    def full_fd(self) -> int | None:
        """Writable when orders that did not fit can be sent; None if there are none."""
        return self._orders.fileno() if self._unsent else None

    def send(self, *orders: Mapping[str, Any]) -> None:
        """Give orders; those that do not fit into the pipe go with the next `flush`."""
        self._unsent += "".join(json.dumps(order) + "\n" for order in orders).encode()
        self.flush()

    def flush(self) -> None:
        """Send what did not fit before."""
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._orders.fileno(), self._unsent) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent = b""

    def _ready(self, timeout_s: float, *, hearing: bool) -> bool:
        """Wait until there is room for what is unsent or, where that is waited for, something to hear; return whether there is."""
        poll = select.poll()
        if hearing:
            poll.register(self.fd, select.POLLIN)
        if self._unsent:
            poll.register(self._orders, select.POLLOUT)
        return bool(poll.poll(1000 * timeout_s))

    def read(self) -> list[dict[str, Any]]:
        """Return what is to be heard now."""
        data = b""
        with suppress(BlockingIOError):
            data = os.read(self.fd, _READ_BYTES)
            self.alive = bool(data)
        *lines, self._text = (self._text + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def last_words(self) -> str:
        """Return the last lines that it printed."""
        with suppress(OSError):
            return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:])
        return ""

    def close(self) -> None:
        """End it, and with it everything that runs on its workers, and them too: nothing more is to come."""
        self.send({"release": True})
        while self._unsent and self._ready(_END_S, hearing=False):
            self.flush()
        self._orders.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            # It may be deep in a transfer.
            self._process.kill()
            self._process.wait()
        self._reports.close()


def _pipe(file: IO[bytes] | None) -> IO[bytes]:
    """Return the driver's end of a pipe, which never blocks and is as large as the system lets it be."""
    if file is None:
        raise AssertionError
    os.set_blocking(file.fileno(), False)
    with suppress(AttributeError, OSError):
        fcntl.fcntl(file.fileno(), fcntl.F_SETPIPE_SZ, _READ_BYTES)
    return file


def _pythons() -> Iterator[str]:
    """Yield each Python that may have Work Queue's module, the likeliest first."""
    seen = set()
    for python in (sys.executable, "/usr/bin/python3", *(str(Path(folder, "python3")) for folder in os.get_exec_path())):
        if python not in seen and os.access(python, os.X_OK):
            seen.add(python)
            yield python
