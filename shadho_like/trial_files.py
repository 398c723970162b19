"""What is kept of a trial, copied to a folder of the user's own: its output files and logs, its best and its latest checkpoint."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from shadho_checkpoint import CheckpointError

from shadho_like.checkpoint import copy_out
from shadho_like.errors import OptionError, WorldError
from shadho_like.journal import JournalReader
from shadho_like.paths import ExperimentPaths

OUTPUT, BEST, LATEST = "output", "best", "latest"
"""The folders in a copy of a trial."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy of a trial holds.

    Attributes:
        files: the output files and logs, relative to the folder `output`.
        best: the id of the checkpoint in the folder `best`; None if no checkpoint was saved with a metric.
        latest: the id of the checkpoint in the folder `latest`, which is a link where that is the best one too; None if there is none.
    """

    files: tuple[str, ...]
    best: str | None
    latest: str | None


def copy_trial(directory: Path, number: int, target: Path) -> Copied:
    """Copy what is kept of a trial into a new folder, all of it or nothing.

    Raises:
        OptionError: there is no such trial, nothing is kept of it, or the folder is there already.
        WorldError: the folder cannot be written, or a checkpoint is not as it was saved.
    """
    with JournalReader(directory) as journal:
        journal.trial(number)
        kept = [row for row in journal.checkpoints(number) if row["state"] == "KEPT"]
        root, smaller_is_better = journal.checkpoint_root, journal.config["smaller_is_better"]
    measured = sorted((row for row in kept if row["metric"] is not None), key=lambda row: row["metric"], reverse=not smaller_is_better)
    best, latest = (rows[0]["id"] if rows else None for rows in (measured, kept[-1:]))
    folder = ExperimentPaths(directory.absolute()).trial(number)
    if not (folder.is_dir() or kept):
        message = f"nothing is kept of trial {number}: it printed nothing, and has no output files and no checkpoints"
        raise OptionError(message)
    if os.path.lexists(target):
        message = f"{target} is there already: name a folder that is to be made"
        raise OptionError(message)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        partial.mkdir()
        files = _copy_files(folder, partial / OUTPUT)
        for name, checkpoint in ((BEST, best), (LATEST, latest)):
            if name == LATEST and latest == best is not None:
                (partial / LATEST).symlink_to(BEST)
            elif checkpoint is not None:
                copy_out(root, checkpoint, partial / name)
        partial.rename(target)
    except CheckpointError as error:
        raise WorldError(str(error)) from error
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror or error}"
        raise WorldError(message) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Copied(files, best, latest)


def _copy_files(folder: Path, target: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    shutil.copytree(folder, target, symlinks=True)
    return tuple(sorted(str(path.relative_to(target)) for path in target.rglob("*") if not path.is_dir()))
