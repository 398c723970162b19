"""Deleting an experiment: what it made, and nothing that lies beside it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from shadho_like.errors import WorldError
from shadho_like.filelock import FileLock
from shadho_like.journal import JournalReader
from shadho_like.known_experiments import forget, is_known_by
from shadho_like.paths import ExperimentPaths
from shadho_like.shared_checkpoints import MARK, may_remove


def delete_experiment(directory: Path) -> list[Path]:
    """Remove an experiment's files, its checkpoints on a shared file system, and what makes it known; return what is left there.

    Only what an experiment makes is removed, and no link is followed: a directory may be a user's own, with other files in it.
    Cut off at any moment it can be begun again.

    Raises:
        ExperimentInUse: a driver runs it.
        JournalError: its journal cannot be read.
        WorldError: something cannot be removed; what was not yet removed is still there.
    """
    root = directory.resolve()
    paths = ExperimentPaths(root)
    lock = FileLock(paths.lock)
    try:
        with JournalReader(root) as journal:
            experiment_id, checkpoints = journal.id, journal.checkpoint_root
        forgotten = experiment_id is not None and is_known_by(experiment_id, root)
        if checkpoints != paths.checkpoints and may_remove(checkpoints, experiment_id, root):
            _remove_shared(checkpoints)
        for path in paths.own():
            if path not in {paths.journal, paths.lock}:
                _remove(path)
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


def _remove_shared(root: Path) -> None:
    """Remove the folder of checkpoints that is an experiment's own: the trials' folders, and itself if nothing else is there."""
    for path in root.iterdir():
        if path.name.isascii() and path.name.isdigit():
            _remove(path)
    _remove(root / MARK)
    with suppress(OSError):
        root.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
