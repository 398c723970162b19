"""From what a user writes, or its JSON form, to the tree of nodes. Finds everything that is wrong, with its path. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from shadho_like.errors import SpaceError, nearest
from shadho_like.space.domain import Domain
from shadho_like.space.domains import DOMAINS, Choice, Constant, Power
from shadho_like.space.nodes import Dependent, Group, Leaf, Listed, Node

FLAGS = ("exclusive", "optional")
"""The keys of a nested dict that say which of its children are drawn."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What `spaces.scope` gives: children of which all, one, or all or none are drawn."""

    domains: Mapping[str, Any]
    exclusive: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Repeat:
    """What `spaces.repeat` gives: 1 to n draws of one domain."""

    domain: Any
    n: int


@dataclass(frozen=True, slots=True)
class Sequential:
    """What `spaces.sequential` gives: one draw of each domain, in order."""

    domains: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """What `spaces.dependent` gives: a value computed from the others."""

    domain: Any
    callback: Callable[..., Any]


def build(written: Any, path: str = "") -> Node:
    """Return the tree for what a user wrote.

    Raises:
        SpaceError: the first thing that is wrong, with its path.
    """
    if isinstance(written, Domain):
        return _leaf(written, path)
    if isinstance(written, Scope):
        return _group(written.domains, path, {"exclusive": written.exclusive, "optional": written.optional})
    if isinstance(written, Mapping):
        flags = {key: written[key] for key in FLAGS if key in written}
        return _group({key: value for key, value in written.items() if key not in FLAGS}, path, flags)
    if isinstance(written, Repeat):
        if isinstance(written.n, bool) or not isinstance(written.n, int) or written.n < 1:
            message = f"repeat needs a whole number of at least 1, not {written.n!r}"
            raise SpaceError(path, message)
        return Listed(path, [_item(written.domain, path, index) for index in range(written.n)], repeat=True)
    if isinstance(written, Sequential):
        if not written.domains:
            raise SpaceError(path, "sequential needs at least one domain")
        return Listed(path, [_item(domain, path, index) for index, domain in enumerate(written.domains)], repeat=False)
    if isinstance(written, Derived):
        return _dependent(written, path)
    if isinstance(written, Sequence) and not isinstance(written, str):
        return _leaf(Choice(written), path)
    return _leaf(Constant(written), path)


def _leaf(domain: Domain, path: str) -> Leaf:
    if domain.fault is not None:
        raise SpaceError(path, domain.fault)
    if isinstance(domain, Choice):
        for option in domain.options:
            _check_json(option, path)
    return Leaf(path, domain)


def _check_json(value: Any, path: str) -> None:
    if isinstance(value, Domain | Scope | Repeat | Sequential | Derived):
        raise SpaceError(path, "a list holds plain values; to choose between domains use spaces.scope(exclusive=True, a=..., b=...)")
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError, RecursionError):
        same = False
    if not same:
        message = f"{value!r} is no JSON value; use numbers, strings, true, false, null, and lists and dicts of them"
        raise SpaceError(path, message)


def _group(children: Mapping[Any, Any], path: str, flags: Mapping[str, Any]) -> Group:
    for flag, value in flags.items():
        if not isinstance(value, bool):
            message = f"{flag!r} in a search space says which children are drawn and must be True or False; rename the hyperparameter"
            raise SpaceError(f"{path}.{flag}" if path else flag, message)
    nodes: dict[str, Node] = {}
    for name, child in children.items():
        if not isinstance(name, str) or not name or "." in name:
            message = f"{name!r} cannot name a hyperparameter: a name is a string without dots"
            raise SpaceError(path, message)
        nodes[name] = build(child, f"{path}.{name}" if path else name)
    if not nodes and flags:
        raise SpaceError(path, "an exclusive or optional scope needs at least one child")
    return Group(path, nodes, exclusive=flags.get("exclusive", False), optional=flags.get("optional", False))


def _item(domain: Any, path: str, index: int) -> Node:
    if isinstance(domain, Derived):
        raise SpaceError(f"{path}[{index}]", "a dependent value needs a name: it cannot be an item of a list")
    return build(domain, f"{path}[{index}]")


def _dependent(written: Derived, path: str) -> Dependent:
    if not callable(written.callback):
        message = f"dependent needs a function, not {written.callback!r}"
        raise SpaceError(path, message)
    if isinstance(written.domain, Derived):
        raise SpaceError(path, "a dependent value cannot be the domain of another")
    inner = None if written.domain is None else build(written.domain, path)
    return Dependent(path, inner, written.callback)


def written_from_json(value: Mapping[str, Any], path: str = "") -> Any:
    """Return what a user would have written for the JSON form of a node.

    Raises:
        SpaceError: it names something that does not exist here.
    """
    arguments = dict(value)
    kind = arguments.pop("type")
    if kind in DOMAINS:
        return DOMAINS[kind](**arguments)
    if kind == "power":
        return Power(arguments["base"], written_from_json(arguments["exponent"], path))
    if kind == "scope":
        domains = {name: written_from_json(child, f"{path}.{name}") for name, child in arguments.pop("domains").items()}
        return Scope(domains, **arguments)
    if kind == "repeat":
        return Repeat(written_from_json(arguments["domain"], path), arguments["n"])
    if kind == "sequential":
        return Sequential(tuple(written_from_json(child, path) for child in arguments["domains"]))
    if kind == "dependent":
        inner = arguments["domain"]
        return Derived(None if inner is None else written_from_json(inner, path), _found(arguments["callback"], path.strip(".")))
    message = f"unknown domain {kind!r}: {nearest(kind, [*DOMAINS, 'power', 'scope', 'repeat', 'sequential', 'dependent'])}"
    raise SpaceError(path.strip("."), message)


def _found(name: str, path: str) -> Callable[..., Any]:
    module, _, qualname = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        message = f"its callback {name} cannot be found again; define it with def at the top of a module that can be imported"
        raise SpaceError(path, message) from error
    callback: Callable[..., Any] = found
    return callback
