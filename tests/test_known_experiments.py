"""Experiments found by their ids: what a driver leaves in the user's folder, and what is said of an id that means nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shadho_like import Shadho, rand
from shadho_like.errors import OptionError
from shadho_like.experiment import Step
from shadho_like.journal import JournalReader
from shadho_like.known_experiments import KnownExperiment, Whereabouts, find_experiment, find_known, known_experiments


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def search(directory: Path, max_tasks: int = 1) -> str:
    """Run a search, and return its id."""
    Shadho(lambda params: params["x"], {"x": rand.uniform(0, 1)}, directory=directory, name="small", max_tasks=max_tasks, workers=0).run()
    with JournalReader(directory) as journal:
        assert journal.id is not None
        return journal.id


def refused(reference: str | Path) -> str:
    with pytest.raises(OptionError) as caught:
        find_experiment(reference)
    return str(caught.value)


def test_a_search_is_found_by_its_directory_its_id_and_the_ids_beginning(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "search"
    found = search(directory)
    assert re.fullmatch("[a-z][a-z2-9]{7}", found)
    assert find_experiment(directory) == directory
    assert find_experiment("deep/search") == Path("deep/search")
    assert find_experiment(found) == find_experiment(found[:1]) == directory
    (known,) = known_experiments()
    assert (known.id, known.name, known.directory) == (found, "small", directory)
    assert known.whereabouts() is Whereabouts.HERE
    assert find_known(found[:3]) == known


def test_the_id_stays(tmp_path: Path) -> None:
    before_s = time.time()
    first = search(tmp_path / "search")
    after_s = time.time()
    for _ in range(2):
        (known,) = known_experiments()
        assert (known.id, before_s <= known.began_s <= after_s) == (first, True)
        assert search(tmp_path / "search", max_tasks=3) == first


def test_a_search_that_was_moved_is_found_once_it_has_gone_on(tmp_path: Path) -> None:
    found = search(tmp_path / "search")
    (tmp_path / "search").rename(tmp_path / "moved")
    known = known_experiments()[0]
    assert known.whereabouts() is Whereabouts.GONE
    said = f"experiment {found} (small) is not in {tmp_path}/search any more: shadho experiment list --prune forgets it"
    assert refused(found[:4]) == said
    assert search(tmp_path / "moved", max_tasks=2) == found
    assert find_experiment(found) == tmp_path / "moved"


def test_to_look_at_an_experiment_takes_no_lock_from_its_driver(tmp_path: Path) -> None:
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('PRAGMA journal_mode = DELETE')"
    opt = Shadho(float, {"x": rand.uniform(0, 1)}, name="known", directory=tmp_path / "a", workers=0, max_tasks=3)
    said: list[str] = []

    def look(step: Step) -> None:
        del step
        assert find_experiment(opt.directory) == opt.directory
        assert [known.whereabouts() for known in known_experiments()] == [Whereabouts.HERE]
        taken = subprocess.run([sys.executable, "-c", code, opt.directory / "journal.sqlite"], capture_output=True, text=True)
        said.append(taken.stderr.strip().rpartition("\n")[2])

    opt.listeners.append(look)
    opt.run()
    assert set(said) == {"sqlite3.OperationalError: database is locked"}


def test_a_copy_is_an_experiment_of_its_own(tmp_path: Path) -> None:
    first = search(tmp_path / "search")
    shutil.copytree(tmp_path / "search", tmp_path / "copy")
    second = search(tmp_path / "copy", max_tasks=2)
    assert second != first
    assert (find_experiment(first), find_experiment(second)) == (tmp_path / "search", tmp_path / "copy")


def test_a_copy_is_one_also_while_what_it_was_copied_from_cannot_be_read(tmp_path: Path) -> None:
    first = search(tmp_path / "search")
    shutil.copytree(tmp_path / "search", tmp_path / "copy")
    journal = tmp_path / "search/journal.sqlite"
    whole = journal.read_bytes()
    journal.write_bytes(b"unreadable" * 1000)
    second = search(tmp_path / "copy", max_tasks=2)
    journal.write_bytes(whole)
    assert second != first
    assert (find_experiment(first), find_experiment(second)) == (tmp_path / "search", tmp_path / "copy")


def test_another_experiment_in_the_same_place_is_not_taken_for_the_first(tmp_path: Path) -> None:
    first = search(tmp_path / "search")
    shutil.rmtree(tmp_path / "search")
    second = search(tmp_path / "search")
    assert {known.id: known.whereabouts() for known in known_experiments()} == {first: Whereabouts.GONE, second: Whereabouts.HERE}


def test_what_was_begun_elsewhere_is_not_said_to_be_gone(home: Path) -> None:
    home.joinpath("experiments").mkdir(parents=True)
    value = {"id": "abcdefgh", "name": "far", "directory": "/scratch/far", "host": "another-machine", "began_s": 1.0}
    home.joinpath("experiments/abcdefgh.json").write_text(json.dumps(value))
    assert known_experiments() == [KnownExperiment("abcdefgh", "far", Path("/scratch/far"), "another-machine", 1.0)]
    assert known_experiments()[0].whereabouts() is Whereabouts.ELSEWHERE
    assert refused("abc") == "experiment abcdefgh (far) is not in /scratch/far any more: it was begun on another-machine"


def test_an_id_that_means_nothing_or_too_much(tmp_path: Path) -> None:
    assert refused("abc") == (
        "there is no experiment 'abc', neither a directory nor the beginning of an id: no experiment is known by an id yet"
    )
    found = search(tmp_path / "one")
    wrong = found[:-1] + ("a" if found[-1] != "a" else "b")
    start = f"there is no experiment {wrong!r}, neither a directory nor the beginning of an id: the nearest are "
    assert refused(wrong) == f"{start}{found} (small); see shadho experiment list"
    assert f"the nearest are {found} (small)" in refused("small")
    path = tmp_path / "home/experiments" / f"{found}.json"
    other = found[:4] + ("zzzz" if found[4:] != "zzzz" else "yyyy")
    path.with_name(f"{other}.json").write_text(json.dumps({**json.loads(path.read_text()), "id": other}))
    assert refused(found[:4]).startswith(f"{found[:4]!r} is the beginning of several ids: ")
    assert find_experiment(found) == tmp_path / "one"
    assert "not by an empty word" in refused("")


def test_places_that_are_no_experiments(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere") == f"there is no experiment in {tmp_path}/nowhere: it has no journal.sqlite"
    (tmp_path / "file").write_text("")
    assert refused("file") == "file is a file, and an experiment is a directory"
    search(tmp_path / "search")
    assert refused(tmp_path / "search/journal.sqlite").endswith(f"an experiment is a directory: give its directory, {tmp_path}/search")
    (tmp_path / "empty").mkdir()
    assert refused("empty") == refused(Path("empty")) == "there is no experiment in empty: it has no journal.sqlite"
    assert refused("x" * 5000).endswith("File name too long")
    assert "neither a directory" in refused("a\0b")


def test_a_directory_that_may_not_be_read(tmp_path: Path) -> None:
    search(tmp_path / "search")
    (tmp_path / "search").chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        assert refused(tmp_path / "search") == f"the experiment in {tmp_path}/search cannot be read: Permission denied"
    finally:
        if root:
            os.seteuid(0)
        (tmp_path / "search").chmod(0o700)


def test_a_folder_that_cannot_be_written_is_a_notice(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.write_text("no folder")
    search(tmp_path / "search")
    said = capsys.readouterr().out
    assert f"shadho experiment list does not show this experiment: {home}/experiments cannot be written (Not a directory)\n" in said


def test_files_that_make_no_sense_are_passed_over(home: Path, tmp_path: Path) -> None:
    found = search(tmp_path / "search")
    for name, text in {"a": "", "b": "[]", "c": '{"id": "d"}', "d": "[" * 100_000, "e": "\xff"}.items():
        (home / "experiments" / f"{name}.json").write_bytes(text.encode("latin-1"))
    (home / "experiments" / "f.json").mkdir()
    assert [known.id for known in known_experiments()] == [found]
