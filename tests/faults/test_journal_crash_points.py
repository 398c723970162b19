"""A journal cut at every write that SQLite makes, before, after and torn, by a kill and by lost power; and a flipped byte in each record."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import promises
import pytest
from ledger import Ledger
from recorder import Cut, Recorder, cuts

from shadho_like import rand, searcher
from shadho_like.control import RunOptions
from shadho_like.engine.base import Launch
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.errors import JournalError
from shadho_like.experiment import Experiment
from shadho_like.journal import Journal, MethodRow, schema
from shadho_like.paths import ExperimentPaths
from shadho_like.searcher.base import BuiltInMethod
from shadho_like.turn import Turn

CONFIG = {"name": "cut", "seed": 3, "smaller_is_better": True, "metric": "loss"}
Row = tuple[Any, ...]


class RecordedJournal(Journal):
    """A journal that says when it has confirmed a turn."""

    def __init__(self, paths: ExperimentPaths, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__(paths, CONFIG)

    def append(self, turns: Sequence[Turn], method: Sequence[MethodRow] = (), run_times: Sequence[Any] = ()) -> None:
        super().append(turns, method, run_times)
        self._recorder.done(turns[-1].number)


def fresh() -> BuiltInMethod:
    made: BuiltInMethod = searcher.create(
        "async_halving", {"x": rand.uniform(0, 1)}, seed=3, max_length=4, max_trials=10, num_rungs=2, max_concurrent_trials=1
    )
    return made


def go_on(journal: Journal) -> None:
    """Run the search to its end."""
    root = journal._path.parent
    world = World(lambda _, length: float(length), lambda hparams, length: float(hparams["x"]) / length, workers=1)
    try:
        for _ in Experiment(journal, fresh()).run(SimulatedEngine(world), Launch("cut", ExperimentPaths(root)), RunOptions()):
            pass
    finally:
        journal.close()


def turns_of(root: Path) -> list[Row]:
    """Return the turns that a journal holds, without the runs' own marks."""
    with closing(sqlite3.connect(ExperimentPaths(root).journal)) as db:
        return [(number, event, operations) for number, event, operations, _ in db.execute("SELECT * FROM turns ORDER BY number")]


def check(cut: Cut, root: Path, turns: list[Row], expected: promises.Told, *, to_the_end: bool) -> None:
    """Open what a cut left: whatever had been confirmed is there, nothing else than what was going to be, and the search goes on."""
    root.mkdir()
    cut.files.put(root)
    journal = Journal(ExperimentPaths(root), CONFIG)
    try:
        Experiment(journal, fresh())
    finally:
        journal.close()
    found = turns_of(root)
    promises.keep([f"{cut.name}: {cut.done} turns were confirmed, {len(found)} are there"] if len(found) < cut.done else [])
    promises.keep([f"{cut.name}: other turns are there than were written"] if found != turns[: len(found)] else [])
    promises.legal(root, fresh)
    if to_the_end:
        go_on(Journal(ExperimentPaths(root), CONFIG))
        promises.legal(root, fresh)
        promises.same_search(root, expected)
    promises.nothing_left(root)
    shutil.rmtree(root)


@pytest.fixture(autouse=True)
def frequent_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadho_like.experiment._TURNS_BETWEEN_SNAPSHOTS", 7)
    monkeypatch.setattr("shadho_like.experiment._CHARACTERS_PER_TURN", 10**9)


@pytest.mark.parametrize("local", [True, False], ids=["wal", "rollback"])
def test_cut_at_any_write_it_holds_all_that_was_confirmed(
    local: bool, ledger: Ledger, quick_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadho_like.journal.writer.is_local", lambda _: local)
    recorder = Recorder()
    whole = quick_folder / "whole"
    with recorder.recording():
        go_on(RecordedJournal(ExperimentPaths(whole), recorder))
    turns, expected = turns_of(whole), promises.told(whole)
    assert {step.kind for step in recorder.steps} >= {"write", "sync", "done"}
    for number, cut in enumerate(cuts(recorder.steps, random.Random(ledger.seed))):
        ledger.fault("crash points")
        check(cut, quick_folder / "cut", turns, expected, to_the_end=number % 10 == 0)


def test_a_journal_that_does_not_sync_is_found_out(ledger: Ledger, quick_folder: Path) -> None:
    recorder, whole = Recorder(), quick_folder / "whole"
    with recorder.recording():
        journal = RecordedJournal(ExperimentPaths(whole), recorder)
        journal._db.execute("PRAGMA synchronous = NORMAL")
        go_on(journal)
    turns = turns_of(whole)

    def check_all() -> None:
        for cut in cuts(recorder.steps, random.Random(ledger.seed)):
            check(cut, quick_folder / "cut", turns, {}, to_the_end=False)

    with pytest.raises(promises.Broken, match=r"power lost .* were confirmed"):
        check_all()


@pytest.fixture
def whole(quick_folder: Path) -> Path:
    """A finished search with snapshots on the way."""
    root = quick_folder / "whole"
    go_on(Journal(ExperimentPaths(root), CONFIG))
    return root


def flipped(whole: Path, root: Path, text: bytes, at: int) -> None:
    """Copy a search, with one bit of a stored text another."""
    shutil.copytree(whole, root)
    path = ExperimentPaths(root).journal
    data = bytearray(path.read_bytes())
    where = data.index(text) + at
    data[where] ^= 1
    path.write_bytes(data)


def open_again(root: Path) -> str:
    journal = Journal(ExperimentPaths(root), CONFIG)
    try:
        return schema.dump(Experiment(journal, fresh()).state.snapshot())
    finally:
        journal.close()


def test_a_flipped_byte_in_a_turn_is_found_and_said(whole: Path, ledger: Ledger, quick_folder: Path) -> None:
    with closing(sqlite3.connect(ExperimentPaths(whole).journal)) as db:
        db.execute("DELETE FROM snapshots")
        db.commit()
    generator = random.Random(ledger.seed)
    for number, event, operations in turns_of(whole):
        for text in (event, operations) if operations != "[]" else (event,):
            ledger.fault("crash points")
            # Where a text crosses a page, only its beginning lies in one piece.
            flipped(whole, quick_folder / "flipped", text.encode()[:40], generator.randrange(min(40, len(text))))
            with pytest.raises(JournalError, match="journal.sqlite is damaged at turn ") as raised:
                open_again(quick_folder / "flipped")
            assert f"at turn {number}" in str(raised.value) or turns_of(whole)[number - 1][2] == operations
            shutil.rmtree(quick_folder / "flipped")


def test_a_flipped_byte_in_a_snapshot_costs_only_time(whole: Path, ledger: Ledger, quick_folder: Path) -> None:
    sound = open_again(whole)
    with closing(sqlite3.connect(ExperimentPaths(whole).journal)) as db:
        snapshots = [text for (text,) in db.execute("SELECT state FROM snapshots")]
    assert len(snapshots) == 2
    for damaged in ([snapshots[0]], [snapshots[1]], snapshots):
        ledger.fault("crash points", len(damaged))
        root = quick_folder / "flipped"
        shutil.copytree(whole, root)
        with closing(sqlite3.connect(ExperimentPaths(root).journal)) as db:
            for text in damaged:
                db.execute("UPDATE snapshots SET state = ? WHERE state = ?", (text.replace('"turn":', '"turm":'), text))
            db.commit()
        assert open_again(root) == sound
        shutil.rmtree(root)


def test_a_flipped_bit_anywhere_in_the_file_is_no_surprise(whole: Path, ledger: Ledger, quick_folder: Path) -> None:
    with closing(sqlite3.connect(ExperimentPaths(whole).journal)) as db:
        db.execute("DELETE FROM snapshots")
        db.commit()
        db.execute("VACUUM")
    sound = open_again(whole)
    data = ExperimentPaths(whole).journal.read_bytes()
    generator = random.Random(ledger.seed)
    for page in range(0, len(data), 4096):
        for at in (*range(page, page + 16), *(page + generator.randrange(4096) for _ in range(48))):
            ledger.fault("crash points")
            root = quick_folder / "flipped"
            root.mkdir()
            damaged = bytearray(data)
            damaged[at] ^= 1 << generator.randrange(8)
            ExperimentPaths(root).journal.write_bytes(damaged)
            # Refused, as damaged, or no different.
            with suppress(JournalError):
                assert open_again(root) == sound
            shutil.rmtree(root)
