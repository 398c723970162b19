"""The clock of the engines that run in real time."""

from __future__ import annotations

import time


class SteadyClock:
    """Unix time that never jumps: the time of day at the start, plus what a monotonic clock counted since.

    A machine's clock that is set an hour back in the middle of a search moves no deadline and no run time.
    """

    def __init__(self) -> None:
        self._origin_s = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._origin_s + time.monotonic()
