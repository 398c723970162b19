"""What a person notes of an experiment: another name, a description, labels, that it is put away. No part of what the search does."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from shadho_like.errors import WorldError
from shadho_like.paths import ExperimentPaths


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of one experiment.

    Attributes:
        name: what to call it; None for the name that it began with.
        description: in any number of lines.
        labels: words by which it is found.
        archived: whether lists leave it out.
    """

    name: str | None = None
    description: str = ""
    labels: tuple[str, ...] = ()
    archived: bool = False


def read_notes(root: Path) -> Notes:
    """Return the notes of the experiment in `root`; empty ones where there are none, or none that make sense."""
    try:
        value = json.loads(ExperimentPaths(root).notes.read_bytes())
        name, labels = value.get("name"), tuple(map(str, value.get("labels", ())))
        return Notes(None if name is None else str(name), str(value.get("description", "")), labels, value.get("archived") is True)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return Notes()


def write_notes(root: Path, notes: Notes) -> None:
    """Put these notes in the place of those before, whole or not at all.

    Raises:
        WorldError: the directory cannot be written.
    """
    path = ExperimentPaths(root).notes
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(asdict(notes)), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise WorldError(message) from error
