"""The journal keeps what it was given, tells damage from truth, and lets one driver write."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import World, new_state

from shadho_like.errors import ExperimentInUse, JournalError, MethodError
from shadho_like.experiment import Experiment
from shadho_like.filesystem import is_local
from shadho_like.journal import FORMAT, Journal, JournalReader, dump_operations
from shadho_like.paths import ExperimentPaths
from shadho_like.trial import AttemptId, Failure, FailureKind

CONFIG = {"name": "e", "seed": 7, "smaller_is_better": True, "metric": "loss"}


def journal_in(root: Path) -> Journal:
    return Journal(ExperimentPaths(root), CONFIG)


def write_three(root: Path) -> World:
    world = World(new_state())
    world.start(max_trials=3)
    world.finish(AttemptId(0, 1))
    world.finish(AttemptId(1, 1), Failure(FailureKind.SIGNAL, "killed by SIGSEGV", "tail"))
    journal = journal_in(root)
    journal.append(world.turns)
    journal.close()
    return world


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_is_appended_is_read_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("journal")
    world = World(new_state())
    world.start(max_trials=8, max_restarts=1)
    with closing(journal_in(root)) as journal:
        journal.append(world.turns)
        while world.wanted and len(world.turns) < 30:
            done = len(world.turns)
            world.act(data)
            journal.append(world.turns[done:])
        records = list(journal.records(0))
        assert [record.number for record in records] == [turn.number for turn in world.turns]
        assert [record.operations for record in records] == [dump_operations(turn) for turn in world.turns]
        with JournalReader(root) as reader:
            assert list(reader.trials()) == [replace(world.trials[number], asked=0, given_up=None) for number in sorted(world.trials)]
            assert sum(reader.counts().values()) == len(world.trials)


def test_a_person_can_query_the_tables(tmp_path: Path) -> None:
    write_three(tmp_path)
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        trials = db.execute("SELECT number, state, metric FROM trials").fetchall()
        attempts = db.execute("SELECT trial, state, failure_message FROM attempts").fetchall()
        metrics = db.execute("SELECT trial, name, value FROM metrics ORDER BY name").fetchall()
    assert trials == [(0, "COMPLETED", 0.0), (1, "FAILED", None), (2, "PENDING", None)]
    assert attempts == [(0, "COMPLETED", None), (1, "FAILED", "killed by SIGSEGV")]
    assert metrics == [(0, "extra", 1.0), (0, "loss", 0.0)]


def test_a_closed_journal_is_one_plain_file_that_readers_need_not_write(tmp_path: Path) -> None:
    write_three(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["driver.lock", "journal.sqlite"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are seen in /proc")
def test_a_reader_that_refuses_leaves_the_file_closed(tmp_path: Path) -> None:
    """So does one that comes while a driver makes the journal, before there is anything in it."""
    journal = ExperimentPaths(tmp_path).journal
    journal.touch()
    with pytest.raises(JournalError, match="is not an experiment's journal") as refusal:
        JournalReader(tmp_path)
    opened = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert str(journal) not in opened, refusal.traceback


def test_a_flipped_byte_is_found_and_named(tmp_path: Path) -> None:
    write_three(tmp_path)
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("UPDATE turns SET event = replace(event, 'node', 'mode') WHERE number = 2")
    db.commit()
    db.close()
    journal = journal_in(tmp_path)
    with pytest.raises(JournalError, match="journal.sqlite is damaged at turn 2; restore it from a copy"):
        list(journal.records(0))
    journal.close()


def test_a_missing_turn_is_found(tmp_path: Path) -> None:
    write_three(tmp_path)
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("DELETE FROM turns WHERE number = 2")
    db.commit()
    db.close()
    journal = journal_in(tmp_path)
    with pytest.raises(JournalError, match="damaged at turn 2"):
        list(journal.records(0))
    journal.close()


def test_a_damaged_snapshot_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.save_snapshot(1, {"turn": 1})
    journal.save_snapshot(2, {"turn": 2})
    journal.save_snapshot(3, {"turn": 3})
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("UPDATE snapshots SET state = '{}' WHERE turn = 3")
    db.commit()
    db.close()
    snapshot = journal.snapshot()
    assert snapshot is not None
    assert snapshot[0] == {"turn": 2}
    journal.close()


def test_an_experiment_is_taken_up_where_the_journal_ends(tmp_path: Path) -> None:
    world = write_three(tmp_path)
    journal = journal_in(tmp_path)
    experiment = Experiment(journal, new_state().method)
    assert experiment.state.snapshot() == world.state.snapshot()
    journal.close()


def test_a_method_that_plays_back_differently_is_refused(tmp_path: Path) -> None:
    write_three(tmp_path)
    journal = journal_in(tmp_path)
    with pytest.raises(MethodError, match="RandomSearch asks for other trials at turn 1 than the journal holds"):
        Experiment(journal, new_state(concurrent=4).method)
    journal.close()


def test_a_second_driver_is_told_who_the_first_is(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    script = (
        "import sys; from pathlib import Path; from shadho_like.journal import Journal; from shadho_like.paths import ExperimentPaths\n"
        "Journal(ExperimentPaths(Path(sys.argv[1])), {})"
    )
    second = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert f"{tmp_path} is in use by process {os.getpid()} on " in second.stderr
    with pytest.raises(ExperimentInUse):
        journal_in(tmp_path)
    journal.close()
    journal_in(tmp_path).close()


def test_readers_read_while_a_driver_writes_and_see_who_it_is(tmp_path: Path) -> None:
    world = World(new_state())
    world.start(max_trials=3)
    journal = journal_in(tmp_path)
    journal.append(world.turns)
    with JournalReader(tmp_path) as reader:
        assert reader.counts() == {"PENDING": 3}
        driver = reader.driver()
        assert driver is not None
        assert driver["pid"] == os.getpid()
        world.finish(AttemptId(0, 1))
        journal.append(world.turns[1:])
        assert reader.counts() == {"COMPLETED": 1, "PENDING": 2}
    journal.close()
    with JournalReader(tmp_path) as reader:
        assert reader.driver() is None


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    write_three(tmp_path)
    path = tmp_path / "journal.sqlite"
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    db.close()
    before = path.read_bytes()
    for make in (journal_in, JournalReader):
        with pytest.raises(JournalError, match="was written by a newer version of this package"):
            make(tmp_path)
    assert path.read_bytes() == before


def test_a_folder_without_an_experiment_says_so(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=f"there is no experiment in {tmp_path}: it has no journal.sqlite"):
        JournalReader(tmp_path)
    (tmp_path / "journal.sqlite").write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(JournalError, match="file is not a database"):
        JournalReader(tmp_path)


@pytest.mark.parametrize("damaged", [True, False])
def test_whatever_is_asked_of_a_journal_that_cannot_be_read_says_so(tmp_path: Path, damaged: bool) -> None:
    """Damaged behind its first pages, or locked by somebody who does not let go."""
    write_three(tmp_path)
    path = tmp_path / "journal.sqlite"
    with JournalReader(tmp_path) as reader:
        asked: list[Callable[[], object]] = [
            *(lambda: reader.trial(0), lambda: list(reader.records()), lambda: reader.attempts(0), lambda: reader.checkpoint_root),
            *(reader.checkpoints, lambda: reader.may_start_from("0/1/1"), reader.counts, lambda: list(reader.trials())),
        ]
        reader._db.execute("PRAGMA cache_size = 0")
        if damaged:
            with path.open("r+b") as file:
                file.seek(4096)
                file.write(b"\xff" * (path.stat().st_size - 4096))
        reader._db.execute("PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            if not damaged:
                db.execute("BEGIN EXCLUSIVE")
            for ask in asked:
                with pytest.raises(JournalError, match="is damaged" if damaged else "is locked"):
                    ask()


def test_a_write_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    world = write_three(tmp_path)
    journal = journal_in(tmp_path)
    with pytest.raises(JournalError, match="UNIQUE constraint failed"):
        journal.append(world.turns[-1:])
    assert len(list(journal.records(0))) == len(world.turns)
    journal.close()


@pytest.mark.parametrize(
    ("mounts", "path", "local"),
    [
        ("1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /home rw - nfs4 srv:/home rw", "/home/u/x", False),
        ("1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /home rw - nfs4 srv:/home rw", "/homely/x", True),
        ("1 0 8:1 / / rw - lustre x rw", "/scratch", False),
    ],
)
def test_network_file_systems_are_told_from_local_ones(tmp_path: Path, mounts: str, path: str, *, local: bool) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(mounts)
    assert is_local(Path(path), table) is local
    assert not is_local(Path(path), tmp_path / "missing")


def test_the_configuration_is_the_first_ones(tmp_path: Path) -> None:
    journal_in(tmp_path).close()
    journal = Journal(ExperimentPaths(tmp_path), {"name": "other", "metric": "m"})
    assert journal.config == json.loads(json.dumps(CONFIG))
    assert not journal.new
    journal.close()
