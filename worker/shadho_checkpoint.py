"""Checkpoints as a trial saves and finds them: directories with a manifest, each there whole or not at all.

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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable, Iterator

MANIFEST_FILE = "shadho_checkpoint.json"
ARCHIVE_FILE = "checkpoint.tar"
INCOMING_FILE = "latest_checkpoint.tar"
ID = re.compile(r"(\d{1,18})\.(\d{1,9})\.(\d{1,9})")

_READ_BYTES = 4 * 1024 * 1024
_PART_BYTES = 64 * 1024 * 1024
_HASHING_THREADS = 4
_PARTIAL = ".partial-"
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
    """

    id: str
    path: str
    length: float
    metadata: dict[str, Any]

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


def read(root: str, checkpoint: str) -> Checkpoint:
    """Return a checkpoint whose files are as they were saved.

    Raises:
        CheckpointError: it is not there, torn or altered.
    """
    path = folder_of(root, checkpoint)
    try:
        with open(os.path.join(path, MANIFEST_FILE), encoding="utf-8") as file:
            manifest = json.loads(file.read(_LARGEST_MANIFEST))
        checksum = manifest.pop("checksum")
        saved, length, metadata = manifest["files"], manifest["length"], manifest["metadata"]
        found = describe(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {checkpoint} cannot be read: {error}") from error
    if checksum != _checksum_of(manifest):
        raise CheckpointError(f"checkpoint {checkpoint} is not as it was saved: {MANIFEST_FILE}")
    changed = sorted(name for name in {*saved, *found} if saved.get(name) != found.get(name))
    if changed:
        raise CheckpointError(f"checkpoint {checkpoint} is not as it was saved: {', '.join(changed[:3])}")
    return Checkpoint(checkpoint, path, length, metadata)


def describe(path: str) -> dict[str, list[Any]]:
    """Return [size, checksum] of each file beneath a directory but the manifest, by relative path.

    Raises:
        ValueError: there is a link or something else than files and directories.
    """
    names = []
    for folder, folders, files in os.walk(path, onerror=_raise):
        for name in (*folders, *files):
            full = os.path.join(folder, name)
            relative = os.path.relpath(full, path)
            mode = os.lstat(full).st_mode
            if stat.S_ISREG(mode) and relative != MANIFEST_FILE:
                names.append(relative)
            elif not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                message = f"{relative} is a link or no regular file, which a checkpoint cannot hold"
                raise ValueError(message)
    with ThreadPoolExecutor(min(_HASHING_THREADS, os.cpu_count() or 1)) as pool:
        return {name: _described(os.path.join(path, name), pool) for name in names}


def _raise(error: OSError) -> None:
    raise error


def _described(path: str, pool: ThreadPoolExecutor) -> list[Any]:
    """Return the size and checksum of a file: SHA-256, of a large one that of its parts' checksums, taken side by side."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        parts = pool.map(lambda at: _digest(descriptor, at), range(0, max(1, size), _PART_BYTES))
        digests = list(parts)
    finally:
        os.close(descriptor)
    return [size, (digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()).hex()]


def _digest(descriptor: int, start: int) -> bytes:
    digest = hashlib.sha256()
    for at in range(start, start + _PART_BYTES, _READ_BYTES):
        data = os.pread(descriptor, min(_READ_BYTES, start + _PART_BYTES - at), at)
        digest.update(data)
        if not data:
            break
    return digest.digest()


class Checkpoints:
    """A trial's own checkpoints."""

    def __init__(
        self,
        root: str,
        trial: int,
        attempt: int,
        *,
        report: Callable[..., None],
        length: Callable[[], float],
        archive: str | None = None,
    ) -> None:
        """Prepare; nothing is made before the first checkpoint.

        Args:
            root: the folder of the experiment's checkpoints.
            trial: the trial's number.
            attempt: this attempt's number.
            report: takes a kind and fields, for the driver to read.
            length: tells how far training is.
            archive: where the newest checkpoint is also written as one file, beside which the one before came; None where `root` is
                the driver's own.
        """
        self._root = root
        self._trial = trial
        self._attempt = attempt
        self._report = report
        self._length = length
        self._archive = archive
        self._incoming = os.path.join(os.path.dirname(archive), INCOMING_FILE) if archive else ""
        self._remove_unfinished()
        self._number = max((int(each.split(".")[2]) for each in ids(root, trial) if each.split(".")[1] == str(attempt)), default=0)

    def _remove_unfinished(self) -> None:
        """Remove what attempts before this one had not finished when they were killed."""
        folder = os.path.join(self._root, str(self._trial))
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            match = ID.fullmatch(name[len(_PARTIAL) :]) if name.startswith(_PARTIAL) else None
            if match is not None and int(match[2]) < self._attempt:
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)

    @contextmanager
    def store_path(self, metadata: dict[str, Any] | None = None) -> Iterator[tuple[str, str]]:
        """Give a new directory's path, and an id: the checkpoint exists when the block ends without an error."""
        self._number += 1
        checkpoint = f"{self._trial}.{self._attempt}.{self._number}"
        final = folder_of(self._root, checkpoint)
        partial = os.path.join(os.path.dirname(final), _PARTIAL + checkpoint)
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        try:
            yield partial, checkpoint
            length = (metadata or {}).get("steps_completed", self._length())
            _seal(partial, {"id": checkpoint, "length": length, "metadata": metadata or {}})
            os.rename(partial, final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _sync(os.path.dirname(final))
        if self._archive is not None:
            _pack(final, self._archive)
        self._report("checkpoint", id=checkpoint, length=length)

    @contextmanager
    def save_path(self) -> Iterator[str]:
        """Give a new directory's path: it becomes a checkpoint when the block ends without an error."""
        with self.store_path() as (path, _):
            yield path

    @contextmanager
    def restore_path(self, checkpoint: str) -> Iterator[str]:
        """Give the path of a checkpoint of this experiment.

        Raises:
            CheckpointError: it is not there, torn or altered.
        """
        yield read(self._root, checkpoint).path

    def get_metadata(self, checkpoint: str) -> dict[str, Any]:
        """Return what was stored with a checkpoint.

        Raises:
            CheckpointError: it is not there, torn or altered.
        """
        return read(self._root, checkpoint).metadata

    def delete(self, checkpoint: str) -> None:
        """Remove a checkpoint of this trial.

        Raises:
            CheckpointError: it is another trial's, or that is no id.
        """
        path = folder_of(self._root, checkpoint)
        if checkpoint.partition(".")[0] != str(self._trial):
            raise CheckpointError(f"checkpoint {checkpoint} is not this trial's, and may be needed there")
        with suppress(FileNotFoundError):
            shutil.rmtree(path)

    def latest(self, start_from: str | None = None) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; of this trial, else of what it is to start from: an id, or a trial's number.

        A torn or altered one is reported, and the one before it is taken.
        """
        came = self._unpack(self._incoming) if os.path.exists(self._incoming) else []
        for checkpoint in (*ids(self._root, self._trial), *came, *self._starting(start_from)):
            try:
                return read(self._root, checkpoint)
            except CheckpointError as error:
                self._report("checkpoint_lost", id=checkpoint, reason=str(error))
        return None

    def _starting(self, start_from: str | None) -> list[str]:
        if start_from is None:
            return []
        return [start_from] if ID.fullmatch(start_from) else ids(self._root, int(start_from))

    def _unpack(self, archive: str) -> list[str]:
        """Take out the checkpoint that came with the trial."""
        folder = os.path.join(self._root, _PARTIAL + "archive")
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    extract(tar, member, folder)
            with open(os.path.join(folder, MANIFEST_FILE), encoding="utf-8") as file:
                checkpoint = json.load(file)["id"]
            final = folder_of(self._root, checkpoint)
            os.makedirs(os.path.dirname(final), exist_ok=True)
            os.rename(folder, final)
        except (OSError, ValueError, KeyError, tarfile.TarError, CheckpointError) as error:
            self._report("checkpoint_lost", id="", reason=f"its archive cannot be read: {error}")
            return []
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.unlink(archive)
        return [checkpoint]


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


def _seal(path: str, fields: dict[str, Any]) -> None:
    """Write the manifest, and everything to the disk. Files go there while they are read for their checksums."""
    with ThreadPoolExecutor(1) as other:
        syncing = other.submit(_sync_tree, path)
        files = describe(path)
        syncing.result()
    manifest = json.loads(json.dumps({"version": 1, **fields, "files": files}))
    with open(os.path.join(path, MANIFEST_FILE), "w", encoding="utf-8") as file:
        json.dump({**manifest, "checksum": _checksum_of(manifest)}, file)
    _sync(os.path.join(path, MANIFEST_FILE))
    _sync(path)


def _checksum_of(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sync_tree(path: str) -> None:
    """Make files durable, and in each folder beneath the directory their names."""
    for folder, _, names in os.walk(path, onerror=_raise):
        for name in names:
            if stat.S_ISREG(os.lstat(os.path.join(folder, name)).st_mode):
                _sync(os.path.join(folder, name))
        _sync(folder)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pack(folder: str, archive: str) -> None:
    partial = archive + ".partial"
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(os.listdir(folder)):
            tar.add(os.path.join(folder, name), name)
    os.replace(partial, archive)
