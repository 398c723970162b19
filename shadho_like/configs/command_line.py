"""`@main(Config)` and `run(fn)`: a function of a config as a program, with the config's fields as its options."""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn, TypeVar

from shadho_like.configs.base import REQUIRED, Config
from shadho_like.configs.comments import comments
from shadho_like.configs.explain import annotation_text
from shadho_like.configs.overrides import apply_overrides
from shadho_like.configs.plain import as_yaml
from shadho_like.configs.tree import is_config
from shadho_like.errors import ConfigError

R = TypeVar("R")

_USAGE = """usage: {program} [NAME=VALUE ...] [--config FILE] [--show]

  NAME=VALUE     a field below: a literal, simple arithmetic, a list, a dict or text; --NAME=VALUE is the same
  --config FILE  start from the values in a YAML file
  --show         print the final config and end
  -h, --help     print this and end

fields of {config}:"""


def main(kind: type[Any]) -> Callable[[Callable[[Any], R]], Callable[..., R]]:
    """Make a function of a config a program.

    Called without arguments it reads the command line; called with a config it is the function itself.
    """

    def decorate(function: Callable[[Any], R]) -> Callable[..., R]:
        @functools.wraps(function)
        def program(*config: Any) -> R:
            return function(*config) if config else _run(function, kind, sys.argv)

        return program

    return decorate


def run(function: Callable[[Any], R]) -> R:
    """Call a function with the config that its first parameter is annotated with, as the command line says.

    Raises:
        ConfigError: the function does not say which config it takes.
    """
    kind = next(iter(typing.get_type_hints(function).values()), None)
    if not (isinstance(kind, type) and issubclass(kind, Config)):
        name = getattr(function, "__name__", "the function")
        raise ConfigError("", f"{name} does not say which config it takes: annotate its parameter, as in def {name}(config: Config)")
    return _run(function, kind, sys.argv)


def _run(function: Callable[[Any], R], kind: type[Config], argv: Sequence[str]) -> R:
    """Make the config of a command line final and call the function with it, unless the line asks for something else."""
    try:
        asked = _asked(argv[1:])
        if asked.help:
            print(_USAGE.format(program=argv[0], config=kind.__name__))
            print("\n".join(_described(kind)))
            sys.exit(0)
        config = kind.from_yaml(asked.config) if asked.config is not None else kind()
        apply_overrides(config, asked.overrides)
        config.finalize()
        if asked.show:
            print(as_yaml(config), end="")
            sys.exit(0)
    except (ConfigError, ValueError) as error:
        _refuse(error)
    return function(config)


def _refuse(error: Exception) -> NoReturn:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A command line, read."""

    overrides: tuple[str, ...] = ()
    config: str | None = None
    show: bool = False
    help: bool = False


def _asked(arguments: Sequence[str]) -> _Asked:
    overrides: list[str] = []
    config: str | None = None
    rest = iter(arguments)
    for text in rest:
        if text == "--config" or text.startswith("--config="):
            config = text.partition("=")[2] or next(rest, "")
            if not config:
                raise ConfigError("", "--config needs the name of a YAML file")
        elif text not in {"--show", "--help", "-h"}:
            overrides.append(text)
    shown = "--show" in arguments
    return _Asked(tuple(overrides), config, shown, "--help" in arguments or "-h" in arguments)


def _described(kind: type[Config]) -> list[str]:
    """Return a line for each field: its path, type, default and comment."""
    rows = list(_rows(kind(), ""))
    width = min(60, max((len(left) for left, _ in rows), default=0))
    return [f"  {left:<{width}}  {comment}".rstrip() for left, comment in rows]


def _rows(config: Config, prefix: str) -> Iterator[tuple[str, str]]:
    said = comments(type(config))
    for item in fields(config):  # type: ignore[arg-type]
        if item.metadata.get("implicit"):
            continue
        value, name = getattr(config, item.name), f"{prefix}{item.name}"
        shown = type(value).__name__ if is_config(value) else "required" if value is REQUIRED else repr(value)
        text = f"{name}: {annotation_text(type(config), item.name)}"
        yield (f"{text} (required)" if value is REQUIRED else f"{text} = {shown}"), said.get(item.name, "")
        if is_config(value):
            yield from _rows(value, f"{name}.")
