"""Faults, paths, and the plain data that a configuration is made of: mappings with texts as keys, lists, texts, finite numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 50
"""How deep values may be nested, as in what a trial is sent."""

MOST_VALUES = 100_000
"""How many values a configuration may have, with aliases copied out."""

_LARGEST = 2**63 - 1

TOO_DEEP = f"is nested more than {DEEPEST} deep"
TOO_MANY = f"has more than {MOST_VALUES} values once its aliases are copied out"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong.

    Attributes:
        path: where: `hyperparameters.list[2].count`; empty for the whole.
        message: what, and what to do.
        line: of the file; None where that follows from the path.
    """

    path: str
    message: str
    line: int | None = None


def beneath(path: str, key: str | int) -> str:
    """Return the path of an entry of what is at `path`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def plain_faults(value: Any) -> list[Fault]:
    """Return what in a value no YAML file could hold, or no journal."""
    faults: list[Fault] = []
    _look(value, "", 0, [MOST_VALUES], faults)
    return faults


def _look(value: Any, path: str, depth: int, left: list[int], faults: list[Fault]) -> None:
    left[0] -= 1
    if left[0] < 0 or depth > DEEPEST:
        if left[0] == -1 or depth > DEEPEST:
            faults.append(Fault(path if depth > DEEPEST else "", TOO_DEEP if depth > DEEPEST else TOO_MANY))
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str) and _is_encodable(key):
                _look(item, beneath(path, key), depth + 1, left, faults)
            else:
                faults.append(Fault(path, f"the key {key!r:.80} is no text"))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _look(item, beneath(path, index), depth + 1, left, faults)
    elif isinstance(value, float) and not math.isfinite(value):
        faults.append(Fault(path, f"must be a finite number, not {value}"))
    elif isinstance(value, int) and abs(value) > _LARGEST:
        faults.append(Fault(path, "must be a number of at most 64 bits"))
    elif not (value is None or isinstance(value, bool | int | float | str)):
        faults.append(Fault(path, f"is a {type(value).__name__}, which a configuration cannot hold"))
    elif isinstance(value, str) and not _is_encodable(value):
        faults.append(Fault(path, "holds characters that UTF-8 cannot hold"))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
