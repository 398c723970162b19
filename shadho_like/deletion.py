"""Deleting an experiment: what it made, and nothing that lies beside it."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from shadho_like.errors import WorldError
from shadho_like.filelock import FileLock
from shadho_like.journal import JournalReader
from shadho_like.known_experiments import forget, is_known_by
from shadho_like.notes import find_notes
from shadho_like.paths import ExperimentPaths
from shadho_like.shared_checkpoints import MARK, may_remove

_TRIAL, _ANY = re.compile("[0-9]+"), re.compile(".*", re.DOTALL)
_REQUEST = re.compile(r"\.?[0-9]{20}-[0-9a-f]{8}\.(json|partial)")


def delete_experiment(directory: Path) -> list[Path]:
    """Remove an experiment's files, its checkpoints on a shared file system, and what makes it known; return what is left there.

    Only what an experiment makes is removed, and no link is followed: a directory may be a user's own, with other files in it.
    Cut off at any moment it can be begun again.

    Raises:
        ExperimentInUse: a driver runs it.
        JournalError: its journal cannot be read, or it is another user's.
        WorldError: something cannot be removed; what was not yet removed is still there.
    """
    root = directory.resolve()
    paths = ExperimentPaths(root)
    lock = FileLock(paths.lock)
    try:
        with JournalReader(root) as journal:
            experiment_id, checkpoints, callable_name = journal.id, journal.checkpoint_root, journal.config["objective"]
        forgotten = experiment_id is not None and is_known_by(experiment_id, root)
        if checkpoints != paths.checkpoints and may_remove(checkpoints, experiment_id, root):
            _remove_those(checkpoints, _TRIAL)
            _remove(checkpoints / MARK)
            _remove_empty(checkpoints)
        _remove_own(paths, pickled=callable_name is not None)
        # The journal last: without it nobody would know what is left.
        for path in (*sorted(root.glob(f"{paths.journal.name}-*")), *sorted(root.glob(f"{paths.journal.name}.format-*")), paths.journal):
            _remove(path)
        _remove(paths.lock)
        if experiment_id is not None and forgotten:
            forget(experiment_id)
        with suppress(OSError):
            root.rmdir()
        return sorted(root.iterdir()) if root.is_dir() else []
    except OSError as error:
        message = f"{error.filename or root} cannot be removed: {error.strerror}; what is left can be deleted later"
        raise WorldError(message) from error
    finally:
        lock.release()


def _remove_own(paths: ExperimentPaths, *, pickled: bool) -> None:
    """Remove what only this experiment can have made; a file or folder with one of its names may be the user's."""
    if paths.created.exists():
        for path in (paths.config, paths.context, paths.driver_log, paths.created):
            _remove(path)
    if find_notes(paths.root) is not None:
        _remove(paths.notes)
    if paths.notes_lock.is_file() and not paths.notes_lock.stat().st_size:
        _remove(paths.notes_lock)
    if pickled:
        _remove(paths.objective)
    _remove(paths.status)
    for folder, names in ((paths.trials, _TRIAL), (paths.checkpoints, _TRIAL), (paths.sandboxes, _ANY), (paths.requests, _REQUEST)):
        _remove_those(folder, names)
        _remove_empty(folder)


def _remove_those(folder: Path, names: re.Pattern[str]) -> None:
    """Remove what a folder holds under such names. A folder that is a link is the user's."""
    if folder.is_dir() and not folder.is_symlink():
        for path in folder.iterdir():
            if names.fullmatch(path.name):
                _remove(path)


def _remove_empty(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        with suppress(OSError):
            folder.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
