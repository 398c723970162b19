"""What a person notes of an experiment: another name, a description, labels, that it is put away. No part of what the search does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shadho_like.errors import WorldError
from shadho_like.filelock import take
from shadho_like.paths import ExperimentPaths

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of one experiment.

    Attributes:
        name: what to call it; None for the name that it began with.
        description: in any number of lines; None for the one of its configuration.
        labels: words by which it is found; None for those of its configuration.
        archived: whether lists leave it out.
    """

    name: str | None = None
    description: str | None = None
    labels: tuple[str, ...] | None = None
    archived: bool = False

    def over(self, name: str, about: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the experiment is called, as JSON values, where it began as `name` and its driver says this about it."""
        description = about.get("description") if self.description is None else self.description
        labels = about.get("labels") if self.labels is None else self.labels
        return {"name": self.name or name, "description": description or "", "labels": list(labels or ()), "archived": self.archived}


def read_notes(root: Path) -> Notes:
    """Return the notes of the experiment in `root`; empty ones where there are none, or none that make sense."""
    return find_notes(root) or Notes()


def find_notes(root: Path) -> Notes | None:
    """Return the notes of the experiment in `root`; None where there is no such file, or another one of that name."""
    try:
        value = json.loads(ExperimentPaths(root).notes.read_bytes())
        if value.keys() != asdict(Notes()).keys():
            return None
        name, description, labels = (value[key] for key in ("name", "description", "labels"))
        return Notes(
            None if name is None else str(name),
            None if description is None else str(description),
            None if labels is None else tuple(map(str, labels)),
            value["archived"] is True,
        )
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None


def change_notes(root: Path, change: Callable[[Notes], Notes]) -> Notes:
    """Put what `change` makes of the notes in their place, whole or not at all; return those before. One process does so at a time.

    Raises:
        WorldError: the directory cannot be written, or others change the notes all the time.
        JournalError: its file system knows no locks.
    """
    paths = ExperimentPaths(root)
    partial = paths.notes.with_name(f".{paths.notes.name}.{os.getpid()}.partial")
    try:
        # The lock is on a file of its own, for the notes are another file after each change.
        with open(os.open(paths.notes_lock, os.O_RDWR | os.O_CREAT, 0o644), "rb+", buffering=0) as lock:
            if not take(lock.fileno(), paths.notes_lock, patience_s=_PATIENCE_S):
                message = f"{paths.notes} is being changed by another process for {_PATIENCE_S:g} s: end that, and try again"
                raise WorldError(message)
            before = read_notes(root)
            after = change(before)
            if after != before:
                partial.write_text(json.dumps(asdict(after)), encoding="utf-8")
                partial.replace(paths.notes)
            return before
    except OSError as error:
        message = f"{paths.notes} cannot be written: {error.strerror}"
        raise WorldError(message) from error
