"""What trials printed, read as it comes: from where it is kept, and from the folders of attempts that run on this machine.

On workers elsewhere, and for an objective that is a Python function, it comes when the attempt has ended. All of it is foreign.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import shadho_worker

from shadho_like.journal import JournalReader
from shadho_like.paths import ExperimentPaths

_EARLIER = re.compile(r"output\.(\d{1,9})\.log", re.ASCII)
_PIECE_BYTES = 64 * 1024
_NEWLINES = re.compile(r"\r\n|\n|\r")


class TrialLogs:
    """The logs of one experiment, read once from the beginning, then as they grow.

    Args:
        directory: the experiment's.
        trial: the one trial whose log is read; None for all.
    """

    def __init__(self, directory: Path, trial: int | None = None) -> None:
        self._paths = ExperimentPaths(directory.absolute())
        self._trial = trial
        self._turn: int | None = None
        self._open = set[int]()
        # How far each file is read. It is known by its inode, as it moves to the trial's folder when its attempt has ended.
        self._read = defaultdict[tuple[int, int, int], int](int)
        self._unfinished: dict[int, bytes] = {}

    def more(self, journal: JournalReader) -> Iterator[tuple[int, str]]:
        """Yield (trial, line) for what was printed since the last time, trial by trial."""
        touched = self._begin(journal) if self._turn is None else self._touched(journal, self._turn)
        # Asked for last: whoever has begun since is not taken for one that is over.
        running = journal.running_trials()
        self._open |= touched | (running if self._trial is None else running & {self._trial})
        sandboxes = _by_trial(_names(self._paths.sandboxes))
        for trial in sorted(self._open):
            for path in self._files(trial, sandboxes.get(trial, ())):
                for line in self._lines_of(path, trial):
                    yield trial, line
            if trial not in running:
                self._open.remove(trial)
                for line in self._rest_of(trial):
                    yield trial, line

    def _begin(self, journal: JournalReader) -> set[int]:
        """Return the trials that may have printed something, besides those that run."""
        self._turn = journal.last_turn()
        if self._trial is not None:
            return {self._trial}
        return {int(name) for name in _names(self._paths.trials) if name.isascii() and name.isdigit()}

    def _touched(self, journal: JournalReader, since: int) -> set[int]:
        """Return the trials that may have printed something since a turn."""
        touched = set[int]()
        for record in journal.records(since):
            self._turn = record.number
            touched |= _trials_of(json.loads(record.event))
        return touched if self._trial is None else touched & {self._trial}

    def _files(self, trial: int, sandboxes: Sequence[str]) -> list[Path]:
        """Return where a trial's logs may be, the oldest first."""
        folder = self._paths.trial(trial)
        earlier = sorted((int(match[1]), match[0]) for match in map(_EARLIER.fullmatch, _names(folder)) if match)
        kept = [folder / name for name in (*(name for _, name in earlier), shadho_worker.LOG_FILE)]
        return [*kept, *(self._paths.sandboxes / name / shadho_worker.LOG_FILE for name in sandboxes)]

    def _lines_of(self, path: Path, trial: int) -> Iterator[str]:
        try:
            # Non-blocking, so that a named pipe in a log's place does not wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return
            key = trial, status.st_dev, status.st_ino
            if key not in self._read:
                yield from self._rest_of(trial)
            file.seek(self._read[key])
            while piece := file.read(_PIECE_BYTES):
                self._read[key] += len(piece)
                yield from self._whole_lines(trial, piece)

    def _whole_lines(self, trial: int, piece: bytes) -> Iterator[str]:
        """Yield the lines that end in a piece; what follows the last newline waits, unless it is very long."""
        whole, newline, rest = (self._unfinished.pop(trial, b"") + piece).rpartition(b"\n")
        if newline:
            yield from _lines(whole)
        if rest:
            self._unfinished[trial] = rest
        if len(rest) > _PIECE_BYTES:
            yield from self._rest_of(trial)

    def _rest_of(self, trial: int) -> Iterator[str]:
        """Yield what waits for its newline, which does not come."""
        if rest := self._unfinished.pop(trial, b""):
            yield from _lines(rest)


def _lines(data: bytes) -> list[str]:
    return _NEWLINES.split(data.decode("utf-8", "replace").removesuffix("\r"))


def _trials_of(event: Sequence[object]) -> set[int]:
    """Return the trial that an event is about."""
    kind, _, *rest = event
    return {rest[0]} if str(kind).startswith("attempt_") and isinstance(rest[0], int) else set()


def _by_trial(sandboxes: Sequence[str]) -> dict[int, list[str]]:
    """Return the folders of attempts by their trials."""
    found: dict[int, list[str]] = {}
    for name in sorted(sandboxes):
        trial = name.partition(".")[0]
        if trial.isascii() and trial.isdigit():
            found.setdefault(int(trial), []).append(name)
    return found


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []
