"""The form of a search space in a YAML file: Determined's hyperparameters, and every domain of ours by its name. Pure.

A mapping with a `type` is a domain; any other is nested hyperparameters, with `exclusive` and `optional` as in a space; a list holds
one draw of each item; everything else is a constant.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shadho_like.errors import SpaceError, nearest
from shadho_like.space.build import FLAGS, Sequential
from shadho_like.space.domain import Domain
from shadho_like.space.domains import DOMAINS, Choice, Constant, Power, RandInt, Uniform


def tree_from_yaml(value: Any) -> tuple[Any, list[SpaceError]]:
    """Return what `Space` takes for what a file holds, and everything that is wrong with it, each with its path."""
    faults: list[SpaceError] = []
    return _read(value, "", faults), faults


def _read(value: Any, path: str, faults: list[SpaceError]) -> Any:
    if isinstance(value, Mapping) and "type" in value and not isinstance(value["type"], Mapping):
        return _domain(value, path, faults)
    if isinstance(value, Mapping):
        beneath = {name: f"{path}.{name}" if path else str(name) for name in value}
        return {name: child if name in FLAGS else _read(child, beneath[name], faults) for name, child in value.items()}
    if isinstance(value, list) and value:
        return Sequential(tuple(_read(child, f"{path}[{index}]", faults) for index, child in enumerate(value)))
    return Constant(value)


def _domain(value: Mapping[str, Any], path: str, faults: list[SpaceError]) -> Any:
    kind = value["type"]
    if not isinstance(kind, str) or kind not in _KINDS:
        message = f"there is no hyperparameter of type {kind!r}: {nearest(str(kind), _KINDS)} For a hyperparameter called 'type', nest it: "
        faults.append(SpaceError(f"{path}.type" if path else "type", message + "type: {type: const, val: ...}"))
        return Constant(None)
    make = _KINDS[kind]
    faulty = [SpaceError(f"{path}.{name}" if name else path, text) for name, text in _key_faults(kind, make, value)]
    if faulty:
        faults += faulty
        return Constant(None)
    try:
        domain = make(**{key: item for key, item in value.items() if key != "type"})
        fault = domain.fault
    except (TypeError, ValueError) as error:
        fault = str(error)
    if fault is not None:
        first = fault.partition(" ")[0]
        faults.append(SpaceError(f"{path}.{first}" if first in value else path, fault))
        return Constant(None)
    return domain


def _key_faults(kind: str, make: Callable[..., Domain], value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    parameters = inspect.signature(make).parameters
    for key in value:
        if key != "type" and key not in parameters:
            yield str(key), f"a hyperparameter of type {kind} has no such key: {nearest(str(key), parameters)}"
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in value:
            yield "", f"a hyperparameter of type {kind} needs {name}"


def _int(minval: Any, maxval: Any, count: int | None = None) -> Domain:
    """Return whole numbers from minval to maxval, both included."""
    _check_order(minval, maxval)
    whole = isinstance(maxval, int) and not isinstance(maxval, bool)
    return RandInt(minval, maxval + 1 if whole else maxval, 1, count)


def _log(minval: Any, maxval: Any, base: float = 10.0, count: int | None = None) -> Domain:
    """Return base ** u, u uniform on [minval, maxval]."""
    if isinstance(base, bool) or not isinstance(base, int | float) or not 1 < base < math.inf:
        message = f"base must be a number above 1, not {base!r}"
        raise ValueError(message)
    _check_order(minval, maxval)
    scale = math.log10(base)
    numbers = all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in (minval, maxval))
    return Power("log10", Uniform(minval * scale, maxval * scale, count) if numbers else Uniform(minval, maxval, count))


def _double(minval: Any, maxval: Any, count: int | None = None) -> Domain:
    _check_order(minval, maxval)
    return Uniform(minval, maxval, count)


def _check_order(minval: Any, maxval: Any) -> None:
    numbers = all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in (minval, maxval))
    if numbers and minval > maxval:
        message = f"minval must not be above maxval, as {minval} is above {maxval}"
        raise ValueError(message)


def _categorical(vals: Any) -> Domain:
    return Choice(vals)


def _const(val: Any) -> Domain:
    return Constant(val)


_KINDS: Mapping[str, Callable[..., Domain]] = {
    **DOMAINS,
    "const": _const,
    "int": _int,
    "double": _double,
    "log": _log,
    "categorical": _categorical,
}
