"""Results as JSON: whatever a user's experiment returns, as near as JSON comes to it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

import shadho_worker

from shadho_like.configs import Config, ConfigError
from shadho_like.runner.jobs import ExperimentJob

_DEEPEST = shadho_worker.DEEPEST_VALUE


def as_json(value: Any, depth: int = _DEEPEST) -> Any:
    """Return a value that JSON can hold; what it has no form for becomes a text."""
    if depth == 0:
        return shadho_worker.short(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return shadho_worker.encodable(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Mapping):
        return {str(as_json(key, depth - 1)): as_json(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item, depth - 1) for item in value]
    return _object_as_json(value, depth)


def _object_as_json(value: Any, depth: int) -> Any:
    if isinstance(value, ExperimentJob):
        return {"config": as_json(value.config, depth - 1), "base_dir": value.base_dir, "digest": value.digest}
    if isinstance(value, Config):
        try:
            return as_json(value.to_dict(), depth - 1)
        except ConfigError:
            return shadho_worker.short(value)
    if isinstance(value, Enum):
        return as_json(value.value, depth - 1)
    if isinstance(value, PurePath):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: as_json(getattr(value, item.name), depth - 1) for item in fields(value)}
    if callable(getattr(value, "tolist", None)):
        try:
            return as_json(value.tolist(), depth - 1)
        except Exception:
            return shadho_worker.short(value)
    return shadho_worker.short(value)
