"""What a user asks of an experiment from another terminal: a small file in its directory, which its driver takes up and removes.

The journal has one writer, the driver; so whoever else wants something leaves a request. One that is left while no driver runs
waits for the next. All are such that the same one taken up twice changes nothing more.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shadho_like.errors import WorldError
from shadho_like.events import Action
from shadho_like.sandbox import read_regular

_LARGEST = 4096
_KEYS = frozenset({"max_trials", "max_length", "max_slots"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request that waits.

    Attributes:
        path: its file.
        action: what is asked; None where the file makes no sense.
        trial: the one trial that it is about; None for the whole experiment.
        keys: for CONTINUE, the search method's keys that grow; for SET, the limits.
    """

    path: Path
    action: Action | None
    trial: int | None = None
    keys: Mapping[str, int] = field(default_factory=dict)


def leave(folder: Path, action: Action, *, trial: int | None = None, keys: Mapping[str, int] | None = None) -> Path:
    """Leave a request, whole or not at all; return its file, which is gone once a driver has taken it up.

    Raises:
        WorldError: the folder cannot be written.
    """
    name = f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}"
    partial, path = folder / f".{name}.partial", folder / f"{name}.json"
    try:
        folder.mkdir(exist_ok=True)
        partial.write_text(json.dumps({"action": action.value, "trial": trial, "keys": dict(keys or {})}), encoding="utf-8")
        partial.rename(path)
    except OSError as error:
        message = f"no request can be left in {folder}: {error.strerror}"
        raise WorldError(message) from error
    return path


def waiting(folder: Path) -> list[Request]:
    """Return the requests that wait, oldest first."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return []
    return [_read(folder / name) for name in names]


def _read(path: Path) -> Request:
    try:
        value: Any = json.loads(read_regular(path, _LARGEST))
        trial, keys = value["trial"], value["keys"]
        known = set(keys) <= _KEYS and all(type(number) is int and number > 0 for number in keys.values())
        if known and (trial is None or type(trial) is int):
            return Request(path, Action(value["action"]), trial, keys)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return Request(path, None)
