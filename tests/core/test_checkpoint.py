"""Checkpoints as they lie on the driver's side: directories and archives, sound or not, from workers that are not to be trusted."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest
import shadho_checkpoint
from shadho_checkpoint import CheckpointError
from shadho_storage import Checkpoints

from shadho_like import checkpoint
from shadho_like.trial import AttemptId


def save(root: Path, trial: int, attempt: int, text: str = "state") -> str:
    """Save a checkpoint as a trial would."""
    root.mkdir(exist_ok=True)
    own = Checkpoints(str(root), trial, attempt, report=lambda *_, **__: None, length=lambda: 3)
    with own.store_path({"note": text}) as (path, name):
        Path(path, "deep").mkdir()
        Path(path, "deep/model").write_text(text)
    return name


def send(tmp_path: Path, root: Path, trial: int, attempt: int, text: str = "state") -> str | None:
    """Have an attempt save elsewhere, and its archive come back."""
    name = save(tmp_path / f"worker{attempt}", trial, attempt, text)
    folder = tmp_path / f"came{attempt}"
    folder.mkdir()
    shadho_checkpoint.pack(shadho_checkpoint.folder_of(str(tmp_path / f"worker{attempt}"), name), str(folder / "checkpoint.tar"))
    return checkpoint.keep_archive(root, folder, AttemptId(trial, attempt))


def flip(path: Path) -> None:
    """Change a byte in the middle, and nothing else that can be seen."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def test_a_directory_and_an_archive_are_found_seen_copied_and_deleted_alike(root: Path, tmp_path: Path) -> None:
    save(root, 4, 1, "one")
    assert send(tmp_path, root, 4, 2, "two") == "4.2.1"
    assert checkpoint.ids(root, 4) == ["4.2.1", "4.1.1"]
    for name, text in (("4.1.1", "one"), ("4.2.1", "two")):
        seen = checkpoint.glance(root, name)
        assert (seen.id, seen.length, seen.size, seen.metadata) == (name, 3.0, 3, {"note": text})
        checkpoint.copy_out(root, name, tmp_path / name)
        assert [path.name for path in (tmp_path / name).iterdir()] == ["deep"]
        assert (tmp_path / name / "deep/model").read_text() == text
        checkpoint.delete(root, name)
        checkpoint.delete(root, name)
        with pytest.raises(CheckpointError, match=f"there is no checkpoint {name}"):
            checkpoint.glance(root, name)
    assert list((root / "4").iterdir()) == []


def test_what_is_torn_is_seen_without_reading_it_and_what_is_altered_is_not_copied(root: Path, tmp_path: Path) -> None:
    torn, altered = save(root, 1, 1), save(root, 1, 2)
    (root / "1" / torn / "deep/model").write_text("st")
    flip(root / "1" / altered / "deep/model")
    with pytest.raises(CheckpointError, match="is not as it was saved"):
        checkpoint.glance(root, torn)
    checkpoint.glance(root, altered)
    with pytest.raises(CheckpointError, match="is not as it was saved: deep/model"):
        checkpoint.copy_out(root, altered, tmp_path / "copy")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("copy")]


@pytest.mark.parametrize("damage", ["torn", "flipped"])
def test_a_damaged_archive_does_not_travel_and_the_one_before_it_does(root: Path, tmp_path: Path, damage: str) -> None:
    send(tmp_path, root, 4, 1, "one")
    send(tmp_path, root, 4, 2, "two")
    archive = root / "4/2.tar"
    if damage == "torn":
        os.truncate(archive, 1000)
    else:
        flip(archive)
    found = checkpoint.incoming(root, 4, pack=True)
    assert found.archive == root / "4/1.tar"
    assert found.lost == (("4.2.1", "the archive of checkpoint 4.2.1 is not as it came"),)
    assert checkpoint.incoming(root, 5, "4", pack=True).archive == root / "4/1.tar"
    assert checkpoint.incoming(root, 5, "4.1.1", pack=True).archive == root / "4/1.tar"
    assert checkpoint.incoming(root, 5, pack=True).archive is None


def test_an_engine_finds_what_another_left(root: Path, tmp_path: Path) -> None:
    """A directory is packed for a worker that does not see it; an archive goes along to where directories are seen."""
    save(root, 4, 1, "one")
    assert checkpoint.incoming(root, 4, pack=False).archive is None
    assert checkpoint.incoming(root, 4, pack=True).archive == root / "4/1.tar"
    assert checkpoint.ids(root, 4) == ["4.1.1"]
    assert checkpoint.incoming(root, 4, pack=False).archive == root / "4/1.tar"
    checkpoint.copy_out(root, "4.1.1", tmp_path / "copy")
    assert (tmp_path / "copy/deep/model").read_text() == "one"


def archive_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def manifest(**changes: object) -> tuple[tarfile.TarInfo, bytes]:
    fields = {"version": 1, "id": "4.1.1", "length": 1, "metadata": {}, "files": {"model": [1, "00000000"]}}
    manifest = {**fields, **changes}
    text = json.dumps({**manifest, "checksum": shadho_checkpoint.checksum_of(manifest)})
    return tarfile.TarInfo(shadho_checkpoint.MANIFEST_FILE), text.encode()


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member, b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage" * 1000,
        archive_of((tarfile.TarInfo("model"), b"x"), manifest()),
        archive_of(manifest(id="5.1.1")),
        archive_of(manifest(id="4.2.1")),
        archive_of(manifest(id="../../4.1.1")),
        archive_of(manifest(files={"model": "x"})),
        archive_of(manifest(length="long")),
        archive_of(manifest(metadata=[])),
        archive_of((tarfile.TarInfo(shadho_checkpoint.MANIFEST_FILE), b"[" * 100_000)),
        archive_of(link(shadho_checkpoint.MANIFEST_FILE, "/etc/passwd")),
        archive_of(manifest())[:700],
    ],
)
def test_an_archive_that_is_none_is_not_kept(root: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "checkpoint.tar").write_bytes(data)
    assert checkpoint.keep_archive(root, tmp_path, AttemptId(4, 1)) is None
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_link_in_the_place_of_an_archive_is_not_taken(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(archive_of(manifest()))
    (tmp_path / "checkpoint.tar").symlink_to(tmp_path / "secret")
    assert checkpoint.keep_archive(root, tmp_path, AttemptId(4, 1)) is None
    assert not root.exists()


@pytest.mark.parametrize(
    "evil",
    [
        (tarfile.TarInfo("../outside"), b"x"),
        (tarfile.TarInfo("/tmp/shadho_outside"), b"x"),
        link("deep", "/tmp"),
        link("model", "../../../outside"),
    ],
)
def test_an_archive_that_would_write_elsewhere_is_never_opened_here(
    root: Path, tmp_path: Path, evil: tuple[tarfile.TarInfo, bytes]
) -> None:
    (tmp_path / "checkpoint.tar").write_bytes(archive_of(manifest(), evil, (tarfile.TarInfo("deep/outside"), b"x")))
    assert checkpoint.keep_archive(root, tmp_path, AttemptId(4, 1)) == "4.1.1"
    before = {path for path in tmp_path.rglob("*") if root not in path.parents}
    with pytest.raises(CheckpointError):
        checkpoint.copy_out(root, "4.1.1", tmp_path / "copy")
    assert {path for path in tmp_path.rglob("*") if root not in path.parents} == before
    assert not Path("/tmp/shadho_outside").exists()


def test_deleting_goes_through_no_link(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (root / "4").mkdir(parents=True)
    (root / "4/4.1.1").symlink_to(outside)
    checkpoint.delete(root, "4.1.1")
    assert (outside / "precious").exists()
    shutil.rmtree(root)


def test_an_archive_from_before_there_were_notes_is_taken_as_it_is(root: Path, tmp_path: Path) -> None:
    send(tmp_path, root, 4, 1)
    (root / "4/1.json").unlink()
    assert checkpoint.glance(root, "4.1.1").metadata == {"note": "state"}
    assert (root / "4/1.json").exists()
