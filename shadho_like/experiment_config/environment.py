"""`environment.environment_variables`: a list of NAME=VALUE or a mapping, and either of them under `cpu` and `cuda`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shadho_like.environment import variable_fault
from shadho_like.experiment_config.plain import Fault, beneath

PATH = "environment.environment_variables"

_WITHOUT_GPUS, _WITH_GPUS = ("cpu",), ("cuda", "gpu", "rocm")


def environment_faults(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find what is wrong with the variables."""
    environment = config.get("environment")
    given = environment.get("environment_variables") if isinstance(environment, Mapping) else None
    for path, variables in _by_kind(given) if given is not None else ():
        if isinstance(variables, Mapping):
            for name, value in variables.items():
                yield from _fault(beneath(path, name), name, _as_text(value))
        elif isinstance(variables, list | tuple):
            yield from _of_list(path, variables)
        else:
            yield Fault(path, f"must be a list of NAME=VALUE, or a mapping, not {variables!r:.80}")


def _by_kind(given: Any) -> list[tuple[str, Any]]:
    """Return the variables with their paths: one set, or one for each kind of trial."""
    if _has_kinds(given):
        return [(f"{PATH}.{kind}", variables) for kind, variables in given.items()]
    return [(PATH, given)]


def _has_kinds(given: Any) -> bool:
    """Return whether the variables are given for trials with GPUs and for others."""
    kinds = (*_WITHOUT_GPUS, *_WITH_GPUS)
    if not isinstance(given, Mapping) or not given:
        return False
    return all(key in kinds and isinstance(value, list | Mapping) for key, value in given.items())


def _of_list(path: str, variables: list[Any] | tuple[Any, ...]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, item in enumerate(variables):
        where = beneath(path, index)
        name, equals, value = item.partition("=") if isinstance(item, str) else ("", "", "")
        if not equals:
            yield Fault(where, f"must be NAME=VALUE, not {item!r:.80}")
        elif name in seen:
            yield Fault(where, f"{name} is there twice")
        else:
            yield from _fault(where, name, value)
        seen.add(name)


def _fault(path: str, name: Any, value: Any) -> Iterator[Fault]:
    if (fault := variable_fault(name, value)) is not None:
        yield Fault(path, fault)


def _is_number(value: Any) -> bool:
    """Return whether a value is a number; true and false are taken for mistakes by the shell's reader, and are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_text(value: Any) -> Any:
    """Return a number that a program gave as a text; one of a file is a text already (`keep_as_written`)."""
    return str(value) if _is_number(value) else value


def keep_as_written(config: Any, numbers: Mapping[str, str]) -> None:
    """Put texts in the place of the variables that are numbers: 1.10 is no 1.1, and 0042 no 42.

    Args:
        config: what a text holds, changed in place.
        numbers: how each number is written, by its path.
    """
    environment = config.get("environment") if isinstance(config, dict) else None
    given = environment.get("environment_variables") if isinstance(environment, dict) else None
    for path, variables in _by_kind(given):
        for name, value in variables.items() if isinstance(variables, dict) else ():
            if _is_number(value):
                variables[name] = numbers.get(beneath(path, name), value)


def variables_of(given: Any, *, gpus: bool) -> dict[str, str]:
    """Return the variables of a trial, from what has no fault.

    Args:
        given: as in the file.
        gpus: whether trials ask for GPUs.
    """
    if _has_kinds(given):
        kinds = _WITH_GPUS if gpus else _WITHOUT_GPUS
        return {name: value for kind in kinds for name, value in variables_of(given.get(kind), gpus=gpus).items()}
    if isinstance(given, Mapping):
        return {name: _as_text(value) for name, value in given.items()}
    return dict(item.split("=", 1) for item in given or ())
