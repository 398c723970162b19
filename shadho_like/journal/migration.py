"""Brings a journal of an older format to this version's, after a copy of it was made beside it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from shadho_like.journal import reported

DRAWS = "draws"
"""Under this name `meta` has the format whose way to draw points the experiment began with, where that is not this one's."""


def copy_path(path: Path, version: int) -> Path:
    """Return where the copy of a journal of an older format is kept."""
    return path.with_name(f"{path.name}.format-{version}")


def migrate(db: sqlite3.Connection, path: Path, version: int, newest: int) -> None:
    """Bring a journal from one format to the newest, all of the way or not at all.

    Raises:
        sqlite3.Error, OSError: it cannot be copied or changed, and is as it was.
    """
    _copy(db, copy_path(path, version))
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version, newest):
            _STEPS[step](db)
        db.execute(f"PRAGMA user_version = {newest}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _copy(db: sqlite3.Connection, target: Path) -> None:
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(partial)) as copy:
        db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    for opened in (partial, partial.parent):
        descriptor = os.open(opened, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if opened == partial:
            partial.replace(target)


def _from_1(db: sqlite3.Connection) -> None:
    """Attempts report while they run since format 2: metrics are of a kind, and checkpoints are known. Points are drawn in another way."""
    db.execute("ALTER TABLE metrics RENAME TO metrics_1")
    for statement in reported.SCHEMA.split(";"):
        db.execute(statement)
    db.execute("INSERT INTO metrics SELECT trial, 'result', length, name, value, attempt, 0, time_s FROM metrics_1")
    db.execute("DROP TABLE metrics_1")
    db.execute("INSERT INTO meta VALUES (?, '1')", (DRAWS,))


_STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _from_1}
