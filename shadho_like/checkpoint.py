"""Where an experiment's checkpoints are on this side, which of them goes into an attempt, and which are removed.

A trial's folder holds directories that attempts wrote themselves, or one archive for each attempt, which only workers unpack: it
is kept as it came.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import shadho_checkpoint

from shadho_like.trial import AttemptId

_ARCHIVE = re.compile(r"(\d+)\.tar")


def trial_folder(root: Path, trial: int) -> Path:
    """Return where a trial's checkpoints are."""
    return root / str(trial)


def archive_of(root: Path, attempt: AttemptId) -> Path:
    """Return where the archive that an attempt sends back is kept."""
    return trial_folder(root, attempt.trial) / f"{attempt.attempt}.tar"


def newest_archive(root: Path, trial: int, start_from: str | None = None) -> Path | None:
    """Return the archive that a trial goes on from, None if there is none: its own, else of what it is to start from.

    Args:
        root: the folder of the experiment's checkpoints.
        trial: its number.
        start_from: see `trial.Attempt`.
    """
    archives = _archives(root, trial)
    if not archives and start_from is not None:
        archives = _archives(root, int(start_from.partition(".")[0]))
    return archives[0] if archives else None


def _archives(root: Path, trial: int) -> list[Path]:
    folder = trial_folder(root, trial)
    found = [path for path in folder.iterdir() if _ARCHIVE.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.stem), reverse=True)


def prune(root: Path, trial: int) -> None:
    """Remove all of a trial's checkpoints but the newest, from which it, or another trial, may go on."""
    for checkpoint in shadho_checkpoint.ids(str(root), trial)[1:]:
        shutil.rmtree(shadho_checkpoint.folder_of(str(root), checkpoint), ignore_errors=True)
    for archive in _archives(root, trial)[1:]:
        archive.unlink(missing_ok=True)
