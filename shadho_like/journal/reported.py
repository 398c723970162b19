"""The tables of what attempts reported: metrics, progress, checkpoints. Written with the turns that tell of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from shadho_like.checkpoint_policy import CheckpointId, Known
from shadho_like.events import AttemptFinished, AttemptReported
from shadho_like.reports import Deleted, Lost, Measured, Progressed, Report, Resumed, Saved, parts_of
from shadho_like.trial import AttemptId, Success
from shadho_like.turn import Turn

SCHEMA = """
CREATE TABLE metrics (
    trial INTEGER NOT NULL, kind TEXT NOT NULL, length REAL NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, attempt INTEGER NOT NULL,
    line INTEGER NOT NULL, time_s REAL NOT NULL, PRIMARY KEY (trial, kind, length, name)) WITHOUT ROWID;
CREATE TABLE progress (trial INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, length REAL, fraction REAL, time_s REAL NOT NULL);
CREATE TABLE checkpoints (
    id TEXT PRIMARY KEY, trial INTEGER NOT NULL, attempt INTEGER NOT NULL, number INTEGER NOT NULL, line INTEGER NOT NULL,
    state TEXT NOT NULL, length REAL NOT NULL, size INTEGER NOT NULL, checksum TEXT NOT NULL, metadata TEXT NOT NULL, metric REAL,
    time_s REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX checkpoints_of_trials ON checkpoints (trial);
CREATE INDEX best_checkpoints ON checkpoints (metric) WHERE state = 'KEPT' AND metric IS NOT NULL;
"""

KEPT, DELETING, DELETED, LOST = "KEPT", "DELETING", "DELETED", "LOST"
"""What became of a checkpoint: it is there; it is to be removed; it was; it is gone or damaged against all intentions."""

_RESULT, _TRAINING, _VALIDATION = "result", "training", "validation"
_UNSEEN_LINE = 2**62
_PUT_METRIC = "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_PROGRESS = "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?)"
_PUT_CHECKPOINT = """
INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, 'KEPT', ?, ?, ?, ?,
    (SELECT value FROM metrics WHERE trial = ?2 AND kind != 'training' AND length = ?6 AND name = ? ORDER BY time_s DESC LIMIT 1), ?)
ON CONFLICT (id) DO UPDATE SET state = 'KEPT'
"""
# Steps count in the script's own unit. What the attempt had reported when it saved is of before the checkpoint, and so is what its
# length covers, be that of the same unit.
_LAST_STEPS = """
SELECT coalesce(max(length), 0) FROM metrics WHERE trial = ? AND kind != 'result' AND (attempt < ? OR (attempt = ? AND line < ?))
"""
_SUPERSEDE = """
DELETE FROM metrics WHERE trial = ? AND kind != 'result' AND attempt < ? AND length > ? AND (attempt > ? OR (attempt = ? AND line > ?))
"""


class Reported:
    """The tables, in a journal's own transactions.

    Args:
        db: the journal.
        metric: the searched metric's name.

    Attributes:
        any: whether there ever was a checkpoint.
        then: called with the turns at the end of `write`; what it changes here is of the same transaction.
    """

    def __init__(self, db: sqlite3.Connection, metric: str) -> None:
        self._db = db
        self._metric = metric
        self._writers: dict[type[Report], Callable[[AttemptId, float, Any], None]] = {
            Measured: self._measured,
            Progressed: self._progressed,
            Saved: self._saved,
            Resumed: self._resumed,
            Lost: self._lost,
            Deleted: self._deleted,
        }
        self.then: Callable[[Sequence[Turn]], None] | None = None
        self.any = bool(db.execute("SELECT EXISTS (SELECT 1 FROM checkpoints)").fetchone()[0])

    def write(self, turns: Sequence[Turn]) -> None:
        """Write what turns tell."""
        for turn in turns:
            event = turn.event
            if isinstance(event, AttemptReported):
                for report in event.reports:
                    self._writers[type(report)](event.attempt, event.time_s, report)
            elif isinstance(event, AttemptFinished) and isinstance(event.outcome, Success):
                self._result(turn, event, event.outcome)
        if self.then is not None:
            self.then(turns)

    def _result(self, turn: Turn, event: AttemptFinished, outcome: Success) -> None:
        """Write the numbers that an attempt brought back."""
        number, attempt = event.attempt
        length = next(trial.validated for trial in turn.trials if trial.number == number)
        values = {} if outcome.metric is None else {self._metric: outcome.metric}
        others = {name: value for name, value in outcome.metrics.items() if isinstance(value, int | float) and not isinstance(value, bool)}
        rows = [(number, _RESULT, length, name, float(value), attempt, 0, event.time_s) for name, value in {**others, **values}.items()]
        self._db.executemany(_PUT_METRIC, rows)
        if outcome.metric is not None:
            self._validated(number, length, outcome.metric)

    def _validated(self, trial: int, length: float, value: float) -> None:
        if self.any:
            self._db.execute("UPDATE checkpoints SET metric = ? WHERE trial = ? AND length = ?", (value, trial, length))

    def _measured(self, attempt: AttemptId, time_s: float, report: Measured) -> None:
        kind = _VALIDATION if report.validation else _TRAINING
        head, tail = (attempt.trial, kind, report.steps), (attempt.attempt, report.line, time_s)
        self._db.executemany(_PUT_METRIC, ((*head, name, value, *tail) for name, value in report.metrics.items()))
        if report.validation and (value := report.metrics.get(self._metric)) is not None:
            self._validated(attempt.trial, report.steps, value)

    def _progressed(self, attempt: AttemptId, time_s: float, report: Progressed) -> None:
        self._db.execute(_PUT_PROGRESS, (*attempt, report.length, report.fraction, time_s))

    def _saved(self, attempt: AttemptId, time_s: float, report: Saved) -> None:
        del attempt
        self.add(report, time_s)

    def add(self, saved: Saved, time_s: float, line: int | None = None) -> None:
        """Take a checkpoint in."""
        self.any = True
        place = (saved.id, *(parts_of(saved.id) or ()), saved.line if line is None else line)
        values = (saved.length, saved.size, saved.checksum, json.dumps(dict(saved.metadata)))
        self._db.execute(_PUT_CHECKPOINT, (*place, *values, self._metric, time_s))

    def _resumed(self, attempt: AttemptId, time_s: float, report: Resumed) -> None:
        """Let go of metrics that an earlier attempt reported after what this one goes on from: they are reported anew."""
        saved = report.checkpoint
        trial, origin, _ = (parts_of(saved.id) if saved else None) or (None, 0, 0)
        if saved is None or trial != attempt.trial:
            self._db.execute(_SUPERSEDE, (*attempt, float("-inf"), 0, 0, 0))
            return
        row = self._db.execute("SELECT line FROM checkpoints WHERE id = ?", (saved.id,)).fetchone()
        # One that was saved when no driver read any more: all that is known of its attempt came before.
        line = row[0] if row else _UNSEEN_LINE
        self.add(saved, time_s, line)
        (steps,) = self._db.execute(_LAST_STEPS, (trial, origin, origin, line)).fetchone()
        self._db.execute(_SUPERSEDE, (*attempt, max(steps, saved.length), origin, origin, line))

    def _lost(self, attempt: AttemptId, time_s: float, report: Lost) -> None:
        del time_s
        query = "UPDATE checkpoints SET state = 'LOST' WHERE id = ? AND trial = ? AND state = 'KEPT'"
        self._db.execute(query, (report.id, attempt.trial))

    def _deleted(self, attempt: AttemptId, time_s: float, report: Deleted) -> None:
        del time_s
        self._db.execute("UPDATE checkpoints SET state = 'DELETED' WHERE id = ? AND trial = ?", (report.id, attempt.trial))

    def kept(self, trial: int) -> list[Known]:
        """Return the checkpoints of a trial that are there."""
        return list(self._known("SELECT trial, attempt, number, metric, time_s FROM checkpoints WHERE trial = ? AND state = 'KEPT'", trial))

    def of(self, trial: int) -> list[Known]:
        """Return all checkpoints of a trial that were ever heard of."""
        return list(self._known("SELECT trial, attempt, number, metric, time_s FROM checkpoints WHERE trial = ?", trial))

    def best(self, count: int, *, smaller_is_better: bool) -> list[Known]:
        """Return the best checkpoints of the experiment, the older of equals first."""
        order = "ASC" if smaller_is_better else "DESC"
        query = f"""SELECT trial, attempt, number, metric, time_s FROM checkpoints WHERE state = 'KEPT' AND metric IS NOT NULL
            ORDER BY metric {order}, time_s, trial, attempt, number LIMIT ?"""
        return list(self._known(query, count))

    def _known(self, query: str, *values: Any) -> Iterator[Known]:
        for *parts, metric, time_s in self._db.execute(query, values):
            yield Known(CheckpointId(*parts), metric, time_s)

    def in_state(self, state: str) -> list[CheckpointId]:
        """Return the checkpoints that are in a state."""
        return [CheckpointId(*row) for row in self._db.execute("SELECT trial, attempt, number FROM checkpoints WHERE state = ?", (state,))]

    def mark(self, checkpoints: Collection[CheckpointId], state: str) -> None:
        """Put checkpoints into a state."""
        self._db.executemany("UPDATE checkpoints SET state = ? WHERE id = ?", [(state, str(each)) for each in checkpoints])
