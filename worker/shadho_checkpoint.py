"""What a checkpoint is on the disk: a directory with a manifest of its files, there whole or not at all; and how it travels.

Standard library and Python 3.8 only. A checkpoint's id is TRIAL.ATTEMPT.NUMBER; it lies in `<root>/TRIAL/<id>`, with the sizes and
checksums of its files in a manifest. Where the driver sees no folder of the worker's, the newest one travels as an archive.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tarfile
import threading
import zlib
from dataclasses import dataclass
from types import TracebackType
from typing import Any

MANIFEST_FILE = "shadho_checkpoint.json"
ARCHIVE_FILE = "checkpoint.tar"
INCOMING_FILE = "latest_checkpoint.tar"
PARTIAL = ".partial-"
ID = re.compile(r"(\d{1,18})\.(\d{1,9})\.(\d{1,9})", re.ASCII)

_READ_BYTES = 1024 * 1024
_PIECE_BYTES = 64 * 1024 * 1024
_LARGEST_MANIFEST = 64 * 1024 * 1024


class CheckpointError(Exception):
    """A checkpoint is not there, or not as it was saved; the message says in what."""


@dataclass(frozen=True)
class Checkpoint:
    """A saved checkpoint; a context manager that gives its path.

    Attributes:
        id: its name in the experiment.
        path: its directory.
        length: how far training was.
        metadata: as given to `store_path`.
        size: of its files together, in bytes.
        checksum: over its files' names, sizes and checksums.
    """

    id: str
    path: str
    length: float
    metadata: dict[str, Any]
    size: int
    checksum: str

    def describe(self) -> dict[str, Any]:
        """Return what the driver is told of it."""
        return {name: getattr(self, name) for name in ("id", "length", "metadata", "size", "checksum")}

    def __enter__(self) -> str:
        """Return its path."""
        return self.path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Do nothing: it stays."""


def folder_of(root: str, checkpoint: str) -> str:
    """Return where a checkpoint lies.

    Raises:
        CheckpointError: that is no id.
    """
    match = ID.fullmatch(checkpoint)
    if match is None:
        raise CheckpointError(f"{checkpoint!r} is no checkpoint's id: they look like 12.1.3 (trial, attempt, number)")
    return os.path.join(root, match[1], checkpoint)


def ids(root: str, trial: int) -> list[str]:
    """Return the ids of a trial's whole checkpoints, the newest first."""
    try:
        names = os.listdir(os.path.join(root, str(trial)))
    except OSError:
        return []
    parts = sorted((tuple(map(int, match.groups())) for match in map(ID.fullmatch, names) if match), reverse=True)
    return [".".join(map(str, part)) for part in parts]


def up_to(checkpoint: str, of_trial: list[str]) -> list[str]:
    """Return a checkpoint's id, and those that its trial, which has these, saved before it, in the order in which they are given."""
    latest = _numbers(checkpoint)
    return [checkpoint, *(each for each in of_trial if _numbers(each) < latest)]


def _numbers(checkpoint: str) -> list[int]:
    return [int(part) for part in checkpoint.split(".")]


def read_manifest(path: str) -> dict[str, Any]:
    """Return a checkpoint's manifest, its values of the right kinds.

    Raises:
        OSError, ValueError: there is none, or it makes no sense.
    """
    with open(os.open(os.path.join(path, MANIFEST_FILE), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        return parse_manifest(file.read(_LARGEST_MANIFEST))


def parse_manifest(data: bytes) -> dict[str, Any]:
    """Return what a manifest's text says.

    Raises:
        ValueError: it makes no sense.
    """
    try:
        manifest = json.loads(data.decode("utf-8"))
        checksum = manifest.pop("checksum")
        files, length = manifest["files"], manifest["length"]
        sound = isinstance(manifest["metadata"], dict) and isinstance(length, (int, float)) and isinstance(manifest["id"], str)
        sound = sound and all(isinstance(size, int) and size >= 0 and isinstance(checksum, str) for size, checksum in files.values())
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        message = f"{MANIFEST_FILE} is not as it was written: {error!r:.80}"
        raise ValueError(message) from error
    if not sound or checksum != checksum_of(manifest):
        message = f"{MANIFEST_FILE} is not as it was written"
        raise ValueError(message)
    return dict(manifest)


def size_of(files: dict[str, Any]) -> int:
    """Return the size of a checkpoint whose manifest names these files, in bytes."""
    return sum(size for size, _ in files.values())


def checksum_of(value: dict[str, Any]) -> str:
    """Return the checksum of a manifest, or of a checkpoint whose manifest names these files."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read(root: str, checkpoint: str) -> Checkpoint:
    """Return a checkpoint whose files are as they were saved.

    Raises:
        CheckpointError: it is not there, torn or altered.
    """
    path = folder_of(root, checkpoint)
    try:
        manifest = read_manifest(path)
        saved, found = manifest["files"], describe(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint {checkpoint} cannot be read: {error}") from error
    changed = sorted(name for name in {*saved, *found} if saved.get(name) != found.get(name))
    changed = changed or ([] if manifest["id"] == checkpoint else [MANIFEST_FILE])
    if changed:
        raise CheckpointError(f"checkpoint {checkpoint} is not as it was saved: {', '.join(changed[:3])}")
    return Checkpoint(checkpoint, path, manifest["length"], manifest["metadata"], size_of(saved), checksum_of(saved))


def describe(path: str) -> dict[str, list[Any]]:
    """Return [size, checksum] of each file beneath a directory but the manifest, by relative path.

    A checksum is the CRC-32 of each 64 MiB of the file, one after the other: it finds accidents, and takes no longer than the disk.

    Raises:
        ValueError: there is a link or something else than files and directories.
    """
    from concurrent.futures import ThreadPoolExecutor

    sizes = sizes_of(path)
    pieces = [(name, start) for name, size in sizes.items() for start in range(0, size, _PIECE_BYTES)]
    checksums = dict.fromkeys(sizes, "")
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for (name, _), checksum in zip(pieces, pool.map(lambda piece: _checksum(os.path.join(path, piece[0]), piece[1]), pieces)):
            checksums[name] += f"{checksum:08x}"
    return {name: [size, checksums[name]] for name, size in sizes.items()}


def sizes_of(path: str) -> dict[str, int]:
    """Return the size of each file beneath a directory but the manifest, by relative path.

    Raises:
        ValueError: there is a link or something else than files and directories.
    """
    sizes = {}
    for folder, folders, names in os.walk(path, onerror=_raise):
        for name in (*folders, *names):
            full = os.path.join(folder, name)
            relative = os.path.relpath(full, path)
            status = os.lstat(full)
            if stat.S_ISREG(status.st_mode) and relative != MANIFEST_FILE:
                sizes[relative] = status.st_size
            elif not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
                message = f"{relative} is a link or no regular file, which a checkpoint cannot hold"
                raise ValueError(message)
    return sizes


def _raise(error: OSError) -> None:
    raise error


def _checksum(path: str, start: int) -> int:
    """Return the CRC-32 of a piece of a file: pieces are read by several threads at once."""
    value, left = 0, _PIECE_BYTES
    room = memoryview(bytearray(_READ_BYTES))
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        while left > 0 and (count := file.readinto(room[:left])):
            left -= count
            value = zlib.crc32(room[:count], value)
    return value


def seal(path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Write the manifest, and everything to the disk; return the manifest's files.

    The disk works while the checksums are made of what is still in memory.

    Raises:
        ValueError: see `describe`.
        OSError: the disk refuses.
    """
    problems: list[OSError] = []

    def write_out() -> None:
        try:
            for folder, _, names in os.walk(path, onerror=_raise):
                for name in names:
                    sync(os.path.join(folder, name))
                sync(folder)
        except OSError as error:
            problems.append(error)

    sizes_of(path)
    writer = threading.Thread(target=write_out)
    writer.start()
    try:
        files = describe(path)
    finally:
        writer.join()
    if problems:
        raise problems[0]
    # As it will be read: JSON's keys are texts.
    manifest = json.loads(json.dumps({"version": 1, **fields, "files": files}))
    with open(os.path.join(path, MANIFEST_FILE), "w", encoding="utf-8") as file:
        json.dump({**manifest, "checksum": checksum_of(manifest)}, file)
        file.flush()
        os.fsync(file.fileno())
    sync(path)
    return files


def sync(path: str) -> None:
    """Have the disk hold a file, or the names in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: str) -> None:
    """Take one file or directory out of an archive that nobody vouches for.

    Raises:
        ValueError: it would lie outside of the folder, or is no file or directory.
    """
    parts = [part for part in member.name.split("/") if part not in {"", "."}]
    if ".." in parts or not (member.isreg() or member.isdir()):
        message = f"{member.name!r} does not belong into a checkpoint"
        raise ValueError(message)
    target = os.path.join(folder, *parts)
    if member.isdir():
        os.makedirs(target, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    source = tar.extractfile(member)
    if source is None:
        message = f"{member.name!r} has no content"
        raise ValueError(message)
    with source, open(target, "xb") as file:
        shutil.copyfileobj(source, file, _READ_BYTES)


def pack(folder: str, archive: str) -> None:
    """Write a checkpoint as one file, its manifest first, so that who keeps it need not read the rest."""
    partial = archive + ".partial"
    names = sorted(os.listdir(folder), key=lambda name: (name != MANIFEST_FILE, name))
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            tar.add(os.path.join(folder, name), name, filter=_plain)
    os.replace(partial, archive)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out what would take a header of its own before the manifest's, and says nothing to another machine."""
    member.mtime = int(member.mtime)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(archive: str, root: str) -> str:
    """Take a checkpoint out of an archive that nobody vouches for, to where it belongs beneath `root`; return its id.

    Raises:
        CheckpointError: it cannot be read, or would write elsewhere. Nothing of it is left then.
    """
    folder = os.path.join(root, PARTIAL + "archive")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.makedirs(folder)
        with tarfile.open(archive) as tar:
            for member in tar:
                extract(tar, member, folder)
        checkpoint = str(read_manifest(folder)["id"])
        final = folder_of(root, checkpoint)
        os.makedirs(os.path.dirname(final), exist_ok=True)
        os.rename(folder, final)
    except (OSError, ValueError, tarfile.TarError) as error:
        raise CheckpointError(f"its archive cannot be read: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return checkpoint
