"""Ctrl-C, SIGTERM and the key of the pause as something that the loop reads between two turns, not an exception in the middle of one."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from shadho_like.pause_key import PauseKey

_ENOUGH = 4


class SignalInterrupts:
    """Counts interrupts while its block runs; outside the main thread, where no signal arrives, it counts none.

    Args:
        key: whether `p` on this process's terminal is one too.

    Attributes:
        fd: readable when an interrupt has come.
        count: how often Ctrl-C came; after some, it is an ordinary KeyboardInterrupt.
        terminations: how often SIGTERM came.
    """

    def __init__(self, *, key: bool = False) -> None:
        self.fd = -1
        self.count = 0
        self.terminations = 0
        self._key: PauseKey | None = None
        self._wants_key = key
        self._read_fd = self._write_fd = -1
        self._before: dict[int, object] = {}

    def __enter__(self) -> SignalInterrupts:
        self.fd, self._write_fd = os.pipe()
        self._read_fd = self.fd
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_fd, False)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
            if self._wants_key:
                self._key = PauseKey(self._read_fd).__enter__()
                self.fd = self._key.fd
        return self

    def __exit__(self, *_: object) -> None:
        if self._key is not None:
            self._key.__exit__()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._read_fd)
        os.close(self._write_fd)

    @property
    def listens(self) -> bool:
        """Whether the key would be heard now."""
        return self._key is not None and self._key.listens

    def presses(self) -> int:
        """Return how often the key was pressed since this was last asked."""
        return 0 if self._key is None else self._key.presses()

    @property
    def asked(self) -> int:
        """How often the end was asked for, in either way."""
        return self.count + self.terminations

    def clear(self) -> None:
        """Make `fd` quiet again."""
        while True:
            try:
                os.read(self._read_fd, 1024)
            except BlockingIOError:
                return

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.count += 1
        else:
            self.terminations += 1
        os.write(self._write_fd, b"!")
        if number == signal.SIGINT and self.count >= _ENOUGH:
            raise KeyboardInterrupt
