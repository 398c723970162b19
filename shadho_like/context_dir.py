"""Packs a context directory: the code of an experiment, in one archive that travels with its trials and is the same for the same code.

What is packed is checked first, so that each trial's folder can take it as it comes: nothing in it leaves that folder or takes a
name there that is the trial's own. Links are packed as links and never followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import shadho_checkpoint
import shadho_worker

from shadho_like.context_command import ARCHIVE_FILE
from shadho_like.context_ignore import IGNORE_FILES, ignore_line, is_a_searchs, never_travels, read_ignored
from shadho_like.errors import OptionError, WorldError

LARGEST_CONTEXT = 95 * 1024 * 1024
"""How many bytes all files of a context may have together, before any compression."""

_TRIALS_OWN = frozenset(
    (
        *(shadho_worker.HYPERPARAMETERS_FILE, shadho_worker.TRIAL_FILE, shadho_worker.RESULT_FILE, shadho_worker.EVENTS_FILE),
        *(shadho_worker.LOG_FILE, shadho_worker.BATCH_FILE, shadho_worker.RESULTS_FILE, shadho_worker.OBJECTIVE_FILE),
        *(shadho_checkpoint.ARCHIVE_FILE, shadho_checkpoint.INCOMING_FILE, *shadho_worker.MODULES),
        *("shadho_launch.sh", ARCHIVE_FILE),
    )
)
_MOST_SHOWN = 10
_MOST_HOPS = 40
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Context:
    """A packed context.

    Attributes:
        archive: the file.
        files: how many it holds, links counted.
        size: bytes of all files together.
        digest: SHA-256 of the archive; the same code has the same.
        names: what lies in it, as relative paths with slashes.
    """

    archive: Path
    files: int
    size: int
    digest: str
    names: frozenset[str]

    def __str__(self) -> str:
        """Return how much it is, for people."""
        return f"{self.files:,} file{'' if self.files == 1 else 's'}, {self.size:,} bytes"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file, folder or link: where it is, and how it lies in the archive."""

    path: str
    name: str
    kind: bytes
    size: int = 0
    mode: int = 0o755
    target: str = ""


@dataclass(slots=True)
class _Found:
    """What a walk found: the entries by their names, and what is wrong, by the kind of fault."""

    entries: dict[str, _Entry] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, kind: str, path: str) -> None:
        """Note what is wrong with a path."""
        self.faults.setdefault(kind, []).append(path)

    def add(self, entry: _Entry) -> None:
        """Take an entry, unless its name is taken."""
        known = self.entries.get(entry.name)
        if entry.name in _TRIALS_OWN:
            self.fault(_OWN, entry.path)
        elif known is not None and (known.kind, entry.kind) != (tarfile.DIRTYPE, tarfile.DIRTYPE):
            self.fault(_TWICE, entry.path)
        else:
            self.entries[entry.name] = entry


_UNREADABLE = "cannot be read: change its permissions, or leave it out with a line in .shadhoignore"
_LEAVES = "links to what is outside of the context: put the file itself there, or leave the link out with a line in .shadhoignore"
_ABSOLUTE = "is or leads to an absolute link, which is another file on another machine: make it a relative one, or leave it out"
_STRANGE = "is no file, folder or link: leave it out with a line in .shadhoignore"
_OWN = "has a name that each trial's folder has for a file of its own: rename it, or leave it out with a line in .shadhoignore"
_TWICE = "has the same name as another file of the context: rename one of them"
_CHANGED = "changed while it was packed: try again when nothing writes to it"


def pack(folder: str | Path | None, archive: Path, includes: Iterable[str | Path] = ()) -> Context:
    """Pack a folder, and what is included besides, into an archive.

    Args:
        folder: the context directory, whose contents come to lie in the trial's folder; None for nothing but the includes.
        archive: the file to write; there whole or not at all.
        includes: files and folders that come to lie beside them, by their last names.

    Raises:
        OptionError: something is not there, cannot be read, leaves the context, or is too large; the message names it.
        WorldError: the archive cannot be written.
    """
    found = _Found()
    if folder is not None:
        if not os.path.isdir(folder):
            message = f"the context directory {str(folder)!r} is not there, or no folder: looked in {os.getcwd()}"
            raise OptionError(message)
        _walk(os.path.abspath(folder), "", found)
    for include in includes:
        _include(include, found)
    entries = [found.entries[name] for name in sorted(found.entries, key=os.fsencode)]
    _check_size(entries)
    partial = archive.with_name(f"{archive.name}.{os.getpid()}.partial")
    try:
        _write(entries, partial, found)
        _check(found.faults)
        digest = _digest(partial)
        os.replace(partial, archive)
    except OSError as error:
        message = f"{archive} cannot be written: {error.strerror}"
        raise WorldError(message) from error
    finally:
        partial.unlink(missing_ok=True)
    files = [entry for entry in entries if entry.kind != tarfile.DIRTYPE]
    return Context(archive, len(files), sum(entry.size for entry in files), digest, frozenset(found.entries))


def _include(include: str | Path, found: _Found) -> None:
    path = os.path.abspath(include)
    if not os.path.lexists(path):
        message = f"include {str(include)!r}: there is no such file in {os.getcwd()}"
        raise OptionError(message)
    name = os.path.basename(path)
    if os.path.isdir(path):
        if name:
            found.add(_Entry(path, name, tarfile.DIRTYPE))
        _walk(path, name, found)
    else:
        # A link that is named outright stands for its file.
        _add("/", os.path.realpath(path), name, found)


def _walk(root: str, prefix: str, found: _Found) -> None:
    """Take in a folder's contents beneath `prefix`."""
    ignored = read_ignored(Path(root))
    waiting = [""]
    while waiting:
        inner = waiting.pop()
        for name, is_folder in _children(os.path.join(root, inner), found):
            relative = f"{inner}/{name}" if inner else name
            path = os.path.join(root, relative)
            if ignored(relative, is_folder) or _is_nobodys(path, name, is_folder=is_folder):
                continue
            _add(root, relative, f"{prefix}/{relative}" if prefix else relative, found)
            if is_folder:
                waiting.append(relative)


def _children(path: str, found: _Found) -> Iterator[tuple[str, bool]]:
    """Yield what lies in a folder, and whether it is one; a link to a folder is none."""
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                yield entry.name, entry.is_dir(follow_symlinks=False)
    except OSError:
        found.fault(_UNREADABLE, path)


def _is_nobodys(path: str, name: str, *, is_folder: bool) -> bool:
    """Return whether no trial needs this; what cannot be looked into is found out later."""
    if never_travels(name, is_folder=is_folder):
        return True
    try:
        return is_folder and is_a_searchs(os.listdir(path))
    except OSError:
        return False


def _add(root: str, relative: str, name: str, found: _Found) -> None:
    """Take in what is `relative` to `root`, under a name."""
    path = os.path.join(root, relative)
    try:
        status = os.lstat(path)
    except OSError:
        found.fault(_UNREADABLE, path)
        return
    if stat.S_ISDIR(status.st_mode):
        found.add(_Entry(path, name, tarfile.DIRTYPE))
    elif stat.S_ISREG(status.st_mode):
        found.add(_Entry(path, name, tarfile.REGTYPE, status.st_size, 0o755 if status.st_mode & stat.S_IXUSR else 0o644))
    elif stat.S_ISLNK(status.st_mode):
        if fault := _link_fault(root, relative):
            found.fault(fault, path)
        else:
            found.add(_Entry(path, name, tarfile.SYMTYPE, target=os.readlink(path)))
    else:
        found.fault(_STRANGE, path)


def _link_fault(root: str, name: str) -> str:
    """Return what is wrong with a link in `root`: no step of the way that it leads may lie outside. A circle leads nowhere."""
    here, ahead, hops = name.split("/")[:-1], [name.rpartition("/")[2]], _MOST_HOPS
    while ahead and hops:
        step = ahead.pop()
        path = os.path.join(root, *here, step)
        if step == os.pardir:
            if not here:
                return _LEAVES
            here.pop()
        elif os.path.islink(path):
            target = os.readlink(path)
            if os.path.isabs(target):
                return _ABSOLUTE
            ahead += reversed(target.split("/"))
            hops -= 1
        elif step not in {"", os.curdir}:
            here.append(step)
    return ""


def _check_size(entries: Sequence[_Entry]) -> None:
    files = [entry for entry in entries if entry.kind == tarfile.REGTYPE]
    size = sum(entry.size for entry in files)
    if size <= LARGEST_CONTEXT:
        return
    largest = sorted(files, key=lambda entry: (-entry.size, entry.name))[:_MOST_SHOWN]
    listed = "\n".join(f"  {entry.size:>15,}  {shown(ignore_line(entry.name))}" for entry in largest)
    message = (
        f"the context has {size:,} bytes in {len(files):,} files, and no more than {LARGEST_CONTEXT:,} (95 MiB) may travel. "
        f"The largest:\n{listed}\nadd the lines of those that no trial needs, without the sizes, to {IGNORE_FILES[-1]} "
        "in the context directory; data is better read from where all machines see it"
    )
    raise OptionError(message)


def _check(faults: Mapping[str, Sequence[str]]) -> None:
    lines = []
    for kind, paths in faults.items():
        lines += [f"{shown(path)} {kind}" for path in sorted(paths)[:_MOST_SHOWN]]
        if len(paths) > _MOST_SHOWN:
            lines.append(f"... and {len(paths) - _MOST_SHOWN:,} more: each {kind}")
    if lines:
        raise OptionError("\n".join(lines))


def shown(path: str) -> str:
    """Return a path as it can be printed in a line, whatever bytes it has."""
    return path if path.isprintable() else repr(path)


def _write(entries: Iterable[_Entry], partial: Path, found: _Found) -> None:
    """Write the archive; what cannot be read is noted, so that all of it can be said."""
    # The GNU format takes names of any bytes and length, and every `tar` reads it.
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.mode, info.linkname = entry.kind, entry.mode, entry.target
            if entry.kind == tarfile.REGTYPE:
                _write_file(entry, info, tar, found)
            else:
                tar.addfile(info)


def _write_file(entry: _Entry, info: tarfile.TarInfo, tar: tarfile.TarFile, found: _Found) -> None:
    try:
        file = open(os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115 - closed below
    except OSError:
        found.fault(_UNREADABLE, entry.path)
        return
    with file:
        info.size = os.fstat(file.fileno()).st_size
        if info.size != entry.size:
            found.fault(_CHANGED, entry.path)
        elif not found.faults:
            try:
                tar.addfile(info, file)
            except OSError as error:
                if error.errno is not None:
                    raise
                found.fault(_CHANGED, entry.path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()
