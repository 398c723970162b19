"""A trial that saves a checkpoint is killed at every call that it makes; a flipped byte in each file of a checkpoint."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promises
import pytest
import shadho_checkpoint
from ledger import Ledger
from shadho_checkpoint import CheckpointError
from shadho_storage import Checkpoints

_KILLED = 9
_CALLS = {"open", "write", "close", "fsync", "mkdir", "rename", "replace", "unlink", "rmdir", "lstat", "update", "scandir", "submit", "release"}
_MOST_CALLS = 5000


def content(generation: int) -> dict[str, bytes]:
    """Return the files of a generation of a checkpoint."""
    return {"weights.bin": bytes([generation]) * 5000, "nested/deep/state.json": b'{"step": %d}' % generation, "empty": b""}


def save(checkpoints: Checkpoints, generation: int) -> None:
    """Save a checkpoint."""
    with checkpoints.store_path({"generation": generation, "steps_completed": generation}) as (path, _):
        for name, data in content(generation).items():
            (Path(path) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(path) / name).write_bytes(data)


def found(checkpoints: Checkpoints) -> int:
    """Return the generation that a new attempt is offered, whose files must be as they were saved; 0 for none."""
    latest = checkpoints.latest()
    if latest is None:
        return 0
    generation = int(latest.metadata["generation"])
    files = {str(path.relative_to(latest.path)): path.read_bytes() for path in Path(latest.path).rglob("*") if path.is_file()}
    files.pop(shadho_checkpoint.MANIFEST_FILE)
    promises.keep([] if files == content(generation) and latest.length == generation else [f"{latest} is torn"])
    return generation


@dataclass(frozen=True)
class Place:
    """Where a trial keeps its checkpoints.

    Attributes:
        root: the folder.
        archive: the file in which they travel, None where the folder is the driver's.
    """

    root: Path
    archive: Path | None

    def attempt(self, number: int, report: Callable[..., None] = lambda *_, **__: None) -> Checkpoints:
        """Return an attempt's view, in which what the attempt before it sent has come in."""
        archive = None if self.archive is None else str(self.archive)
        # What comes in with a trial lies in its folder.
        os.chdir(self.root.parent)
        self.root.mkdir(exist_ok=True)
        return Checkpoints(str(self.root), 7, number, report=report, length=lambda: 0, archive=archive)

    def elsewhere(self) -> Place:
        """Return the place of the next attempt: another machine, to which only the archive comes."""
        if self.archive is None:
            return self
        there = self.root.parent / "elsewhere"
        shutil.rmtree(there, ignore_errors=True)
        there.mkdir()
        if self.archive.exists():
            shutil.copy(self.archive, there / shadho_checkpoint.INCOMING_FILE)
        return Place(there / "checkpoints", there / self.archive.name)


def killed_at(call: int, doing: Callable[[int], None]) -> tuple[bool, list[str]]:
    """Do something in a process that is killed before its n-th call of a built-in function that matters, in any of its threads.

    Args:
        call: n.
        doing: is given a descriptor to which it may write lines.

    Returns:
        Whether it was killed before it was done, and the lines.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        left = call

        def count(_: Any, event: str, called: Any) -> None:
            nonlocal left
            if event == "c_call" and called.__name__ in _CALLS:
                left -= 1
                # Of two threads that count at once, none may see the last one.
                if left <= 0:
                    os._exit(_KILLED)

        status = 1
        try:
            threading.setprofile(count)
            sys.setprofile(count)
            doing(writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, encoding="utf-8") as lines:
        said = lines.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in {0, _KILLED}
    return status == _KILLED, said


def lose_power(place: Place, synced: list[str]) -> None:
    """Cut what nothing had made durable: the files of the second checkpoint whose paths, then or now, are not among these."""
    for path in [path for path in place.root.rglob("*") if path.is_file() and "7.1.2" in str(path)]:
        if str(path) not in synced and str(path).replace("/7.1.2/", "/.partial-7.1.2/") not in synced:
            os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("travels", [False, True], ids=["shared", "archive"])
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power"])
def test_killed_at_any_call_it_leaves_the_checkpoint_before_or_the_new_one(
    travels: bool, power: bool, ledger: Ledger, quick_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(quick_folder)
    for call in range(1, _MOST_CALLS):
        place = Place(quick_folder / "checkpoints", quick_folder / shadho_checkpoint.ARCHIVE_FILE if travels else None)
        save(place.attempt(1), 1)

        def saves(tell: int, place: Place = place) -> None:
            def report(kind: str, **_: Any) -> None:
                os.write(tell, f"{kind}\n".encode())

            def sync(descriptor: int, usual: Callable[[int], None] = os.fsync) -> None:
                usual(descriptor)
                os.write(tell, f"{os.readlink(f'/proc/self/fd/{descriptor}')}\n".encode())

            os.fsync = sync  # type: ignore[assignment]
            save(place.attempt(1, report), 2)

        killed, lines = killed_at(call, saves)
        if power:
            lose_power(place, lines)
        there = place.elsewhere()
        generation = found(there.attempt(2))
        confirmed = "checkpoint" in lines
        promises.keep([f"call {call}: offered generation {generation}"] if generation not in {1, 2} or (confirmed and generation != 2) else [])
        save(there.attempt(2), 3)
        promises.keep(["no new checkpoint can be saved"] if found(there.elsewhere().attempt(3)) != 3 else [])
        left = [path.name for path in (there.root / "7").iterdir() if not shadho_checkpoint.ID.fullmatch(path.name)]
        promises.keep([f"call {call}: {left} are left"] if left else [])
        for path in quick_folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not killed:
            return
        ledger.fault("crash points")
    raise AssertionError


def test_a_checkpoint_gets_its_name_when_all_of_it_is_durable(quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    def rename(source: str, target: str) -> None:
        beneath = [Path(source), *Path(source).rglob("*")]
        assert {str(path) for path in beneath} <= set(synced)
        os.replace(source, target)

    monkeypatch.chdir(quick_folder)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    place = Place(quick_folder / "checkpoints", None)
    save(place.attempt(1), 1)
    assert found(place.attempt(2)) == 1
    assert str(place.root / "7") in synced


def test_a_flipped_byte_anywhere_in_a_checkpoint_is_noticed_and_the_one_before_is_offered(
    ledger: Ledger, quick_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(quick_folder)
    generator = random.Random(ledger.seed)
    place = Place(quick_folder / "checkpoints", None)
    save(place.attempt(1), 1)
    save(place.attempt(1), 2)
    newest = place.root / "7" / "7.1.2"
    for path in [path for path in newest.rglob("*") if path.is_file()]:
        data = path.read_bytes()
        manifest = path.name == shadho_checkpoint.MANIFEST_FILE
        for at in range(len(data)) if manifest else [generator.randrange(len(data)) for _ in range(5 if data else 0)]:
            ledger.fault("crash points")
            damaged = bytearray(data)
            damaged[at] ^= 1 << generator.randrange(8)
            path.write_bytes(damaged)
            if manifest and _same(data, bytes(damaged)):
                continue
            lost: list[str] = []
            attempt = place.attempt(2, lambda kind, lost=lost, **fields: lost.append(fields["id"]) if kind == "checkpoint_lost" else None)
            promises.keep([f"byte {at} of {path.name} is another, and that is not noticed"] if found(attempt) != 1 else [])
            assert lost == ["7.1.2"]
            with pytest.raises(CheckpointError, match=r"7\.1\.2"):
                attempt.get_metadata("7.1.2")
        path.write_bytes(data)
    assert found(place.attempt(2)) == 2


def _same(data: bytes, damaged: bytes) -> bool:
    """Return whether two manifests say the same: a flipped bit may only change how it is written."""
    try:
        return bool(json.loads(data) == json.loads(damaged))
    except ValueError:
        return False
