"""Reads an experiment's journal, also while a driver writes it. Changes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from shadho_like.errors import JournalError, OptionError
from shadho_like.filelock import FileLock
from shadho_like.journal import schema
from shadho_like.journal.schema import Record
from shadho_like.journal.status import Told, read_status
from shadho_like.overview import Glance
from shadho_like.paths import ExperimentPaths
from shadho_like.phase import Phase
from shadho_like.trial import Trial, TrialState

_REPORTED_SINCE = 2
_GLANCED = "number, request_id, state, metric, length, validated, attempts, host, started_s, finished_s"
_AMONG = "IN (SELECT value FROM json_each(?))"
_LARGEST = 2**63 - 1


class Reported(NamedTuple):
    """A metric's value that a trial reported at a length, while it trained, at a validation, or as what an attempt came to.

    Attributes:
        kind: training, validation or result.
    """

    trial: int
    kind: str
    length: float
    value: float


class JournalReader:
    """Reads an experiment, also while a driver writes it. A context manager.

    Raises:
        JournalError: there is no experiment, or none that this version can read.
    """

    def __init__(self, directory: Path) -> None:
        self._paths = ExperimentPaths(Path(directory).absolute())
        path = self._paths.journal
        if not path.is_file():
            message = f"there is no experiment in {directory}: it has no {path.name}"
            raise JournalError(message)
        with schema.refusals(path):
            self._db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=schema.BUSY_S, isolation_level=None)
            try:
                self._version = schema.check_format(self._db, path)
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the experiment began with."""
        with schema.refusals(self._paths.journal):
            return schema.read_config(self._db, self._paths.journal)

    @property
    def id(self) -> str | None:
        """The experiment's id; None where no driver has given it one yet."""
        row = next(iter(self._rows("SELECT value FROM meta WHERE key = ?", schema.EXPERIMENT_ID)), None)
        return str(row[0]) if row else None

    def _rows(self, query: str, *values: Any) -> list[Any]:
        """Return what a query finds.

        Raises:
            JournalError: the file is damaged, or cannot be read.
        """
        with schema.refusals(self._paths.journal):
            return self._db.execute(query, values).fetchall()

    def _named_rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Return what a query finds, each row as column name to value.

        Raises:
            JournalError: the file is damaged, or cannot be read.
        """
        with schema.refusals(self._paths.journal):
            cursor = self._db.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    @property
    def phase(self) -> Phase:
        """Where the experiment is in its life."""
        row = next(iter(self._rows("SELECT value FROM meta WHERE key = 'phase'")), None)
        return Phase(row[0]) if row else Phase.ACTIVE

    @property
    def command(self) -> dict[str, Any] | None:
        """How its driver was last started: `argv` and the folder `cwd`; None where that is not known."""
        return self._kept("command")

    @property
    def about(self) -> dict[str, Any]:
        """What its driver last said of it: `description`, `labels`, and `config`, its configuration, where it was begun with one."""
        return self._kept("about") or {}

    def _kept(self, name: str) -> dict[str, Any] | None:
        row = next(iter(self._rows("SELECT value FROM meta WHERE key = ?", name)), None)
        return json.loads(row[0]) if row else None

    def counts(self) -> dict[str, int]:
        """Return how many trials are in each state, by the state's name."""
        return dict(self._rows("SELECT state, count(*) FROM trials GROUP BY state"))

    def lost_attempts(self) -> int:
        """Return how many attempts machines lost."""
        return int(self._rows("SELECT count(*) FROM attempts WHERE state = 'LOST'")[0][0])

    def best(self, *, smaller_is_better: bool) -> Trial | None:
        """Return the trial with the best metric; of equals as `rank` says."""
        return next(iter(self.best_trials(1, smaller_is_better=smaller_is_better)), None)

    def best_trials(self, count: int, *, smaller_is_better: bool) -> list[Trial]:
        """Return so many trials with the best metrics, the best first."""
        # As `rank` does.
        order = f"metric {'ASC' if smaller_is_better else 'DESC'}, finished_s IS NULL, finished_s, number"
        query = f"SELECT * FROM trials WHERE metric IS NOT NULL ORDER BY {order} LIMIT ?"
        return list(map(schema.trial_from_row, self._rows(query, count)))

    def commonest_failure(self) -> tuple[str, int, str]:
        """Return the message with which most failed trials failed, how many did, and the last line that the first of them printed."""
        message, count, _, _, tail = self.failures(1)[0]
        return message, count, tail.rstrip().rpartition("\n")[2]

    def failures(self, most: int) -> list[tuple[str, int, int, str, str]]:
        """Return why trials failed, the commonest first: message, how many, and of the first its number, kind and last lines."""
        query = """
            SELECT failure_message, count(*) AS n, min(number), failure_kind, coalesce(failure_log_tail, '') FROM trials
            WHERE state = 'FAILED' GROUP BY failure_message ORDER BY n DESC, number LIMIT ?"""
        return [(str(message), *rest) for message, *rest in self._rows(query, most)]

    def trials(self, after: int = -1) -> Iterator[Trial]:
        """Yield the trials with numbers above `after`, in order. Pages are read one by one, so that no lock is held between them."""
        while page := self._rows("SELECT * FROM trials WHERE number > ? ORDER BY number LIMIT 1000", after):
            yield from map(schema.trial_from_row, page)
            after = page[-1][0]

    def trials_of(self, numbers: Collection[int]) -> Iterator[Trial]:
        """Yield these trials, in order."""
        query = "SELECT * FROM trials WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number"
        yield from map(schema.trial_from_row, self._rows(query, json.dumps(list(numbers))))

    def trial(self, number: int) -> Trial:
        """Return a trial.

        Raises:
            OptionError: there is none with this number.
        """
        rows = self._rows("SELECT * FROM trials WHERE number = ?", min(number, _LARGEST))
        if not rows:
            count = self._rows("SELECT count(*) FROM trials")[0][0]
            message = f"there is no trial {number}; {f'their numbers are 0 to {count - 1}' if count else 'there is none yet'}"
            raise OptionError(message)
        return schema.trial_from_row(rows[0])

    def trials_numbered(self, numbers: Collection[int]) -> Iterator[Trial]:
        """Yield those of these trials that there are."""
        yield from map(schema.trial_from_row, self._rows(f"SELECT * FROM trials WHERE number {_AMONG}", json.dumps(list(numbers))))

    def reported(self, metric: str, numbers: Collection[int] | None = None) -> Iterator[Reported]:
        """Yield what trials, or some of them, reported of a metric, in the order of their numbers, kinds and lengths."""
        kind = "kind" if self._version >= _REPORTED_SINCE else "'result'"
        query = f"SELECT trial, {kind}, length, value FROM metrics WHERE name = ?"
        if numbers is None:
            yield from (Reported(*row) for row in self._rows(query, metric))
        else:
            yield from (Reported(*row) for row in self._rows(f"{query} AND trial {_AMONG}", metric, json.dumps(list(numbers))))

    def glances(self, after: int = -1) -> Iterator[Glance]:
        """Yield the trials with numbers above `after`, in order, without what is long. Pages are read one by one, as for `trials`."""
        query = f"SELECT {_GLANCED} FROM trials WHERE number > ? ORDER BY number LIMIT 5000"
        while page := self._rows(query, after):
            yield from map(_glance, page)
            after = page[-1][0]

    def glances_of(self, numbers: Collection[int]) -> Iterator[Glance]:
        """Yield these trials, without what is long."""
        query = f"SELECT {_GLANCED} FROM trials WHERE number IN (SELECT value FROM json_each(?))"
        yield from map(_glance, self._rows(query, json.dumps(list(numbers))))

    def records(self, after: int = 0) -> Iterator[Record]:
        """Yield the turns with numbers above `after` in order, as they were written. Pages are read one by one, as for `trials`."""
        query = "SELECT number, event, operations FROM turns WHERE number > ? ORDER BY number LIMIT 1000"
        while page := self._rows(query, after):
            yield from (Record(*row) for row in page)
            after = page[-1][0]

    def progress(self, trials: Collection[int]) -> dict[int, tuple[float | None, float | None]]:
        """Return how far trials said to be last: the length, and the fraction of all of it, each where it was said; by trial."""
        if self._version < _REPORTED_SINCE:
            return {}
        query = "SELECT trial, length, fraction FROM progress WHERE trial IN (SELECT value FROM json_each(?))"
        return {trial: (length, fraction) for trial, length, fraction in self._rows(query, json.dumps(list(trials)))}

    def results(self, metric: str) -> Iterator[tuple[int, float, float, float]]:
        """Yield (trial, length, value, Unix time in seconds) of this metric wherever a trial was validated, by trial and length."""
        if self._version < _REPORTED_SINCE:
            for trial in self.glances():
                if trial.metric is not None:
                    yield trial.number, trial.validated, trial.metric, trial.finished_s or 0.0
            return
        # The trials come first, so that of each only its results are looked up, and what it reported while it ran is passed over.
        query = """
            SELECT number, m.length, value, m.time_s FROM trials
            CROSS JOIN metrics AS m ON m.trial = number AND m.kind = 'result' AND m.name = ?
            WHERE number > ? AND number <= ? ORDER BY number, m.length"""
        last = self._rows("SELECT coalesce(max(number), -1) FROM trials")[0][0]
        for after in range(-1, last, 5000):
            yield from self._rows(query, metric, after, after + 5000)

    def spans(self) -> Iterator[tuple[str, float, float | None]]:
        """Yield (host, start, end) of each attempt that ran, Unix times in seconds; those that run still have no end."""
        yield from self._rows("SELECT host, started_s, finished_s FROM attempts WHERE started_s IS NOT NULL")

    def gaps(self) -> list[tuple[float, float]]:
        """Return when no driver ran: from the last that one told to the start of the next, Unix times in seconds."""
        query = """
            SELECT json_extract(last.event, '$[1]'), json_extract(next.event, '$[1]') FROM turns AS next
            JOIN turns AS last ON last.number = next.number - 1 WHERE next.event LIKE '["run_started",%' ORDER BY next.number"""
        return [(float(before), float(after)) for before, after in self._rows(query)]

    def first_time_s(self) -> float:
        """Return the time of the first turn, Unix time in seconds; 0 where there is none."""
        rows = self._rows("SELECT json_extract(event, '$[1]') FROM turns ORDER BY number LIMIT 1")
        return float(rows[0][0]) if rows else 0.0

    def last_time_s(self) -> float:
        """Return the time of the newest turn, Unix time in seconds; 0 where there is none."""
        rows = self._rows("SELECT json_extract(event, '$[1]') FROM turns ORDER BY number DESC LIMIT 1")
        return float(rows[0][0]) if rows else 0.0

    def last_turn(self) -> int:
        """Return the number of the last turn; 0 before the first."""
        # An event that waits for its answer is no turn yet.
        query = "SELECT number - (operations = ?) FROM turns ORDER BY number DESC LIMIT 1"
        return int(next(iter(self._rows(query, schema.UNANSWERED)), (0,))[0])

    def running_trials(self) -> set[int]:
        """Return the numbers of the trials of which an attempt runs."""
        return {number for (number,) in self._rows("SELECT number FROM trials WHERE state = 'RUNNING'")}

    def attempts(self, trial: int) -> list[dict[str, Any]]:
        """Return a trial's attempts, oldest first, as column name to value."""
        return self.attempts_of([trial])

    def attempts_of(self, trials: Collection[int]) -> list[dict[str, Any]]:
        """Return the attempts of some trials, in order, as column name to value."""
        query = f"SELECT * FROM attempts WHERE trial {_AMONG} ORDER BY trial, attempt"
        return self._named_rows(query, json.dumps(list(trials)))

    def attempts_by_host(self) -> list[tuple[str, str, int]]:
        """Return (host, state, how many) of all attempts that a machine had."""
        query = "SELECT host, state, count(*) FROM attempts WHERE host != '' GROUP BY host, state ORDER BY host"
        return self._rows(query)

    @property
    def checkpoint_root(self) -> Path:
        """Where the checkpoints are."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", schema.CHECKPOINT_ROOT)
        return Path(rows[0][0]) if rows else self._paths.checkpoints

    def checkpoints(self, trial: int | None = None) -> list[dict[str, Any]]:
        """Return the checkpoints that were ever heard of, of one trial or of all, oldest first, as column name to value."""
        if self._version < _REPORTED_SINCE:
            return []
        which = "" if trial is None else "WHERE trial = ?"
        query = f"SELECT * FROM checkpoints {which} ORDER BY trial, attempt, number"
        return self._named_rows(query, *(() if trial is None else (trial,)))

    def may_start_from(self, checkpoint: str) -> bool:
        """Return whether the search method named a checkpoint, by its id or by `latest_checkpoint_of`, to start a trial from."""
        query = "SELECT EXISTS (SELECT 1 FROM turns WHERE instr(operations, ?))"
        return bool(self._rows(query, f'"{checkpoint}"')[0][0])

    def status(self) -> Told | None:
        """Return what the driver told last of its run: workers, load, progress; None where it told nothing. See `Told.live`."""
        return read_status(self._paths)

    def driver(self) -> dict[str, Any] | None:
        """Return who writes this experiment now (pid, host), or None."""
        return FileLock.holder(self._paths.lock)


def _glance(row: Sequence[Any]) -> Glance:
    number, request_id, state, *rest = row
    return Glance(number, request_id, TrialState(state), *rest)


def copy_journal(source: Path, target: Path) -> None:
    """Copy a journal to which its driver writes, as it is after some turn.

    Raises:
        JournalError: it cannot be read, or the copy not be written.
    """
    with schema.refusals(source), closing(sqlite3.connect(source)) as theirs, closing(sqlite3.connect(target)) as copy:
        theirs.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
