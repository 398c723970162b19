"""A config as plain data and back, as YAML, and its digest. A nested config says its class where the declaration leaves a choice."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path, PurePath
from types import FunctionType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

import yaml

from shadho_like.configs.explain import described
from shadho_like.configs.tree import is_config
from shadho_like.errors import ConfigError, nearest

if TYPE_CHECKING:
    from shadho_like.configs.base import Config

K = TypeVar("K", bound="Config")
L = TypeVar("L", yaml.SafeDumper, yaml.SafeLoader)
CLASS_KEY = "class"


def to_dict(config: Config) -> dict[str, Any]:
    """Return the plain data of a config."""
    return {
        item.name: _plain(getattr(config, item.name), annotation_of(type(config), item.name), f".{item.name}")
        for item in fields(config)  # type: ignore[arg-type]
        if not _unset(config, item)
    }


def _unset(config: Any, item: Any) -> bool:
    """Return whether a field says nothing yet: it waits for its value, or every config has it and this one does not use it."""
    value = getattr(config, item.name)
    return repr(value) == "REQUIRED" or (value is None and bool(item.metadata.get("implicit")))


def _plain(value: Any, annotation: Any, path: str) -> Any:
    if is_config(value):
        tag = {} if config_classes(annotation) == [type(value)] else {CLASS_KEY: type(value).__name__}
        try:
            return {**tag, **to_dict(value)}
        except ConfigError as error:
            raise error.beneath(path) from None
    if isinstance(value, dict):
        return {_plain(key, Any, path): _plain(item, element(annotation, dict, -1), f"{path}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, element(annotation, type(value), at), f"{path}[{at}]") for at, item in enumerate(value)]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item, Any, path) for item in value), key=repr)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ConfigError(path, f"{described(value)} has no plain form: numbers, text, lists, dicts, enums, paths and configs have")


def from_dict(kind: type[K], value: Mapping[str, Any]) -> K:
    """Make a config of plain data."""
    if not isinstance(value, Mapping):
        raise ConfigError("", f"{kind.__name__} is made of names and values, not of {described(value)}")
    value = {key: item for key, item in value.items() if key != CLASS_KEY}
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    for name in value:
        if name not in known:
            raise ConfigError(f".{name}", f"{kind.__name__} has no field {name!r}: {nearest(str(name), known)}")
    return kind(**{name: _revived(item, annotation_of(kind, name), f".{name}") for name, item in value.items()})


def _revived(value: Any, annotation: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        kind = _class_of(value, annotation, path)
        if kind is None:
            return {key: _revived(item, element(annotation, dict, -1), f"{path}[{key!r}]") for key, item in value.items()}
        try:
            return from_dict(kind, value)
        except ConfigError as error:
            raise error.beneath(path) from None
    if isinstance(value, list):
        return [_revived(item, element(annotation, list, at), f"{path}[{at}]") for at, item in enumerate(value)]
    return value


def _class_of(value: Mapping[str, Any], annotation: Any, path: str) -> type[Config] | None:
    """Return the config class that a mapping stands for, None where it is a dict."""
    declared = config_classes(annotation)
    if CLASS_KEY in value:
        return choice(str(value[CLASS_KEY]), annotation, path)
    if len(declared) > 1:
        names = " or ".join(kind.__name__ for kind in declared)
        raise ConfigError(path, f"it may be {names}: say which, as in {CLASS_KEY}: {declared[0].__name__}")
    return declared[0] if declared else None


def choice(name: str, annotation: Any, path: str) -> type[Config]:
    """Return the config class of that name that an annotation allows.

    Raises:
        ConfigError: there is none.
    """
    known = {kind.__name__: kind for kind in choices(annotation)}
    if name not in known:
        raise ConfigError(path, f"there is no config class {name!r} for it: {nearest(name, known)}")
    return known[name]


def choices(annotation: Any) -> list[type[Config]]:
    """Return the config classes that an annotation allows, subclasses among them; all that there are where it allows anything."""
    from shadho_like.configs.base import Config

    roots = config_classes(annotation) or [Config]
    return list(dict.fromkeys(kind for root in roots for kind in _family(root)))


def _family(kind: type[Config]) -> Iterator[type[Config]]:
    if "__pydantic_validator__" in vars(kind):
        yield kind
    for below in kind.__subclasses__():
        yield from _family(below)


def annotation_of(kind: type[Any], name: str) -> Any:
    """Return a field's type."""
    return kind.__pydantic_fields__[name].annotation


def config_classes(annotation: Any) -> list[type[Config]]:
    """Return the config classes that an annotation names itself, not in a list or dict."""
    return [arg for arg in alternatives(annotation) if isinstance(arg, type) and "__pydantic_validator__" in vars(arg)]


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the one type that there is."""
    if get_origin(annotation) in {Union, UnionType}:
        return tuple(one for arg in get_args(annotation) for one in alternatives(arg))
    return (annotation,)


def element(annotation: Any, container: type, at: int) -> Any:
    """Return the declared type of an element: a dict's values, or what is at a place of a list or tuple."""
    sequence = {list, tuple, set, frozenset}
    for one in alternatives(annotation):
        origin, args = get_origin(one), get_args(one)
        if not args or not isinstance(origin, type):
            continue
        if container is dict and issubclass(origin, Mapping):
            return args[-1]
        if container in sequence and origin is tuple and args[-1] is not Ellipsis and at < len(args):
            return args[at]
        if container in sequence and not issubclass(origin, Mapping):
            return args[0]
    return Any


def as_yaml(config: Config) -> str:
    """Return a config as YAML text, from which `from_yaml` makes an equal one."""
    text: str = yaml.dump(to_dict(config), Dumper=_with_exponents(yaml.SafeDumper), sort_keys=False, allow_unicode=True)
    return text


def save_yaml(config: Config, path: Path) -> None:
    """Write a config to a file, whole or not at all."""
    text = as_yaml(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def from_yaml(kind: type[K], path: Path) -> K:
    """Read a config from a file."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), _with_exponents(yaml.SafeLoader))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("", f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError("", f"{path}{where}: this is no YAML: {getattr(error, 'problem', None) or error}") from None
    return from_dict(kind, {} if value is None else value)


def _with_exponents(kind: type[L]) -> type[L]:
    """Return a loader or dumper that takes 1e-3 for the number that it is, as YAML 1.2 does and PyYAML does not."""
    made: type[L] = type(kind.__name__, (kind,), {})
    made.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))
    return made


def digest(config: Config) -> str:
    """Return 32 hexadecimal digits of a config's class and values."""
    text = json.dumps(_canonical(config, ""), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _canonical(value: Any, path: str) -> Any:
    """Return a JSON value that is the same for equal values: 1, 1.0 and True are equal, a list and a tuple are not."""
    if is_config(value) or (is_dataclass(value) and not isinstance(value, type)):
        named = {
            item.name: _canonical(getattr(value, item.name), f"{path}.{item.name}")
            for item in fields(value)
            if item.compare and not _unset(value, item)
        }
        return ["config", type(value).__qualname__, named]
    if isinstance(value, Enum):
        return ["enum", type(value).__qualname__, value.name]
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return ["number", _number(value)]
    if isinstance(value, dict):
        pairs = [[_canonical(key, path), _canonical(item, f"{path}[{key!r}]")] for key, item in value.items()]
        return ["dict", sorted(pairs, key=json.dumps)]
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [kind, [_canonical(item, f"{path}[{at}]") for at, item in enumerate(value)]]
    if isinstance(value, set | frozenset):
        return ["set", sorted((_canonical(item, path) for item in value), key=json.dumps)]
    if isinstance(value, PurePath):
        return ["path", str(value)]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, type | FunctionType):
        return ["name", value.__qualname__]
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        items = value.tolist()
        return _canonical(items, path) if not isinstance(items, list) else ["array", str(value.dtype), _canonical(items, path)]
    raise ConfigError(path, f"{described(value)} cannot be part of a digest: nothing tells whether another one is equal")


def _number(value: float) -> str:
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
        return repr(value)
    return str(int(value)) if value == int(value) else repr(float(value))
