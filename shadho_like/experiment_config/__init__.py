"""An experiment's configuration as a YAML file has it: read, checked, and everything that is wrong said at once, each with its path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shadho_like.errors import OptionError, SpaceError
from shadho_like.experiment_config.check import faults_of
from shadho_like.experiment_config.config import BatchConfig, ExperimentConfig, made
from shadho_like.experiment_config.environment import keep_as_written
from shadho_like.experiment_config.keys import CUSTOM, KEYS, Key
from shadho_like.experiment_config.plain import Fault, plain_faults
from shadho_like.experiment_config.searching import SearcherConfig, method_faults
from shadho_like.experiment_config.yaml_text import Document, read_yaml
from shadho_like.space import Space
from shadho_like.space.yaml_form import tree_from_yaml

__all__ = ["CUSTOM", "KEYS", "BatchConfig", "ExperimentConfig", "Key", "SearcherConfig", "read_config", "read_text"]

_HPARAMS = "hyperparameters"
_LONGEST_PATH = 300


def read_config(source: Mapping[str, Any] | str | Path) -> ExperimentConfig:
    """Read a configuration from a YAML file, or from what one would hold.

    Raises:
        OptionError: everything that is wrong, a line each: `exp.yaml:12: hyperparameters.lr.maxval: ...`.
    """
    if not isinstance(source, str | Path):
        return _checked(Document(source, faults=plain_faults(source)), "")
    try:
        text = Path(source).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is no text in UTF-8: {error}"
        message = f"{source}: cannot be read: {reason}"
        raise OptionError(message) from error
    return read_text(text, str(source))


def read_text(text: str, called: str = "config") -> ExperimentConfig:
    """Read a configuration from YAML text, which messages call `called`.

    Raises:
        OptionError: as `read_config`.
    """
    document = read_yaml(text)
    keep_as_written(document.value, document.numbers)
    document.faults += plain_faults(document.value)
    return _checked(document, called)


def _checked(document: Document, called: str) -> ExperimentConfig:
    faults = document.faults
    if not faults and not isinstance(document.value, Mapping):
        faults.append(Fault("", f"must be a mapping, not {document.value!r:.80}"))
    if isinstance(document.value, Mapping) and not any(fault.path == "" for fault in faults):
        config, space = document.value, None
        if not isinstance(config.get(_HPARAMS) or {}, Mapping):
            faults.append(Fault(_HPARAMS, f"must be a mapping, not {config[_HPARAMS]!r:.80}"))
        else:
            space, found = _space(config.get(_HPARAMS) or {})
            faults += found
        faults += faults_of(config)
        wanted = config.get("searcher")
        if isinstance(wanted, Mapping):
            faults += method_faults(wanted, space)
        if not faults and space is not None:
            return made(config, space)
    raise OptionError("\n".join(_lines(faults, document.lines, called)))


def _space(value: Mapping[str, Any]) -> tuple[Space | None, list[Fault]]:
    """Return the search space, None if something is wrong with it, and what is."""
    tree, faults = tree_from_yaml(value)
    space = None
    if not faults:
        try:
            space = Space(tree)
        except SpaceError as error:
            faults = [error]
    return space, [Fault(f"{_HPARAMS}.{fault.path}" if fault.path else _HPARAMS, fault.message) for fault in faults]


def _lines(faults: Iterable[Fault], lines: Mapping[str, int], called: str) -> list[str]:
    """Return the faults as a person is told of them, in the order of the file, each once."""
    if not called:
        return list(dict.fromkeys(_line("", fault) for fault in faults))
    placed = [(fault.line or _line_of(fault.path, lines), fault) for fault in faults]
    told = sorted(placed, key=lambda each: each[0])
    return list(dict.fromkeys(_line(f"{called}:{line}", fault) for line, fault in told))


def _line(where: str, fault: Fault) -> str:
    """Return a fault as one line for a terminal, whatever characters its keys have."""
    path = fault.path if len(fault.path) <= _LONGEST_PATH else f"{fault.path[:_LONGEST_PATH]}..."
    said = ": ".join(filter(None, (where, path, fault.message)))
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in said)


def _line_of(path: str, lines: Mapping[str, int]) -> int:
    """Return the line of a path, or of the nearest thing around it."""
    while path and path not in lines:
        path = re.sub(r"(\.|^)[^.\[]*$|\[\d+\]$|.$", "", path, count=1)
    return lines.get(path, 1)
