"""Where an experiment's checkpoints are on this side: how they are found, kept as they come, checked, and removed.

A trial's folder holds directories that attempts wrote themselves, or an archive of each attempt with what is known of it in a file
beside it. Archives are for workers to unpack: here they stay as they came. All of it was written by foreign code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shadho_checkpoint
from shadho_checkpoint import CheckpointError

from shadho_like import sandbox
from shadho_like.errors import WorldError
from shadho_like.reports import Saved, parts_of, saved_from_manifest
from shadho_like.trial import AttemptId

_ARCHIVE = re.compile(r"([1-9]\d{0,8})\.tar", re.ASCII)
_LARGEST_NOTE = 32 * 1024 * 1024
_LARGEST_MANIFEST = 16 * 1024 * 1024
_READ_BYTES = 4 * 1024 * 1024
_END_BYTES = 2 * tarfile.BLOCKSIZE


def make_root(root: Path) -> None:
    """Make the folder of an experiment's checkpoints, in which workers make folders but which they never make.

    Raises:
        WorldError: it cannot be made.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the checkpoint storage {root} cannot be made: {error.strerror}; give another checkpoint_storage="
        raise WorldError(message) from error


def trial_folder(root: Path, trial: int) -> Path:
    """Return where a trial's checkpoints are."""
    return root / str(trial)


def trials(root: Path) -> list[int]:
    """Return the trials that have a folder."""
    with suppress(OSError):
        return sorted(int(name) for name in os.listdir(root) if name.isascii() and name.isdigit())
    return []


def ids(root: Path, trial: int) -> list[str]:
    """Return the checkpoints of a trial that lie here, newest first, sound or not."""
    found = {parts_of(checkpoint) for checkpoint in shadho_checkpoint.ids(str(root), trial)}
    found |= {parts_of(archive.known()["id"]) for archive in _archives(root, trial)}
    return [".".join(map(str, parts)) for parts in sorted((parts for parts in found if parts), reverse=True)]


def glance(root: Path, checkpoint: str) -> Saved:
    """Return what is here under an id, as far as its manifest and the sizes of its files tell: a torn one is found, at no cost.

    Raises:
        CheckpointError: it is gone, torn, or never was.
    """
    path = Path(shadho_checkpoint.folder_of(str(root), checkpoint))
    try:
        if not path.is_dir():
            return _archive(root, checkpoint).described()
        manifest = shadho_checkpoint.read_manifest(str(path))
        sizes = shadho_checkpoint.sizes_of(str(path))
        if manifest["id"] != checkpoint or sizes != {name: size for name, (size, _) in manifest["files"].items()}:
            raise CheckpointError(f"checkpoint {checkpoint} is not as it was saved")
        files = manifest["files"]
        return saved_from_manifest(manifest, shadho_checkpoint.size_of(files), shadho_checkpoint.checksum_of(files))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {checkpoint} cannot be read: {error}") from error


def path_of(root: Path, checkpoint: str) -> Path:
    """Return the directory or the archive that holds a checkpoint, if there is one."""
    path = Path(shadho_checkpoint.folder_of(str(root), checkpoint))
    return path if path.is_dir() else path.with_name(f"{checkpoint.split('.')[1]}.tar")


def copy_out(root: Path, checkpoint: str, target: Path) -> None:
    """Copy a checkpoint's files into a new folder, once every one of them is seen to be as it was saved.

    Raises:
        CheckpointError: it is gone, torn or altered; nothing is left of the copy then.
        OSError: the folder is there, or cannot be written.
    """
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    partial.mkdir()
    try:
        path = Path(shadho_checkpoint.folder_of(str(root), checkpoint))
        if not path.is_dir():
            shadho_checkpoint.unpack(str(_archive(root, checkpoint).path), str(partial))
            path = Path(shadho_checkpoint.folder_of(str(partial), checkpoint))
        found = shadho_checkpoint.read(str(path.parent.parent), checkpoint)
        shutil.copytree(found.path, partial / "copy", symlinks=True, ignore=shutil.ignore_patterns(shadho_checkpoint.MANIFEST_FILE))
        (partial / "copy").rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def delete(root: Path, checkpoint: str) -> None:
    """Remove a checkpoint, if it is there; what is half removed looks like none.

    Raises:
        OSError: it cannot be removed.
    """
    path = Path(shadho_checkpoint.folder_of(str(root), checkpoint))
    doomed = path.with_name(shadho_checkpoint.PARTIAL + checkpoint)
    with suppress(FileNotFoundError):
        path.rename(doomed)
    if doomed.is_dir() and not doomed.is_symlink():
        shutil.rmtree(doomed)
    with suppress(CheckpointError, FileNotFoundError):
        _archive(root, checkpoint).remove()


def remove_partial(root: Path, trial: int) -> None:
    """Remove what attempts of a trial left half-written; none of them runs."""
    folder = trial_folder(root, trial)
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(shadho_checkpoint.PARTIAL):
                shutil.rmtree(folder / name, ignore_errors=True)
        folder.rmdir()


@dataclass(frozen=True, slots=True)
class _Archive:
    """An archive, and the note beside it of what it holds and how it came."""

    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_suffix(".json")

    def known(self) -> dict[str, Any]:
        """Return the note; an empty id where the archive is not as it came."""
        with suppress(OSError, ValueError, RecursionError):
            value = json.loads(sandbox.read_regular(self.note, _LARGEST_NOTE))
            if isinstance(value, dict) and isinstance(value.get("id"), str) and isinstance(value.get("manifest"), dict):
                return value
        with suppress(CheckpointError, OSError):
            return self.take_note()
        return {"id": ""}

    def take_note(self) -> dict[str, Any]:
        """Write down what the archive holds and how its bytes are.

        Raises:
            CheckpointError: its manifest cannot be read.
            OSError: it is gone, or the note cannot be written.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            manifest = _first_manifest(file.read(tarfile.BLOCKSIZE), file.read(_LARGEST_MANIFEST))
            status = os.fstat(descriptor)
            end = os.pread(descriptor, _END_BYTES, max(0, status.st_size - _END_BYTES))
            if status.st_size < shadho_checkpoint.size_of(manifest["files"]) or end.strip(b"\0") or status.st_size % tarfile.BLOCKSIZE:
                raise CheckpointError("the archive is torn")
            file.seek(0)
            os.fsync(descriptor)
            note = {"id": manifest["id"], "bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "crc32": _crc32(file)}
        note |= {"manifest": {**manifest, "files": {}}, "size": shadho_checkpoint.size_of(manifest["files"])}
        note["checksum"] = shadho_checkpoint.checksum_of(manifest["files"])
        partial = self.note.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as written:
            json.dump(note, written)
            written.flush()
            os.fsync(written.fileno())
        partial.replace(self.note)
        shadho_checkpoint.sync(str(self.path.parent))
        return note

    def described(self) -> Saved:
        """Return what it holds, if it is as it came.

        Raises:
            CheckpointError, OSError, ValueError, KeyError, TypeError: it is not.
        """
        note, status = self.known(), os.lstat(self.path)
        sound = stat.S_ISREG(status.st_mode) and status.st_size == note["bytes"]
        if sound and status.st_mtime_ns != note["mtime_ns"]:
            with self.path.open("rb") as file:
                sound = _crc32(file) == note["crc32"]
        if not sound:
            raise CheckpointError(f"the archive of checkpoint {note['id']} is not as it came")
        return saved_from_manifest(note["manifest"], note["size"], note["checksum"])

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _first_manifest(header: bytes, data: bytes) -> dict[str, Any]:
    """Return the manifest with which an archive begins.

    Raises:
        CheckpointError: it does not begin with one.
    """
    try:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        if member.name != shadho_checkpoint.MANIFEST_FILE or not member.isreg() or not 0 <= member.size <= len(data):
            raise CheckpointError("the archive does not begin with a checkpoint's manifest")
        manifest = shadho_checkpoint.parse_manifest(data[: member.size])
        saved_from_manifest(manifest, 0, "")
    except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the archive's manifest cannot be read: {error}") from error
    return manifest


def _crc32(file: Any) -> int:
    value = 0
    while data := file.read(_READ_BYTES):
        value = zlib.crc32(data, value)
    return value


def _archives(root: Path, trial: int) -> Iterator[_Archive]:
    """Yield a trial's archives, newest first."""
    folder = trial_folder(root, trial)
    with suppress(OSError):
        attempts = sorted((int(match[1]) for match in map(_ARCHIVE.fullmatch, os.listdir(folder)) if match), reverse=True)
        yield from (_Archive(folder / f"{attempt}.tar") for attempt in attempts)


def _archive(root: Path, checkpoint: str) -> _Archive:
    """Return the archive that holds a checkpoint.

    Raises:
        CheckpointError: there is none.
    """
    trial, attempt, _ = parts_of(checkpoint) or (0, 0, 0)
    archive = _Archive(trial_folder(root, trial) / f"{attempt}.tar")
    if not archive.path.is_file() or archive.known()["id"] != checkpoint:
        raise CheckpointError(f"there is no checkpoint {checkpoint} in {root}")
    return archive


def keep_archive(root: Path, folder: Path, attempt: AttemptId) -> str | None:
    """Keep the archive that an attempt left in its folder; return the id of its checkpoint, None if there is none to keep.

    Raises:
        WorldError: it cannot be kept.
    """
    if not os.path.lexists(folder / shadho_checkpoint.ARCHIVE_FILE):
        return None
    archive = _Archive(trial_folder(root, attempt.trial) / f"{attempt.attempt}.tar")
    if not sandbox.store(folder, shadho_checkpoint.ARCHIVE_FILE, archive.path):
        return None
    try:
        checkpoint = str(archive.take_note()["id"])
        if (parts_of(checkpoint) or ())[:2] == attempt:
            return checkpoint
    except CheckpointError:
        pass
    except OSError as error:
        message = f"{archive.path} cannot be written: {error.strerror}"
        raise WorldError(message, transient=True) from error
    # Torn, or somebody else's: it is none.
    archive.remove()
    return None


@dataclass(frozen=True, slots=True)
class Incoming:
    """What travels to an attempt: an archive, if there is one, and (id, reason) of those that should have and are not sound."""

    archive: Path | None
    lost: tuple[tuple[str, str], ...] = ()


def incoming(root: Path, trial: int, start_from: str | None = None, *, pack: bool) -> Incoming:
    """Return what a trial goes on from that it does not see itself: its own newest, else of what it is to start from.

    Args:
        root: the folder of the experiment's checkpoints.
        trial: its number.
        start_from: see `trial.Attempt`.
        pack: whether it sees no directories here either, so that those are packed.
    """
    candidates = ids(root, trial)
    if not candidates and start_from is not None:
        candidates = ids(root, int(start_from.partition(".")[0]))
        if parts_of(start_from):
            candidates = shadho_checkpoint.up_to(start_from, candidates)
    lost: list[tuple[str, str]] = []
    for checkpoint in candidates:
        directory = Path(shadho_checkpoint.folder_of(str(root), checkpoint))
        try:
            if directory.is_dir():
                return Incoming(_packed(root, checkpoint, directory) if pack else None, tuple(lost))
            archive = _archive(root, checkpoint)
            archive.described()
            return Incoming(archive.path, tuple(lost))
        except (CheckpointError, OSError, ValueError, KeyError, TypeError) as error:
            lost.append((checkpoint, str(error)))
    return Incoming(None, tuple(lost))


def _packed(root: Path, checkpoint: str, directory: Path) -> Path:
    """Make an archive of a directory, which an attempt on another engine wrote, in its place."""
    shadho_checkpoint.read(str(root), checkpoint)
    archive = _Archive(directory.with_name(f"{checkpoint.split('.')[1]}.tar"))
    shadho_checkpoint.pack(str(directory), str(archive.path))
    archive.take_note()
    shutil.rmtree(directory)
    return archive.path
