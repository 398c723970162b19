"""The experiments that were begun here: each leaves a small file in the user's folder, so that its id is enough to find it.

The files are a convenience: an experiment is all in its directory, and goes on without them.
"""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from shadho_like.errors import JournalError, OptionError
from shadho_like.paths import ExperimentPaths, shadho_home

if TYPE_CHECKING:
    from shadho_like.journal import Journal

# Neither a number nor a word with look-alikes: an id is read from a screen and typed again.
_LETTERS, _DIGITS, _LENGTH = "abcdefghjkmnpqrstuvwxyz", "23456789", 8
_ID = re.compile(f"[{_LETTERS}][{_LETTERS}{_DIGITS}]{{{_LENGTH - 1}}}")
_NEAREST = 3


class Whereabouts(Enum):
    """Where a known experiment is, seen from this machine."""

    HERE = "here"
    """In the directory that its file names."""
    ELSEWHERE = "elsewhere"
    """Not in sight, but it was begun on another machine, which may see it."""
    GONE = "gone"
    """Removed, moved, or replaced by another experiment."""


@dataclass(frozen=True, slots=True)
class KnownExperiment:
    """What the file of an experiment says.

    Attributes:
        id: 8 letters and digits, the same for ever.
        name: the experiment's.
        directory: where everything of it is, absolute.
        host: the machine of its last driver.
        began_s: when it began, Unix time in seconds.
    """

    id: str
    name: str
    directory: Path
    host: str
    began_s: float

    def whereabouts(self) -> Whereabouts:
        """Look whether it is where its file says."""
        if _id_in(self.directory) in {self.id, _UNREADABLE}:
            return Whereabouts.HERE
        return Whereabouts.GONE if self.host == socket.gethostname() else Whereabouts.ELSEWHERE

    def is_in(self, directory: Path) -> bool:
        """Return whether its file names this directory, under whatever path."""
        with suppress(OSError):
            return self.directory.samefile(directory)
        return self.directory == directory


_UNREADABLE = "?"


def remember(journal: Journal, root: Path) -> list[str]:
    """Have the experiment in `root` be found by its id, which it is given where it has none; return what is to be said.

    A directory that was copied becomes an experiment of its own.

    Raises:
        JournalError: the id cannot be kept, and nothing else could.
    """
    from shadho_like.journal import EXPERIMENT_ID

    held = journal.meta(EXPERIMENT_ID)
    if held is None or not _ID.fullmatch(held) or _is_copy(held, root):
        held = _new_id()
        journal.keep_meta(EXPERIMENT_ID, held)
    try:
        _folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        write_known(known_file(held), of_journal(journal, root))
    except OSError as error:
        return [f"shadho experiment list does not show this experiment: {_folder()} cannot be written ({error.strerror})"]
    return []


def of_journal(journal: Journal, root: Path) -> KnownExperiment:
    """Return what is to be known of the experiment in `root`, which has an id."""
    from shadho_like.journal import EXPERIMENT_ID

    first = next(journal.records(0), None)
    began_s = float(json.loads(first.event)[1]) if first else time.time()
    return KnownExperiment(journal.meta(EXPERIMENT_ID) or "", journal.config["name"], root, socket.gethostname(), began_s)


def is_known_by(experiment_id: str, directory: Path) -> bool:
    """Return whether an experiment's file is of the one in this directory, and not of one that it was copied from."""
    known = read_known(known_file(experiment_id))
    return known is None or known.is_in(directory) or known.whereabouts() is Whereabouts.GONE


def forget(experiment_id: str) -> None:
    """Remove an experiment's file, if there is one; its directory stays.

    Raises:
        OSError: it cannot be removed.
    """
    known_file(experiment_id).unlink(missing_ok=True)


def known_experiments() -> list[KnownExperiment]:
    """Return all that are known, the newest first. Files that make no sense are passed over."""
    try:
        paths = [path for path in _folder().iterdir() if path.suffix == ".json"]
    except OSError:
        return []
    found = [known for path in paths if (known := read_known(path)) is not None and known.id == path.stem]
    return sorted(found, key=lambda known: known.began_s, reverse=True)


def find_experiment(reference: str | Path) -> Path:
    """Return the directory of an experiment.

    Args:
        reference: the directory itself, or, as a text, the experiment's id or the beginning of it that no other has.

    Raises:
        OptionError: there is none; the message names the nearest.
    """
    text = str(reference)
    if not text:
        raise OptionError("an experiment is called by its directory or its id, not by an empty word")
    if _is_experiment(Path(reference)):
        return Path(reference)
    if isinstance(reference, Path) or os.sep in text or text in {".", ".."}:
        raise OptionError(_no_directory(Path(reference)))
    return _by_id(text).directory


def find_known(reference: str) -> KnownExperiment | None:
    """Return the known experiment that an id or its beginning means, wherever it is; None where it means none, or several."""
    found = _beginning(reference)
    return found[0] if len(found) == 1 else None


def _by_id(text: str) -> KnownExperiment:
    found = _beginning(text)
    if len(found) > 1:
        message = f"{text!r} is the beginning of several ids: {_listed(found)}"
        raise OptionError(message)
    if not found:
        if os.path.lexists(text):
            raise OptionError(_no_directory(Path(text)))
        nearest = _nearest(text)
        hint = f"the nearest are {_listed(nearest)}; see shadho experiment list" if nearest else "no experiment is known by an id yet"
        message = f"there is no experiment {text!r}, neither a directory nor the beginning of an id: {hint}"
        raise OptionError(message)
    (known,) = found
    if (where := known.whereabouts()) is not Whereabouts.HERE:
        hint = f"it was begun on {known.host}" if where is Whereabouts.ELSEWHERE else "shadho experiment list --prune forgets it"
        message = f"experiment {known.id} ({known.name}) is not in {known.directory} any more: {hint}"
        raise OptionError(message)
    return known


def _beginning(text: str) -> list[KnownExperiment]:
    found = [known for known in known_experiments() if known.id.startswith(text)] if text else []
    return [known for known in found if known.id == text] or found


def _nearest(text: str) -> list[KnownExperiment]:
    known = known_experiments()
    named = [each for each in known if each.name == text]
    close = difflib.get_close_matches(text, [each.id for each in known], n=_NEAREST, cutoff=0.0)
    return (named or sorted((each for each in known if each.id in close), key=lambda each: close.index(each.id)))[:_NEAREST]


def _listed(known: Sequence[KnownExperiment]) -> str:
    return ", ".join(f"{each.id} ({each.name})" for each in known)


def _is_experiment(directory: Path) -> bool:
    """Return whether there is an experiment, readable for this user.

    Raises:
        OptionError: nothing can be seen there, or read.
    """
    journal = ExperimentPaths(directory).journal
    try:
        is_file = stat.S_ISREG(journal.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        message = f"the experiment in {directory} cannot be read: {error.strerror}"
        raise OptionError(message) from error
    # Not opened: closing it again would take from this process all locks on the file, SQLite's too, and a driver's journal with them.
    if is_file and not os.access(journal, os.R_OK, effective_ids=True):
        message = f"the experiment in {directory} cannot be read: {os.strerror(errno.EACCES)}"
        raise OptionError(message)
    return is_file


def _no_directory(path: Path) -> str:
    name = ExperimentPaths(path).journal.name
    if path.is_file():
        hint = f": give its directory, {path.parent}" if path.name == name else ""
        return f"{path} is a file, and an experiment is a directory{hint}"
    return f"there is no experiment in {path}: it has no {name}"


def _is_copy(experiment_id: str, root: Path) -> bool:
    """Return whether another directory holds the experiment of this id, so that the one in `root` was copied from it."""
    known = read_known(known_file(experiment_id))
    if known is None or known.is_in(root):
        return False
    # Where it cannot be read now, it may well be it: two experiments must not come to have one id.
    return _id_in(known.directory) in {experiment_id, _UNREADABLE}


def _id_in(directory: Path) -> str | None:
    """Return the id of the experiment in a directory; None where there is none, or none with an id."""
    from shadho_like.journal import JournalReader

    try:
        if not _is_experiment(directory):
            return None
        with JournalReader(directory) as journal:
            return journal.id
    except (JournalError, OptionError):
        return _UNREADABLE


def _new_id() -> str:
    while True:
        drawn = secrets.choice(_LETTERS) + "".join(secrets.choice(_LETTERS + _DIGITS) for _ in range(_LENGTH - 1))
        if not os.path.exists(known_file(drawn)):
            return drawn


def _folder() -> Path:
    return shadho_home() / "experiments"


def known_file(experiment_id: str) -> Path:
    """Return where the user's folder has an experiment's file."""
    return _folder() / f"{experiment_id}.json"


def write_known(path: Path, known: KnownExperiment) -> None:
    """Write an experiment's file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps({**asdict(known), "directory": os.fspath(known.directory)}), encoding="utf-8")
    partial.replace(path)


def read_known(path: Path) -> KnownExperiment | None:
    """Return what an experiment's file says; None where there is none, or none that makes sense."""
    try:
        value = json.loads(path.read_bytes())
        known = KnownExperiment(value["id"], str(value["name"]), Path(value["directory"]), str(value["host"]), float(value["began_s"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return known
