"""What a trial says while it runs: frozen values, read from lines that nobody vouches for. Pure.

A line that makes no sense is no report; one that is too long was never read. Names and texts are bounded, numbers are finite.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shadho_like.trial import AttemptId, Json

LONGEST_LINE = 64 * 1024
MOST_NUMBERS = 100
"""How many numbers of one report are kept."""

CHECKPOINT_ID = re.compile(r"(0|[1-9]\d{0,17})\.([1-9]\d{0,8})\.([1-9]\d{0,8})", re.ASCII)
_LONGEST_NAME = 200
_LONGEST_TEXT = 500
_LONGEST_METADATA = 16 * 1024
_LARGEST_SIZE = 2**62


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics of the training or the validation data.

    Attributes:
        line: which line of the attempt's reports it was, from 0; as in every report.
        validation: whether of the validation data.
        steps: how far training was, in the unit of the script's own reports.
        metrics: finite numbers by name.
    """

    line: int
    validation: bool
    steps: float
    metrics: Mapping[str, float]

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["validation" if self.validation else "training", self.line, self.steps, dict(self.metrics)]


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far training is: its length, or a fraction 0 to 1 of all of it, or both."""

    line: int
    length: float | None = None
    fraction: float | None = None

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["progress", self.line, self.length, self.fraction]


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that is safe.

    Attributes:
        id: TRIAL.ATTEMPT.NUMBER.
        length: how far training was.
        size: of its files together, in bytes.
        checksum: over its files' names, sizes and checksums.
        metadata: as the script gave it; empty where it is too large for the journal.
    """

    line: int
    id: str
    length: float
    size: int = 0
    checksum: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["checkpoint", self.line, self.id, self.length, self.size, self.checksum, dict(self.metadata)]


@dataclass(frozen=True, slots=True)
class Resumed:
    """The attempt goes on from a checkpoint; or begins from nothing, where it has none."""

    line: int
    checkpoint: Saved | None = None

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["resumed", self.line, self.checkpoint.to_json()[1:] if self.checkpoint else None]


@dataclass(frozen=True, slots=True)
class Lost:
    """A checkpoint is torn, altered or gone. `id` is empty where not even that can be told."""

    line: int
    id: str
    reason: str

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["checkpoint_lost", self.line, self.id, self.reason]


@dataclass(frozen=True, slots=True)
class Deleted:
    """The script deleted a checkpoint of its own."""

    line: int
    id: str

    def to_json(self) -> list[Any]:
        """Return the plain form."""
        return ["checkpoint_deleted", self.line, self.id]


Report = Measured | Progressed | Saved | Resumed | Lost | Deleted


def parts_of(checkpoint: str) -> tuple[int, int, int] | None:
    """Return (trial, attempt, number) of a checkpoint's id; None if that is none."""
    match = CHECKPOINT_ID.fullmatch(checkpoint)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def report_from_json(value: list[Any]) -> Report:
    """Read what a report's `to_json` gave."""
    kind, *rest = value
    return _READERS[kind](*rest)


def _resumed(line: int, saved: list[Any] | None) -> Resumed:
    return Resumed(line, Saved(*saved) if saved else None)


_READERS: Mapping[str, Callable[..., Report]] = {
    "training": lambda line, steps, metrics: Measured(line, False, steps, metrics),
    "validation": lambda line, steps, metrics: Measured(line, True, steps, metrics),
    "progress": Progressed,
    "checkpoint": Saved,
    "resumed": _resumed,
    "checkpoint_lost": Lost,
    "checkpoint_deleted": Deleted,
}


def parse(data: bytes, line: int, attempt: AttemptId) -> Report | None:
    """Return what a line of an attempt's reports says; None where that makes no sense, or speaks of what is not its own."""
    try:
        value = json.loads(data.decode("utf-8"))
        return _PARSERS[value["kind"]](value, line, attempt)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def _measured(value: dict[str, Any], line: int, attempt: AttemptId) -> Report | None:
    del attempt
    metrics: dict[str, float] = {}
    for name, item in value["metrics"].items():
        if len(metrics) < MOST_NUMBERS and isinstance(item, int | float) and math.isfinite(item):
            metrics[_text(name, _LONGEST_NAME)] = float(item)
    return Measured(line, value["kind"] == "validation", _number(value["steps_completed"]), metrics)


def _progressed(value: dict[str, Any], line: int, attempt: AttemptId) -> Report | None:
    del attempt
    length, fraction = value.get("length"), value.get("fraction")
    if length is None and fraction is None:
        return None
    return Progressed(line, None if length is None else _number(length), None if fraction is None else _number(fraction))


def _saved(value: dict[str, Any], line: int, attempt: AttemptId) -> Saved | None:
    parts = parts_of(value["id"])
    return _described(value, line) if parts and parts[:2] == attempt else None


def _described(value: Mapping[str, Any], line: int) -> Saved:
    size = value.get("size", 0)
    if type(size) is not int or not 0 <= size <= _LARGEST_SIZE:
        raise ValueError
    return Saved(line, value["id"], _number(value["length"]), size, _text(value.get("checksum", ""), 128), _metadata(value.get("metadata")))


def _parse_resumed(value: dict[str, Any], line: int, attempt: AttemptId) -> Report | None:
    del attempt
    if value["id"] is None:
        return Resumed(line)
    return Resumed(line, _described(value, line)) if parts_of(value["id"]) else None


def _lost(value: dict[str, Any], line: int, attempt: AttemptId) -> Report | None:
    del attempt
    known = value["id"] == "" or parts_of(value["id"])
    return Lost(line, value["id"], " ".join(_text(value["reason"], _LONGEST_TEXT).split())) if known else None


def _deleted(value: dict[str, Any], line: int, attempt: AttemptId) -> Report | None:
    parts = parts_of(value["id"])
    return Deleted(line, value["id"]) if parts and parts[0] == attempt.trial else None


_PARSERS: Mapping[str, Callable[[dict[str, Any], int, AttemptId], Report | None]] = {
    "training": _measured,
    "validation": _measured,
    "progress": _progressed,
    "checkpoint": _saved,
    "resumed": _parse_resumed,
    "checkpoint_lost": _lost,
    "checkpoint_deleted": _deleted,
}


def saved_from_manifest(manifest: Mapping[str, Any], size: int, checksum: str) -> Saved:
    """Return the checkpoint that a manifest describes, as if it were reported now.

    Raises:
        ValueError, KeyError, TypeError: it describes none.
    """
    value = {**manifest, "size": size, "checksum": checksum}
    if parts_of(value["id"]) is None:
        raise ValueError(f"{value['id']!r:.80} is no checkpoint's id")
    return _described(value, 0)


def _number(value: Any) -> float:
    """Return a finite number as float.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value[:most].encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _metadata(value: Any) -> dict[str, Json]:
    try:
        fits = isinstance(value, dict) and len(json.dumps(value, allow_nan=False)) <= _LONGEST_METADATA
    except ValueError:
        return {}
    return value if fits else {}
