"""The configs that a config holds, also those in its lists, tuples, sets and dicts, with the paths to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from shadho_like.errors import ConfigError

if TYPE_CHECKING:
    from shadho_like.configs.base import Config


def children(config: Config) -> Iterator[tuple[str, Config]]:
    """Yield the configs right below one, with the steps to them."""
    for item in fields(config):  # type: ignore[arg-type]
        yield from parts(getattr(config, item.name), f".{item.name}")


def parts(value: Any, path: str) -> Iterator[tuple[str, Config]]:
    """Yield the configs in a value, but not those in them.

    Raises:
        ConfigError: a list, tuple or dict holds itself.
    """
    yield from _parts(value, path, ())


def _parts(value: Any, path: str, around: tuple[int, ...]) -> Iterator[tuple[str, Config]]:
    if is_config(value):
        yield path, value
    elif isinstance(value, dict | list | tuple | set | frozenset):
        if id(value) in around:
            raise ConfigError(path, f"a {type(value).__name__} that holds itself cannot be part of a config")
        keyed = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in keyed:
            yield from _parts(item, f"{path}[{key!r}]", (*around, id(value)))


def walk(root: Config) -> Iterator[tuple[str, Config]]:
    """Yield each config in a config once, itself first, with the paths to them.

    Raises:
        ConfigError: a config holds itself; the message names where it begins and where it comes round.
    """
    yield from _walk(root, "", {}, set())


def _walk(config: Config, path: str, around: dict[int, str], seen: set[int]) -> Iterator[tuple[str, Config]]:
    if id(config) in around:
        raise ConfigError(path, f"this is config{around[id(config)]} again: no config can hold itself")
    if id(config) in seen:
        return
    seen.add(id(config))
    yield path, config
    for step, child in children(config):
        yield from _walk(child, path + step, {**around, id(config): path}, seen)


def is_config(value: Any) -> bool:
    """Return whether a value is a strict config."""
    return "__pydantic_validator__" in vars(type(value)) and hasattr(value, "custom_finalize")
