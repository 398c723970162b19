"""Waiting for an experiment that another process runs: looks now and then, more rarely the longer nothing happens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum

from shadho_like.journal import JournalReader
from shadho_like.phase import Phase
from shadho_like.trial import TrialState

GRACE_S = 10.0
"""The usual time that a driver may take to start."""

_SHORTEST_S = 0.5
_GROWTH = 1.25


class End(str, Enum):
    """How an experiment ended, for those who wait for it."""

    COMPLETED = "completed"
    """Its search method has no more to do, or there are as many trials as its driver was to have, and all of them are over."""
    CANCELED = "canceled"
    """The user ended it."""
    FAILED = "failed"
    """Its search method gave it up."""
    STOPPED = "stopped"
    """It is not over, but no driver runs it: its time was up, or it was interrupted, or died."""


_OVER = {Phase.COMPLETED: End.COMPLETED, Phase.CANCELED: End.CANCELED, Phase.FAILED: End.FAILED}


class Vigil:
    """Watches for the end of one experiment.

    Args:
        grace_s: how long a driver that was never seen may still be starting, in seconds.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._give_up_s = time.monotonic() + grace_s

    def end(self, journal: JournalReader) -> End | None:
        """Return how the experiment ended; None while its driver runs, or may be starting."""
        if journal.driver() is not None:
            self._give_up_s = 0.0
            return None
        # Looked at after the driver: what it did last is seen.
        if (phase := journal.phase).over:
            return _OVER[phase]
        if time.monotonic() < self._give_up_s:
            return None
        return End.COMPLETED if none_open(journal.counts()) else End.STOPPED


def none_open(counts: Mapping[str, int]) -> bool:
    """Return whether there are trials, and all of them are over: a run ends so at its limit of trials, and in no other way."""
    return bool(counts) and all(TrialState(state).final for state in counts)


class Pace:
    """The pauses between looks.

    Args:
        longest_s: none is longer, in seconds.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._pause_s = _SHORTEST_S

    def rest(self, *, happened: bool, at_most_s: float = float("inf")) -> None:
        """Sleep, shortly if something happened since the last time."""
        self._pause_s = _SHORTEST_S if happened else min(self._pause_s * _GROWTH, self._longest_s)
        time.sleep(max(0.0, min(self._pause_s, at_most_s)))
