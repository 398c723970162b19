"""A worker that lies about paths: the manager's process writes nothing but regular files in its own folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contracts.engine_contract import PATIENCE_S, Driven, attempt
from engine.hostile_worker import Answer, HostileWorker

from shadho_like.engine.workqueue import WorkQueueEngine
from shadho_like.launch import Launch
from shadho_like.paths import ExperimentPaths
from shadho_like.trial import AttemptId

Connect = Callable[[int, Answer], HostileWorker]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return what connects a hostile worker to a port."""
    liars = []

    def connected(port: int, answer: Answer) -> HostileWorker:
        liars.append(HostileWorker(port, answer))
        return liars[-1]

    yield connected
    for liar in liars:
        liar.close()


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    root = tmp_path / "search"
    root.mkdir()
    return Launch("hostile", ExperimentPaths(root), command="true")


def file_at(path: str) -> Answer:
    """Return an answer with a file elsewhere: what follows the name that was asked for is believed to lie beneath it."""
    return lambda name: f"file {name}{path} 4\nevil".encode() + b"end\n"


def tree(folder: Path) -> set[str]:
    """Return every path beneath a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "answer",
    [
        file_at("/../../../../../outside.txt"),
        file_at("/outside.txt"),
        file_at("x/../../../../../outside.txt"),
        lambda name: f"dir {name}/folder 0\nfile {name}/folder/outside.txt 4\nevil".encode() + b"end\n",
        lambda name: f"dir {name} 0\n".encode() + b"end\n",
        lambda name: f"symlink {name} 11\n/etc/passwd".encode() + b"end\n",
        lambda _: b"nonsense\n",
    ],
    ids=["up", "beneath", "beside", "folders", "folder", "link", "nonsense"],
)
def test_nothing_is_written_elsewhere_and_the_search_goes_on(
    bare_engine: WorkQueueEngine, launch: Launch, tmp_path: Path, connect: Connect, answer: Answer
) -> None:
    driven = Driven(bare_engine, launch)
    before = tree(tmp_path)
    liar = connect(bare_engine.port, answer)
    driven.submit(attempt(0))
    assert liar.asked.wait(PATIENCE_S)
    driven.until(lambda: bool(driven.ended() or driven.lost()))
    new = {path for path in tree(tmp_path) - before if "sandboxes/out" not in path and "manager.log" not in path}
    assert not new
    assert not list(tmp_path.rglob("*outside*"))
    assert not [path for path in launch.paths.sandboxes.joinpath("out").rglob("*") if path.is_symlink()]
    bare_engine.close()
    assert not launch.paths.sandboxes.exists()


def test_a_file_larger_than_may_be_is_not_taken(
    bare_engine: WorkQueueEngine, launch: Launch, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadho_like.engine.workqueue_files._LARGEST_OUTPUT", 4096)
    driven = Driven(bare_engine, launch)
    connect(bare_engine.port, lambda name: f"file {name} 100000\n".encode() + b"1" * 100_000 + b"end\n")
    driven.submit(attempt(0))
    driven.until(lambda: bool(driven.lost()))
    assert driven.lost() == [AttemptId(0, 1)]
