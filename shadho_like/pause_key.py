r"""The key of the driver's own terminal: p pauses the search, and p lets it go on. Knows terminals, and nothing of searches.

The terminal is given back as it was whenever this process does not have it: in the background, stopped by Ctrl-Z, at the end, also
by Ctrl-\ or a hangup.
"""

from __future__ import annotations

import os
import select
import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

_INPUT, _OUTPUT = 0, 1
_LOCAL_FLAGS = 3
_KEYS = b"pP"
_ENDS = (signal.SIGQUIT, signal.SIGHUP)


class PauseKey:
    """Counts presses of `p` while its block runs, on a terminal that is both standard input and output, and in its foreground only.

    For the main thread.

    Args:
        wake_fd: another descriptor on which whoever waits on `fd` is to wake up.

    Attributes:
        fd: readable when `wake_fd` is, or a key was pressed.
        listens: whether a key would be heard now.
    """

    def __init__(self, wake_fd: int) -> None:
        self.fd = wake_fd
        self.listens = False
        self._wake_fd = wake_fd
        self._poll: select.epoll | None = None
        self._settings: list[Any] | None = None
        self._before: Any = None
        self._ends: list[int] = []

    def __enter__(self) -> PauseKey:
        if os.isatty(_INPUT) and os.isatty(_OUTPUT) and hasattr(select, "epoll"):
            self._poll = select.epoll()
            self._poll.register(self._wake_fd, select.EPOLLIN)
            self.fd = self._poll.fileno()
            self._before = signal.getsignal(signal.SIGTSTP)
            if self._before is not signal.SIG_IGN:
                signal.signal(signal.SIGTSTP, self._on_stop)
            self._ends = [number for number in _ENDS if _would_end(number)]
            for number in self._ends:
                signal.signal(number, self._on_end)
            self._look()
        return self

    def __exit__(self, *_: object) -> None:
        if self._poll is not None:
            # In this order: whoever is stopped and goes on listens again.
            signal.signal(signal.SIGTSTP, self._before)
            self._give_back()
            for number in self._ends:
                signal.signal(number, signal.SIG_DFL)
            self._poll.close()
            self._poll = None

    def presses(self) -> int:
        """Return how often the key was pressed since this was last asked."""
        self._look()
        if self._poll is None or not self.listens or not any(fd == _INPUT for fd, _ in self._poll.poll(0)):
            return 0
        try:
            with _never_stopped():
                typed = os.read(_INPUT, 1024)
        except OSError:
            typed = b""
        if not typed:
            # The terminal is gone, or this process has just lost it.
            self._listen_no_more()
        return sum(typed.count(key) for key in _KEYS)

    def _look(self) -> None:
        """Listen if this process is in the foreground, and only then: it may come and go without being told."""
        if self._poll is not None and _in_foreground() is not self.listens:
            (self._listen_no_more if self.listens else self._listen)()

    def _listen(self) -> None:
        assert self._poll is not None
        with suppress(OSError, termios.error), _never_stopped():
            found = termios.tcgetattr(_INPUT)
            if self._settings is None and not found[_LOCAL_FLAGS] & (termios.ICANON | termios.ECHO):
                # Another one listens to keys here, and will give the terminal back.
                return
            self._settings = self._settings or found
            # Keys come one by one and unseen; Ctrl-C and Ctrl-Z are signals as ever.
            settings = self._settings.copy()
            settings[_LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
            # Before the settings: a Ctrl-Z that comes between gives them back.
            self.listens = True
            termios.tcsetattr(_INPUT, termios.TCSANOW, settings)
            with suppress(FileExistsError):
                self._poll.register(_INPUT, select.EPOLLIN)

    def _listen_no_more(self) -> None:
        assert self._poll is not None
        with suppress(OSError):
            self._poll.unregister(_INPUT)
        self.listens = False

    def _give_back(self) -> None:
        """Have the terminal be as it was, if it is this process's to set."""
        if self.listens and _in_foreground():
            with suppress(OSError, termios.error), _never_stopped():
                termios.tcsetattr(_INPUT, termios.TCSANOW, self._settings or [])
        if self.listens:
            self._listen_no_more()

    def _on_stop(self, number: int, _: FrameType | None) -> None:
        """Stop as if nobody had caught the signal, and go on when the shell says so."""
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._on_stop)
        self._look()


    def _on_end(self, number: int, _: FrameType | None) -> None:
        """End as if nobody had caught the signal."""
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _would_end(number: int) -> bool:
    """Return whether a signal has its default effect. `faulthandler` catches some without a word to Python's `signal`."""
    try:
        caught = next(line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        caught = "SigCgt: 0"
    return signal.getsignal(number) is signal.SIG_DFL and not int(caught.split()[1], 16) >> (number - 1) & 1


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(_INPUT) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def _never_stopped() -> Iterator[None]:
    """Have an error come, in place of the signal that stops a process which does this in the background."""
    numbers = {signal.SIGTTIN, signal.SIGTTOU}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
