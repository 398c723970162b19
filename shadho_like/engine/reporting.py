"""Reads what attempts report while they run, out of a file that each of them appends to. Files only; no process is watched here.

It costs the same however much a trial says: a bounded piece of each file is read a second, of the reports in it those for people
are thinned, and they become one event for many.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shadho_like.engine.base import Notice, Update
from shadho_like.events import AttemptReported
from shadho_like.reports import LONGEST_LINE, Deleted, Measured, Progressed, Report, Resumed, Saved, parse
from shadho_like.trial import AttemptId

LOOK_S = 1.0
"""How often a running attempt's file is looked at."""
THINNED_AFTER = 1000
"""So many training reports of an attempt are kept, of the next 2,000 every second, of the next 4,000 every fourth, ...; so of others."""
MOST_OTHERS = 10_000
"""How many reports about checkpoints an attempt may make."""

_READ_BYTES = 256 * 1024
_MOST_AT_END = 16
_FIRST_PACE_S, _LAST_PACE_S = 5.0, 30.0
_PACE_SHARE = 20


@dataclass(slots=True)
class _Thinner:
    """Keeps all of a series' beginning, and ever less of what follows, evenly: its size goes with the logarithm of the length."""

    seen: int = 0

    def keeps(self) -> bool:
        stride = 1 << ((self.seen // THINNED_AFTER + 1).bit_length() - 1)
        kept = self.seen % stride == 0
        self.seen += 1
        return kept


class _Lines:
    """The whole lines of a file that grows, read piece by piece, never through a link."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._inside = False
        self.number = 0
        self.too_long = 0

    def read(self) -> tuple[list[tuple[int, bytes]], bool]:
        """Return the next lines, each with its number, and whether there may be more already."""
        data = self._piece()
        whole, newline, _ = data.rpartition(b"\n")
        if not newline:
            if len(data) > LONGEST_LINE:
                # No end is in sight: what is left of this line is skipped.
                self._offset += len(data)
                self.too_long += not self._inside
                self._inside = True
            return [], len(data) == _READ_BYTES
        self._offset += len(whole) + 1
        lines = list(self._numbered(whole.split(b"\n")))
        return lines, len(data) == _READ_BYTES

    def _numbered(self, lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
        for line in lines:
            number, self.number = self.number, self.number + 1
            if self._inside:
                self._inside = False
            elif len(line) > LONGEST_LINE:
                self.too_long += 1
            elif line:
                yield number, line

    def _piece(self) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return os.pread(descriptor, _READ_BYTES, self._offset) if regular else b""
        except OSError:
            return b""
        finally:
            os.close(descriptor)


class _Attempt:
    """One attempt that reports."""

    def __init__(self, attempt: AttemptId, path: Path, now_s: float, *, safe: bool) -> None:
        self.id = attempt
        self._safe = safe
        self._lines = _Lines(path)
        self._thinners = {False: _Thinner(), True: _Thinner()}
        self._began_s = self._sent_s = now_s
        self._pending: list[Report] = []
        self._progress: Progressed | None = None
        self._withheld: dict[str, Saved] = {}
        self._others = 0
        self._dropped = 0
        self._noticed = False
        self._urgent = False

    def look(self, now_s: float, pieces: int = 1, *, at_end: bool = False) -> list[Update]:
        """Read on; return an event, if it is time for one."""
        more = True
        while more and pieces > 0:
            pieces -= 1
            lines, more = self._lines.read()
            for number, line in lines:
                self._take(parse(line, number, self.id))
        self._dropped += more and at_end
        return [*self._notice(), *self._event(now_s)]

    def end(self, now_s: float, kept: str | None) -> list[Update]:
        """Read the rest, within bounds; `kept` is the checkpoint that came back with the attempt."""
        updates = self.look(now_s, _MOST_AT_END, at_end=True)
        if kept is not None and (saved := self._withheld.get(kept)) is not None:
            self._add(saved)
        return [*updates, *self._event(now_s, at_once=True)]

    def _take(self, report: Report | None) -> None:
        if report is None:
            self._dropped += 1
        elif isinstance(report, Progressed):
            self._progress = report
        elif isinstance(report, Measured):
            if report.metrics and self._thinners[report.validation].keeps():
                self._pending.append(report)
        elif self._others >= MOST_OTHERS:
            self._dropped += 1
        else:
            self._others += 1
            if isinstance(report, Saved) and not self._safe:
                # It is on the worker only, and lost with it: one counts, and that when it has come back.
                self._withheld = {report.id: report}
            elif not (isinstance(report, Deleted) and not self._safe):
                self._add(report)

    def _add(self, report: Report) -> None:
        self._pending.append(report)
        self._urgent = self._urgent or not isinstance(report, Resumed)

    def _event(self, now_s: float, *, at_once: bool = False) -> Iterator[Update]:
        """Yield what is to be told: what others act on at once, what people read in good time."""
        pace_s = min(_LAST_PACE_S, max(_FIRST_PACE_S, (now_s - self._began_s) / _PACE_SHARE))
        if not (at_once or self._urgent or now_s - self._sent_s >= pace_s):
            return
        if self._progress is not None:
            self._pending.append(self._progress)
        if self._pending:
            yield AttemptReported(now_s, self.id, tuple(self._pending))
        self._pending, self._progress, self._urgent, self._sent_s = [], None, False, now_s

    def _notice(self) -> Iterator[Update]:
        if (self._dropped or self._lines.too_long) and not self._noticed:
            self._noticed = True
            yield Notice(f"trial {self.id.trial} makes reports that cannot be read, or too many of them: those are left out")


class Reporting:
    """All attempts that run and may report.

    Args:
        safe: whether a checkpoint is safe the moment it is reported.
        now: the engine's clock.
    """

    def __init__(self, now: Callable[[], float], *, safe: bool) -> None:
        self._now = now
        self._safe = safe
        self._attempts: dict[Hashable, _Attempt] = {}
        self._looked_s = float("-inf")

    def begin(self, key: Hashable, attempt: AttemptId, path: Path) -> None:
        """Follow an attempt's file, which need not be there yet; one that is followed already goes on."""
        if key not in self._attempts:
            self._attempts[key] = _Attempt(attempt, path, self._now(), safe=self._safe)

    def sweep(self) -> list[Update]:
        """Return what is new, where it is time to look: all attempts at once, so that they share a commit."""
        now_s = self._now()
        if not self._attempts or now_s - self._looked_s < LOOK_S:
            return []
        self._looked_s = now_s
        return [update for attempt in self._attempts.values() for update in attempt.look(now_s)]

    def end(self, key: Hashable, kept: str | None = None) -> list[Update]:
        """Return the last that an attempt said, and follow it no more."""
        attempt = self._attempts.pop(key, None)
        return attempt.end(self._now(), kept) if attempt is not None else []

    def forget(self, key: Hashable) -> None:
        """Follow an attempt no more."""
        with suppress(KeyError):
            del self._attempts[key]
