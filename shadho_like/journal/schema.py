"""The journal's tables, and how words become rows and rows words. One SQLite file holds them all."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadho_like.errors import JournalError
from shadho_like.events import Event
from shadho_like.journal import reported
from shadho_like.trial import AttemptRecord, Failure, FailureKind, RequestId, Trial, TrialState
from shadho_like.turn import Turn

FORMAT = 2
"""The version of the tables and of the JSON in them."""

CHECKPOINT_ROOT = "checkpoint_root"
"""Under this name `meta` has the folder of the checkpoints, where that is not in the experiment's directory."""

EXPERIMENT_ID = "id"
"""Under this name `meta` has the experiment's id."""

BUSY_S = 60.0
RESTORE = "restore it from a copy, or begin again in another directory"
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE turns (number INTEGER PRIMARY KEY, event TEXT NOT NULL, operations TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE snapshots (turn INTEGER PRIMARY KEY, state TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE method_states (
    turn INTEGER PRIMARY KEY, answers TEXT NOT NULL, whole INTEGER NOT NULL, state BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE trials (
    number INTEGER PRIMARY KEY, request_id TEXT NOT NULL, state TEXT NOT NULL, metric REAL, hyperparameters TEXT NOT NULL,
    metrics TEXT NOT NULL, seed INTEGER NOT NULL, length INTEGER NOT NULL, validated INTEGER NOT NULL, closing INTEGER NOT NULL,
    attempts INTEGER NOT NULL, restarts INTEGER NOT NULL, lost INTEGER NOT NULL, created_s REAL NOT NULL, started_s REAL, finished_s REAL,
    host TEXT NOT NULL, failure_kind TEXT, failure_message TEXT, failure_log_tail TEXT);
CREATE TABLE attempts (
    trial INTEGER NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, host TEXT NOT NULL, started_s REAL, finished_s REAL,
    failure_kind TEXT, failure_message TEXT, PRIMARY KEY (trial, attempt)) WITHOUT ROWID;
""" + reported.SCHEMA
PUT_TRIAL = f"INSERT OR REPLACE INTO trials VALUES ({', '.join('?' * 20)})"
PUT_ATTEMPT = """
INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trial, attempt) DO UPDATE SET
    state = excluded.state, host = excluded.host, started_s = coalesce(excluded.started_s, started_s),
    finished_s = excluded.finished_s, failure_kind = excluded.failure_kind, failure_message = excluded.failure_message
"""


@dataclass(frozen=True, slots=True)
class Record:
    """A turn as it was written: its number, and the JSON of its event and of its operations."""

    number: int
    event: str
    operations: str


def turn_row(turn: Turn) -> tuple[int, str, str, int]:
    """Return a turn as its row."""
    event, operations = dump(turn.event.to_json()), dump_operations(turn)
    return turn.number, event, operations, zlib.crc32(f"{turn.number}{event}{operations}".encode())


UNANSWERED = ""
"""In the place of a turn's operations: its event is kept, but the search method's handler raised; it is asked again."""


def unanswered_row(number: int, event: Event) -> tuple[int, str, str, int]:
    """Return the row of an event that has no turn yet."""
    text = dump(event.to_json())
    return number, text, UNANSWERED, zlib.crc32(f"{number}{text}{UNANSWERED}".encode())


def dump_operations(turn: Turn) -> str:
    """Return the JSON of a turn's operations as the journal keeps it, by which a replay is compared with the record."""
    return dump([operation.to_json() for operation in turn.operations])


def trial_row(trial: Trial) -> tuple[Any, ...]:
    """Return a trial as its row."""
    failure = trial.failure
    return (
        *(trial.number, str(trial.request_id), trial.state.value, trial.metric, dump(trial.hparams), dump(trial.metrics)),
        *(trial.seed, trial.length, trial.validated, trial.closing, trial.attempt, trial.restarts, trial.lost),
        *(trial.created_s, trial.started_s, trial.finished_s, trial.host),
        *((failure.kind.value, failure.message, failure.log_tail) if failure else (None, None, None)),
    )


def trial_from_row(row: Sequence[Any]) -> Trial:
    """Return the trial of a row."""
    number, request_id, state, metric, hparams, metrics, seed, length, validated, closing, attempt, restarts, lost, *rest = row
    created_s, started_s, finished_s, host, failure_kind, failure_message, failure_log_tail = rest
    return Trial(
        number,
        RequestId(request_id),
        json.loads(hparams),
        seed,
        created_s,
        TrialState(state),
        length=length,
        validated=validated,
        closing=bool(closing),
        attempt=attempt,
        restarts=restarts,
        lost=lost,
        metric=metric,
        metrics=json.loads(metrics) if metrics != "{}" else {},
        started_s=started_s,
        finished_s=finished_s,
        host=host,
        failure=Failure(FailureKind(failure_kind), failure_message, failure_log_tail) if failure_kind is not None else None,
    )


def attempt_row(attempt: AttemptRecord) -> tuple[Any, ...]:
    """Return an attempt as its row."""
    failure = (attempt.failure.kind.value, attempt.failure.message) if attempt.failure else (None, None)
    return (*attempt.id, attempt.state, attempt.host, attempt.started_s, attempt.finished_s, *failure)


def config_rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the configuration that an experiment begins with as its rows: the text, and the text's checksum."""
    text = dump(config)
    return [("config", text), ("config_checksum", str(zlib.crc32(text.encode())))]


def read_config(db: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Return the configuration that the experiment began with.

    Raises:
        JournalError: it does not match its checksum.
    """
    meta = dict(db.execute("SELECT key, value FROM meta"))
    text = meta.get("config", "")
    # Journals from before there was this checksum have none.
    if not text or meta.get("config_checksum", (whole := str(zlib.crc32(text.encode())))) != whole:
        message = f"{path} is damaged at its configuration; {RESTORE}"
        raise JournalError(message)
    config: dict[str, Any] = json.loads(text)
    return config


def check_format(db: sqlite3.Connection, path: Path) -> int:
    """Return the version of the file's format.

    Raises:
        JournalError: this version cannot read it.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        message = f"{path} was written by a newer version of this package (format {version}, this version reads {FORMAT}): update it"
        raise JournalError(message)
    if version < 1:
        message = f"{path} is not an experiment's journal"
        raise JournalError(message)
    return version


dump: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), sort_keys=True, allow_nan=False).encode


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Say what SQLite and the file system refuse in the user's words."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        if _means_damage(error):
            message = f"{path} is damaged: {error}; {RESTORE}"
            raise JournalError(message) from error
        transient = isinstance(error, sqlite3.OperationalError)
        message = f"{path}: {error}; all that was shown as done is kept, and the same command carries on from there"
        raise JournalError(message, transient=transient) from error


def _means_damage(error: Exception) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return "Could not decode" in str(error)
    return isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError)
