"""The journal's one writer: appends turns, keeps snapshots, and gives both back when the experiment is taken up again."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadho_like.errors import JournalError
from shadho_like.events import Event
from shadho_like.filelock import FileLock
from shadho_like.filesystem import is_local
from shadho_like.journal import schema
from shadho_like.journal.migration import DRAWS, migrate
from shadho_like.journal.reported import Reported
from shadho_like.journal.schema import Record
from shadho_like.paths import ExperimentPaths
from shadho_like.trial import Trial
from shadho_like.turn import Turn

_RUN_TIMES = "run_times"


@dataclass(frozen=True, slots=True)
class MethodRow:
    """What a user's own search method did in a turn.

    Attributes:
        turn: the turn's number.
        answers: for each handler that was called, the number of operations.
        state: the method's state after it, or how that differs from the state before; empty if a later turn's row has it.
        whole: whether `state` is a whole state.
    """

    turn: int
    answers: list[int]
    state: bytes = b""
    whole: bool = False


class Journal:
    """The writer. Holds the directory's lock from the moment it is made until `close`.

    Args:
        paths: the experiment's directory, which is made where it is missing.
        config: what to write into a new journal; one that is there keeps its own, see `config`.

    Attributes:
        new: whether there was none before.
        reported: the tables of what attempts reported.

    Raises:
        ExperimentInUse: another driver holds the lock.
        JournalError: the file is damaged, of a newer version, or its file system refuses.
    """

    def __init__(self, paths: ExperimentPaths, config: Mapping[str, Any]) -> None:
        try:
            paths.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"the experiment's directory {paths.root} cannot be made: {error.strerror}; give another directory="
            raise JournalError(message) from error
        self._lock = FileLock(paths.lock)
        with ExitStack() as refused:
            refused.callback(self._lock.release)
            self._path = paths.journal
            with schema.refusals(self._path):
                self._db = sqlite3.connect(self._path, timeout=schema.BUSY_S, isolation_level=None)
                refused.callback(self._db.close)
                self._prepare(self._db, config)
                self.reported = Reported(self._db, self.config["metric"])
            refused.pop_all()

    def _prepare(self, db: sqlite3.Connection, config: Mapping[str, Any]) -> None:
        self.new = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not self.new and (version := schema.check_format(db, self._path)) < schema.FORMAT:
            migrate(db, self._path, version, schema.FORMAT)
        # Write-ahead logging needs memory shared by all readers, which no network file system gives.
        db.execute(f"PRAGMA journal_mode = {'WAL' if is_local(self._path.parent) else 'TRUNCATE'}")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA trusted_schema = OFF")
        if self.new:
            with _transaction(db):
                for statement in schema.SCHEMA.split(";"):
                    db.execute(statement)
                db.executemany("INSERT INTO meta VALUES (?, ?)", schema.config_rows(config))
                db.execute(f"PRAGMA user_version = {schema.FORMAT}")
            _sync_directory(self._path.parent)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the experiment began with."""
        with schema.refusals(self._path):
            return schema.read_config(self._db, self._path)

    @property
    def draws_as_first(self) -> bool:
        """Whether the experiment began when points were drawn as in format 1."""
        return self.meta(DRAWS) == "1"

    def snapshot(self) -> tuple[dict[str, Any], int] | None:
        """Return the newest sound snapshot and its size in characters."""
        for text, checksum in self._rows("SELECT state, checksum FROM snapshots ORDER BY turn DESC"):
            if isinstance(text, str) and zlib.crc32(text.encode()) == checksum:
                state: dict[str, Any] = json.loads(text)
                return state, len(text)
        return None

    def records(self, after: int) -> Iterator[Record]:
        """Yield the turns with numbers above `after`.

        Raises:
            JournalError: one is missing or does not match its checksum; the message says which.
        """
        for number, event, operations, checksum in self._rows("SELECT * FROM turns WHERE number > ? ORDER BY number", after):
            after += 1
            if number != after or zlib.crc32(f"{number}{event}{operations}".encode()) != checksum:
                message = f"{self._path} is damaged at turn {after}; {schema.RESTORE}"
                raise JournalError(message)
            yield Record(number, event, operations)

    def check_counts(self, counts: Mapping[str, int]) -> None:
        """Compare how many trials are in each state, as the turns say, with what the table of trials holds.

        Raises:
            JournalError: they differ: turns or trials are missing, which no checksum of a turn can tell.
        """
        held = dict(self._rows("SELECT state, count(*) FROM trials GROUP BY state"))
        known = {state: count for state, count in counts.items() if count}
        if held != known:
            message = f"{self._path} is damaged: its turns lead to {known}, and its table of trials holds {held}; {schema.RESTORE}"
            raise JournalError(message)

    def trials_over(self) -> Iterator[Trial]:
        """Yield the trials that ended without a failure, as they ended."""
        query = "SELECT * FROM trials WHERE state IN ('COMPLETED', 'STOPPED', 'CANCELED') ORDER BY number"
        yield from map(schema.trial_from_row, self._rows(query))

    def run_times(self) -> list[Any]:
        """Return what was known of what trials take on each compute class; nothing where that is damaged, for it is learnt anew."""
        checksum, _, text = (self.meta(_RUN_TIMES) or "").partition(" ")
        times: list[Any] = json.loads(text) if text and checksum == str(zlib.crc32(text.encode())) else []
        return times

    def answers(self, turn: int) -> list[int]:
        """Return what the handlers of a user's method answered in a turn, as in `MethodRow`."""
        answers: list[int] = []
        for (text,) in self._rows("SELECT answers FROM method_states WHERE turn = ?", turn):
            answers = json.loads(text)
        return answers

    def method_rows(self) -> Iterator[MethodRow]:
        """Yield the rows with the states of a user's method: the last whole one and those after it.

        Raises:
            JournalError: one does not match its checksum.
        """
        last_whole = "SELECT coalesce(max(turn), 0) FROM method_states WHERE whole"
        query = f"SELECT turn, answers, state, whole, checksum FROM method_states WHERE state != x'' AND turn >= ({last_whole})"
        for turn, answers, state, whole, checksum in self._rows(f"{query} ORDER BY turn"):
            if not isinstance(state, bytes) or zlib.crc32(state) != checksum:
                message = f"{self._path} is damaged at the search method's state after turn {turn}; restore it from a copy"
                raise JournalError(message)
            yield MethodRow(turn, json.loads(answers), state, whole=bool(whole))

    def _rows(self, query: str, *values: Any) -> Iterator[Any]:
        """Yield what a query finds.

        Raises:
            JournalError: the file is damaged, or cannot be read.
        """
        with schema.refusals(self._path):
            yield from self._db.execute(query, values)

    def keep_event(self, number: int, event: Event) -> None:
        """Keep an event to which the search method has no answer yet; the turn with its number replaces it."""
        with schema.refusals(self._path), _transaction(self._db):
            self._db.execute("INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?)", schema.unanswered_row(number, event))

    def keep(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep what is no part of the search: `command`, how the driver was started, or `about`, what people want to know of it."""
        with schema.refusals(self._path), _transaction(self._db):
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, schema.dump(value)))

    def append(self, turns: Sequence[Turn], method: Sequence[MethodRow] = (), run_times: Sequence[Any] = ()) -> None:
        """Write turns and what they changed in one transaction; they are safe on the disk when this returns.

        Args:
            turns: in order.
            method: what a user's search method did in them.
            run_times: what is known of what trials take, as `run_times` gives it back; nothing if that has not changed.

        Raises:
            JournalError: the disk is full, or the file system refuses; nothing of these turns is kept.
        """
        with schema.refusals(self._path), _transaction(self._db):
            first = ((turn.number, schema.UNANSWERED) for turn in turns[:1])
            self._db.executemany("DELETE FROM turns WHERE number = ? AND operations = ?", first)
            self._db.executemany("INSERT INTO turns VALUES (?, ?, ?, ?)", map(schema.turn_row, turns))
            rows = [(row.turn, schema.dump(row.answers), row.whole, row.state, zlib.crc32(row.state)) for row in method]
            self._db.executemany("INSERT OR REPLACE INTO method_states VALUES (?, ?, ?, ?, ?)", rows)
            phases = [turn.phase for turn in turns if turn.phase is not None]
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES ('phase', ?)", ((phase.value,) for phase in phases[-1:]))
            if run_times:
                text = schema.dump(run_times)
                value = f"{zlib.crc32(text.encode())} {text}"
                self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_RUN_TIMES, value))
            trials = {trial.number: trial for turn in turns for trial in turn.trials}
            self._db.executemany(schema.PUT_TRIAL, map(schema.trial_row, trials.values()))
            self._db.executemany(schema.PUT_ATTEMPT, (schema.attempt_row(attempt) for turn in turns for attempt in turn.attempts))
            self.reported.write(turns)

    def tidy(self, change: Callable[[], None]) -> None:
        """Change the tables of what attempts reported, in one transaction."""
        with schema.refusals(self._path), _transaction(self._db):
            change()

    def meta(self, key: str) -> str | None:
        """Return what `keep_meta` kept.

        Raises:
            JournalError: the file is damaged.
        """
        return next((str(value) for (value,) in self._rows("SELECT value FROM meta WHERE key = ?", key)), None)

    def keep_meta(self, key: str, value: str) -> None:
        """Keep a text that is of the whole experiment."""
        with schema.refusals(self._path), _transaction(self._db):
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def save_snapshot(self, turn: int, state: Mapping[str, Any], method_state: bytes | None = None) -> int:
        """Keep a snapshot taken after `turn`, and the one before it, with a user's method's whole state; return its size in characters."""
        text = schema.dump(state)
        with schema.refusals(self._path), _transaction(self._db):
            self._db.execute("DELETE FROM snapshots WHERE turn < (SELECT max(turn) FROM snapshots)")
            self._db.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", (turn, text, zlib.crc32(text.encode())))
            if method_state:
                last = "turn = (SELECT max(turn) FROM method_states)"
                replaced = f"UPDATE method_states SET whole = TRUE, state = ?, checksum = ? WHERE {last}"
                self._db.execute(replaced, (method_state, zlib.crc32(method_state)))
        return len(text)

    def close(self) -> None:
        """Leave one plain file behind, which also those who may not write the directory can read, and give the lock back."""
        try:
            self._db.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error:
            pass  # A reader holds the file; the next driver tidies up.
        finally:
            self._db.close()
            self._lock.release()


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _sync_directory(directory: Path) -> None:
    """Make a new file's name as durable as its contents."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
