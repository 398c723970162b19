"""Workers that lie in every line that they may say: nothing is written outside the manager's folder, and the search goes on."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import promises
import pytest
from contracts.engine_contract import PATIENCE_S, Driven, attempt
from engine.hostile_worker import GREETING, RESULT, Answer, HostileWorker
from ledger import Ledger

from shadho_like.engine.workqueue import WorkQueueEngine, WorkQueueOptions
from shadho_like.events import AttemptFinished
from shadho_like.launch import Launch
from shadho_like.paths import ExperimentPaths
from shadho_like.trial import Success

_LARGEST = 64 * 1024
_MUCH = b"\0" * (1 << 20)


@dataclass(frozen=True)
class Lie:
    """What a hostile worker says.

    Attributes:
        answer, greeting, result: see `HostileWorker`.
        takes_work: whether the manager gives it a task at all.
        hangs_up: whether it goes away after the lie; one that waits in the middle of a line keeps the manager for a minute.
    """

    answer: Answer = lambda _: b"end\n"
    greeting: bytes = GREETING
    result: str = RESULT
    takes_work: bool = True
    hangs_up: bool = False


def named(text: str, data: bytes = b"evil") -> Lie:
    """Return a file elsewhere: what follows the name that was asked for."""
    return Lie(lambda name: f"file {name}{text} {len(data)}\n".encode("utf-8", "surrogateescape") + data + b"end\n")


def instead(text: str, data: bytes = b"evil") -> Lie:
    """Return a file of another name than was asked for."""
    return Lie(lambda _: f"file {text} {len(data)}\n".encode("utf-8", "surrogateescape") + data + b"end\n")


def raw(data: bytes) -> Lie:
    """Return bytes in the place of an answer."""
    return Lie(lambda _: data)


def said(result: str) -> Lie:
    """Return a lie about the task's end."""
    return Lie(result=result, hangs_up=True)


def greeted(old: bytes, new: bytes, *, takes_work: bool = True) -> Lie:
    """Return a lie about the worker itself."""
    return Lie(lambda name: f"file {name} 4\nevil".encode() + b"end\n", GREETING.replace(old, new), takes_work=takes_work)


LIES: Mapping[str, Callable[[random.Random], Lie]] = {
    "up": lambda r: named("/.." * r.randint(1, 20) + "/outside.txt"),
    "beside": lambda r: named("x" + "/.." * r.randint(1, 20) + "/outside.txt"),
    "beneath": lambda _: named("/outside.txt"),
    "absolute": lambda r: instead(f"/tmp/outside{r.randrange(10**9)}.txt"),
    "another name": lambda _: instead("outside.txt"),
    "another name, up": lambda r: instead("../" * r.randint(1, 20) + "outside.txt"),
    "the journal": lambda _: instead("../../journal.sqlite"),
    "the objective": lambda _: instead("../../objective.pkl"),
    "the manager": lambda _: instead("workqueue_manager.py"),
    "a blank name": lambda _: instead("outside file.txt"),
    "no UTF-8 name": lambda _: named("\udcff\udcfe"),
    "a long name": lambda r: named("x" * r.randint(300, 100_000)),
    "folders": lambda _: Lie(lambda name: f"dir {name}/folder 0\nfile {name}/folder/outside.txt 4\nevil".encode() + b"end\n"),
    "a folder": lambda _: Lie(lambda name: f"dir {name} 0\n".encode() + b"end\n"),
    "a link": lambda _: Lie(lambda name: f"symlink {name} 11\n/etc/passwd".encode() + b"end\n"),
    "a link, then through it": lambda _: Lie(
        lambda name: f"symlink {name} 4\n/tmpfile {name}/outside.txt 4\nevil".encode() + b"end\n"
    ),
    "a gigabyte": lambda _: Lie(lambda name: f"file {name} {1 << 30}\n".encode() + 16 * _MUCH, hangs_up=True),
    "less than said": lambda _: Lie(lambda name: f"file {name} 100\n".encode() + b"{}end\n", hangs_up=True),
    "a negative size": lambda _: Lie(lambda name: f"file {name} -1\n".encode() + b"end\n"),
    "a huge size": lambda _: Lie(lambda name: f"file {name} {2**63}\n".encode() + b"end\n"),
    "no number": lambda _: Lie(lambda name: f"file {name} many\n".encode() + b"end\n"),
    "nonsense": lambda r: raw(r.randbytes(200) + b"\n"),
    "zeros": lambda _: raw(bytes(5000) + b"\n"),
    "a line without an end": lambda _: Lie(lambda _: b"file " + b"x" * 200_000, hangs_up=True),
    "missing": lambda _: Lie(lambda name: f"missing {name} 2\n".encode() + b"end\n"),
    "no result": lambda _: said("end\n"),
    "a result of no task": lambda _: said(RESULT.replace("{task}", "999999")),
    "a result twice": lambda _: said(RESULT.replace("end\n", "") + RESULT),
    "a result without numbers": lambda _: said("result x y z w {task}\n0\nend\n"),
    "a huge output": lambda _: said(f"result 0 0 {1 << 40} 1000 {{task}}\n" + "1" * 100_000),
    "a negative output": lambda _: said("result 0 0 -5 1000 {task}\n0\nend\n"),
    "another version": lambda _: greeted(b"workqueue 9", b"workqueue 1", takes_work=False),
    "no greeting": lambda r: Lie(greeting=r.randbytes(300) + b"\n", takes_work=False),
    "a host's name with a line": lambda _: greeted(b"liar", b"liar%0a\x1b[2J"),
    "more cores than there are": lambda _: greeted(b"resource cores 1 1 1", b"resource cores 999999999999 1 1"),
    "fewer than none": lambda _: greeted(b"resource cores 1 1 1", b"resource cores -5 -5 -5", takes_work=False),
}


def outside(folder: Path) -> set[str]:
    """Return every path beneath a folder but those that the engine may write: its own, and the archive that it keeps as it came."""
    paths = {str(each.relative_to(folder)) for each in folder.rglob("*")}
    return {path for path in paths if "sandboxes/" not in path} - {"search/checkpoints", "search/checkpoints/0", "search/checkpoints/0/1.tar"}


@pytest.mark.timeout(7200)
def test_no_lie_gets_anywhere(
    work_queue_installed: None, tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadho_like.engine.workqueue_files._LARGEST_OUTPUT", _LARGEST)
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    generator = random.Random(ledger.seed)
    names = list(LIES)
    broken: list[str] = []
    for number in range(max(ledger.size.attacks, len(names))):
        name = names[number % len(names)]
        lie = LIES[name](generator)
        root = tmp_path / f"attack{number}" / "search"
        root.mkdir(parents=True)
        ledger.fault("hostile worker")
        try:
            attacked(WorkQueueEngine(WorkQueueOptions("test", address="127.0.0.1")), lie, root)
        except AssertionError as error:
            broken.append(f"{name}: {error}")
    promises.keep(broken)


def attacked(engine: WorkQueueEngine, lie: Lie, root: Path) -> None:
    """Let a lie be told to an engine, and check what came of it."""
    place = root.parent
    driven = Driven(engine, Launch("hostile", ExperimentPaths(root), command="true"))
    before = outside(place)
    liar = HostileWorker(engine.port, lie.answer, lie.greeting, lie.result, hangs_up=lie.hangs_up)
    try:
        driven.submit(attempt(0))
        driven.until(lambda: bool(driven.ended() or driven.lost()) or (not lie.takes_work and liar.gone.wait(PATIENCE_S)))
    finally:
        liar.close()
        engine.close()
    good = [end for end in driven.updates if isinstance(end, AttemptFinished) and isinstance(end.outcome, Success)]
    promises.keep(["a lie is taken for a result"] if good else [])
    promises.keep(f"{path} was written" for path in outside(place) - before)
    promises.keep(f"{path} is there" for path in [*place.rglob("*outside*"), *Path("/tmp").glob("outside*")])
    promises.keep(["sandboxes are left"] if ExperimentPaths(root).sandboxes.exists() else [])
