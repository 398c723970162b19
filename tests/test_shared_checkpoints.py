"""Checkpoints on a shared file system are one experiment's: copies of its directory name them too, and can do them no harm."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from shadho_like import Shadho, rand
from shadho_like.deletion import delete_experiment
from shadho_like.errors import ExperimentChanged
from shadho_like.journal import JournalReader
from shadho_like.known_experiments import find_experiment

TRAIN = """
import shadho_worker

def train(context):
    for operation in context.searcher.operations():
        with context.checkpoint.save_path() as path:
            open(path + "/state", "w").write("weeks")
        operation.report_completed(context.hparams["x"])

shadho_worker.run(train)
"""


@pytest.fixture(autouse=True)
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run a search whose checkpoints are on a shared file system."""
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(TRAIN)
    search("first")
    return root_of("first")


def search(directory: str, max_tasks: int = 1, storage: str = "shared") -> None:
    place = {"type": "shared_fs", "path": str(Path(storage).absolute())}
    space = {"x": rand.uniform(0, 1)}
    opt = Shadho(
        "python train.py", space, directory=directory, name="first", max_tasks=max_tasks, workers=1, checkpoint_storage=place, seed=1
    )
    opt.add_input_file("train.py")
    opt.run()


def root_of(directory: str) -> Path:
    with JournalReader(Path(directory)) as journal:
        return journal.checkpoint_root


def id_of(directory: str) -> str:
    with JournalReader(Path(directory)) as journal:
        assert journal.id is not None
        return journal.id


def saved(root: Path) -> list[str]:
    return sorted(path.parent.name for path in root.glob("*/*/state"))


@pytest.mark.parametrize("marked", [True, False])
def test_deleting_a_copy_that_was_never_run_leaves_the_first_as_it_is(first: Path, *, marked: bool) -> None:
    if not marked:
        (first / "experiment.json").unlink()
    shutil.copytree("first", "copy")
    assert delete_experiment(Path("copy")) == []
    assert saved(first) == ["0.1.1"]
    assert find_experiment(id_of("first")) == Path("first").absolute()
    assert delete_experiment(Path("first")) == []
    assert not first.exists()
    assert list(Path("home/experiments").iterdir()) == []


@pytest.mark.parametrize(("marked", "known"), [(True, True), (True, False), (False, True)])
def test_a_copy_is_not_run_on_the_checkpoints_of_the_first(first: Path, *, marked: bool, known: bool) -> None:
    if not marked:
        (first / "experiment.json").unlink()
    if not known:
        shutil.rmtree("home")
    shutil.copytree("first", "copy")
    for _ in range(2):
        with pytest.raises(ExperimentChanged) as caught:
            search("copy", max_tasks=2)
        message = str(caught.value)
        assert message.startswith(f"{Path('copy').absolute()} is a copy of experiment {id_of('first')} (first) in {Path('first').absolute()} on ")
        assert f", whose checkpoints are in {first}: copy that folder into another, and give that as the path of checkpoint_storage" in message
    search("first", max_tasks=2)
    assert saved(first) == ["0.1.1", "1.1.1"]


def test_a_copy_goes_on_with_copies_of_the_checkpoints(first: Path) -> None:
    shutil.copytree("first", "copy")
    shutil.copytree("shared", "others")
    search("copy", max_tasks=2, storage="others")
    assert (id_of("copy") != id_of("first"), root_of("copy").parent) == (True, Path("others").absolute())
    assert json.loads((root_of("copy") / "experiment.json").read_text())["id"] == id_of("copy")
    assert delete_experiment(Path("copy")) == []
    assert list(Path("others").iterdir()) == []
    assert saved(first) == ["0.1.1"]


def test_copies_that_ran_before_there_was_a_mark_cannot_delete_each_others_checkpoints(first: Path) -> None:
    shutil.copytree("first", "copy")
    shutil.copytree("shared", "others")
    search("copy", max_tasks=2, storage="others")
    db = sqlite3.connect("copy/journal.sqlite")
    with db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'checkpoint_root'", (str(first),))
    db.close()
    (first / "experiment.json").unlink()
    delete_experiment(Path("copy"))
    assert saved(first) == ["0.1.1"]


def test_a_directory_that_was_moved_keeps_its_checkpoints(first: Path) -> None:
    Path("first").rename("moved")
    search("moved", max_tasks=2)
    assert saved(first) == ["0.1.1", "1.1.1"]
    assert delete_experiment(Path("moved")) == []
    assert not first.exists()


def test_an_experiment_that_began_without_a_mark_goes_on(first: Path) -> None:
    (first / "experiment.json").unlink()
    search("first", max_tasks=2)
    assert json.loads((first / "experiment.json").read_text())["id"] == id_of("first")
    assert saved(first) == ["0.1.1", "1.1.1"]
