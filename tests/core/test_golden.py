"""Journals of old versions load, carry on and finish, for ever; a copy of each stays as it was."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from shadho_like.errors import JournalError
from shadho_like.journal import FORMAT, Journal, JournalReader, migration
from shadho_like.paths import ExperimentPaths
from shadho_like.result import Result

GOLDEN = Path(__file__).parent.parent / "golden"
OLD = [path for path in sorted(GOLDEN.glob("format-*/*")) if path.is_dir()]


def version(path: Path) -> int:
    db = sqlite3.connect(path)
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


@pytest.fixture(params=OLD, ids=lambda path: f"{path.parent.name}-{path.name}")
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(request.param, tmp_path / "experiment"))


def done(directory: Path) -> list[tuple[object, ...]]:
    with JournalReader(directory) as journal:
        over = [trial for trial in journal.trials() if trial.state.final]
        return [(trial.number, trial.state, trial.metric, trial.hparams, trial.attempt, trial.finished_s) for trial in over]


def test_every_old_format_has_its_journals() -> None:
    assert {path.parent.name for path in OLD} == {f"format-{number}" for number in range(1, FORMAT)}
    assert {path.name for path in OLD} == {"finished", "unfinished"}


def test_it_is_read_without_being_changed(old: Path) -> None:
    before = (old / "journal.sqlite").read_bytes()
    with JournalReader(old) as journal:
        assert sum(journal.counts().values()) == 20
        assert journal.checkpoints() == []
    assert (old / "journal.sqlite").read_bytes() == before


def test_it_carries_on_and_finishes(old: Path) -> None:
    """Nothing that was over is touched."""
    before, number = done(old), version(old / "journal.sqlite")
    for name in ("driver.py", "task.sh"):
        shutil.copy(GOLDEN / name, old.parent / name)
    ran = subprocess.run([sys.executable, "driver.py", str(old)], cwd=old.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert Result(old).counts == {"COMPLETED": 19, "FAILED": 1}
    assert done(old)[: len(before)] == before or set(map(repr, before)) <= set(map(repr, done(old)))
    assert version(old / "journal.sqlite") == FORMAT
    copy = old / f"journal.sqlite.format-{number}"
    assert version(copy) == number
    shutil.copy(copy, old.parent / "journal.sqlite")
    assert done(old.parent) == before


def test_a_migration_that_is_cut_leaves_it_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = done(old)

    def cut(db: sqlite3.Connection) -> None:
        migration._from_1(db)
        message = "disk I/O error"
        raise sqlite3.OperationalError(message)

    with monkeypatch.context() as patched:
        patched.setattr(migration, "_STEPS", {1: cut})
        with pytest.raises(JournalError, match="disk I/O error"):
            Journal(ExperimentPaths(old), {})
    assert version(old / "journal.sqlite") == 1
    assert done(old) == before
    journal = Journal(ExperimentPaths(old), {})
    assert not journal.new
    journal.close()
    assert version(old / "journal.sqlite") == FORMAT
    assert done(old) == before
