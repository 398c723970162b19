"""`--config key=value` over the configuration in a file: which key, and what it becomes. Whether that is right is seen later."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from shadho_like.errors import OptionError
from shadho_like.experiment_config.environment import keep_as_written
from shadho_like.experiment_config.yaml_text import read_yaml

_INDEX = re.compile(r"\[(\d+)\]")


def overridden(config: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a configuration with some keys set.

    Args:
        config: as the file has it.
        overrides: texts like `searcher.max_trials=20` or `hyperparameters.list[2].count=3`; the value is YAML.

    Raises:
        OptionError: one of them is no such text, or leads through what is no mapping.
    """
    changed = copy.deepcopy(dict(config))
    for override in overrides:
        path, equals, text = override.partition("=")
        document = read_yaml(text)
        if not equals or not path or document.faults:
            why = f": the value {document.faults[0].message}" if equals and document.faults else ""
            message = f"--config {override}: give key=value, as in --config searcher.max_trials=20 (the value is YAML){why}"
            raise OptionError(message)
        _set(changed, path, document.value)
        keep_as_written(changed, {f"{path}{each and '.'}{each}": number for each, number in document.numbers.items()})
    return changed


def _set(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = _INDEX.sub(r".\1", path).split(".")
    here: Any = config
    for depth, key in enumerate(parents):
        if isinstance(here, dict) and here.get(key) is None:
            here[key] = {}
        here = here[_key(here, key, path, parents[:depth])]
    if not isinstance(here, dict | list):
        message = f"--config {path}: {'.'.join(parents)} is {here!r:.80}, which has no {last!r} to set"
        raise OptionError(message)
    here[_key(here, last, path, parents)] = value


def _key(here: Any, key: str, path: str, before: list[str]) -> Any:
    """Return a key of a mapping, or an index of a list."""
    if isinstance(here, dict):
        return key
    where = ".".join(before)
    if not isinstance(here, list):
        message = f"--config {path}: {where} is {here!r:.80}, which has no {key!r} to set"
        raise OptionError(message)
    if not key.isdecimal() or int(key) >= len(here):
        message = f"--config {path}: {where} is a list of {len(here)}: its items are {where}[0] to {where}[{len(here) - 1}], not {key!r}"
        raise OptionError(message)
    return int(key)
