"""What is followed turn by turn is what a reader finds who reads all of it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from played_experiments import SPACE, empty, play

from shadho_like import searcher
from shadho_like.errors import JournalError
from shadho_like.events import event_from_json
from shadho_like.following import Following
from shadho_like.journal import Journal, JournalReader
from shadho_like.paths import ExperimentPaths
from shadho_like.space import Space
from shadho_like.state import ExperimentState
from shadho_like.trial import TrialState

GOLDEN = Path(__file__).parent.parent / "golden"


def same(one: Following, other: Following) -> bool:
    return (one.turn, one.phase, one.seen) == (other.turn, other.phase, other.seen)


def later(directory: Path) -> bytes:
    """Play an experiment to its end; return its journal."""
    return ExperimentPaths(play(directory, 40).directory).journal.read_bytes()


def test_refreshed_after_each_run_it_is_as_if_read_anew(tmp_path: Path) -> None:
    directory = empty(tmp_path / "digits")
    shutil.rmtree(directory)
    play(directory, 40, timeout=300.0)
    followed = Following(directory)
    for timeout in (300.0, 900.0, 1500.0, None):
        play(directory, 40, timeout=timeout)
        changed = followed.refresh()
        assert changed == sorted(set(changed))
        assert same(followed, Following(directory))
        assert followed.refresh() == []
    assert followed.phase.over


@pytest.mark.parametrize("crash", [0.02, 1.0])
def test_each_turn_on_its_own(tmp_path: Path, crash: float) -> None:
    source = play(tmp_path / "source", 25, crash=crash).directory
    with JournalReader(source) as reader:
        config, records = reader.config, list(reader.records())
    method = searcher.create(config["method"]["name"], Space(SPACE), seed=config["seed"], **config["method"]["keys"])
    state = ExperimentState(method, experiment=config["name"], seed=config["seed"], smaller_is_better=True)
    journal = Journal(ExperimentPaths(tmp_path / "copy"), config)
    followed = Following(tmp_path / "copy")
    try:
        for record in records:
            ran = {seen.trial.number for seen in followed.seen if seen.trial.state is TrialState.RUNNING}
            turn = state.handle(event_from_json(json.loads(record.event)))
            journal.append([turn])
            changed = {trial.number for trial in turn.trials}
            assert changed <= set(followed.refresh()) <= {*changed, *ran}
            assert same(followed, Following(tmp_path / "copy"))
    finally:
        journal.close()


def test_a_journal_that_begins_again(tmp_path: Path) -> None:
    followed = Following(play(tmp_path / "digits", 20).directory)
    shutil.rmtree(tmp_path / "digits")
    with pytest.raises(JournalError, match="there is no experiment"):
        followed.refresh()
    play(tmp_path / "digits", 10)
    followed.refresh()
    assert same(followed, Following(tmp_path / "digits"))


def test_a_journal_that_lacks_a_trial(tmp_path: Path) -> None:
    directory = play(tmp_path / "digits", 20).directory
    with closing(sqlite3.connect(directory / "journal.sqlite", isolation_level=None)) as db:
        db.execute("DELETE FROM trials WHERE number = 7")
    with pytest.raises(JournalError, match="lacks trial 7, and has trial 8"):
        Following(directory)


@pytest.mark.parametrize("table", ["metrics", "trials", "turns"])
def test_what_was_known_stays_when_a_journal_cannot_be_read(table: str, tmp_path: Path) -> None:
    followed = Following(play(tmp_path / "digits", 40, timeout=300.0).directory)
    known = (followed.config, followed.turn, followed.phase, list(followed.seen))
    path = ExperimentPaths(tmp_path / "digits").journal
    # Of the same experiment, which went on, only what is new is read; of another, all.
    for whole in (later(tmp_path / "digits"), later(tmp_path / "source")):
        path.write_bytes(whole)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"ALTER TABLE {table} RENAME TO lost")
        with pytest.raises(JournalError, match=f"no such table: {table}"):
            followed.refresh()
        assert (followed.config, followed.turn, followed.phase, followed.seen) == known
    path.write_bytes(whole)
    followed.refresh()
    assert same(followed, Following(tmp_path / "digits"))


@pytest.mark.parametrize("kind", ["finished", "unfinished"])
def test_a_journal_of_the_first_format(kind: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "format-1" / kind, tmp_path / kind)
    followed = Following(tmp_path / kind)
    with JournalReader(tmp_path / kind) as reader:
        assert [seen.trial for seen in followed.seen] == list(reader.trials())
    assert any(seen.results for seen in followed.seen)
