"""Overrides as `optimizer.betas=[0.9, 0.95]`: where they point to, and which reading of their text fits what is declared there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from shadho_like.configs.base import Config, declared, unknown
from shadho_like.configs.literals import evaluate
from shadho_like.configs.plain import annotation_of, choice, config_classes, element
from shadho_like.configs.tree import is_config
from shadho_like.errors import ConfigError

_STEP = re.compile(r"\[([^\[\]]*)\]|([^.\[\]]+)")
_OVERRIDE = re.compile(r"(?:--)?([^=\s]+?)=(.*)", re.DOTALL)


def apply_overrides(config: Config, overrides: Iterable[str]) -> None:
    """Set fields as `name=value` texts say, one after another.

    A value is a literal, simple arithmetic, a list or a dict, or else text; for a nested config it is the name of a class.

    Raises:
        ConfigError: a text that is no override, an unknown name, or a value that the field does not take.
    """
    for text in overrides:
        match = _OVERRIDE.fullmatch(text)
        if match is None:
            raise ConfigError("", f"{text!r} is no override: write name=value, as in lr=0.1 or optimizer.name=sgd")
        steps = [bracketed or dotted for bracketed, dotted in _STEP.findall(match[1])]
        _set(config, steps, match[2], "")


def _set(config: Config, steps: Sequence[str], text: str, path: str) -> None:
    """Set what `steps` lead to from a config that is at `path`."""
    name, kind = steps[0], type(config)
    if name not in declared(kind):
        raise ConfigError(f"{path}.{name}", unknown(kind, name))
    value, at = getattr(config, name), f"{path}.{name}"
    for number, step in enumerate(steps[1:], 1):
        if is_config(value):
            _set(value, steps[number:], text, at)
            return
        value = _item(value, step, at, last=number == len(steps) - 1)
        at += f".{step}" if step.isidentifier() else f"[{step}]"
    _assign(config, steps, text, at)


def _item(value: Any, step: str, path: str, *, last: bool) -> Any:
    """Return a part of a list, tuple or dict; a dict's last key may be new."""
    if isinstance(value, dict):
        key = _key(value, step)
        if key in value or last:
            return value.get(key)
        raise ConfigError(path, f"it has no key {step!r}; there are {', '.join(map(repr, value)) or 'none'}")
    if not isinstance(value, list | tuple):
        raise ConfigError(path, f"it is {value!r}, which has no part {step!r}: give it a value as a whole first")
    if not step.lstrip("-").isdecimal() or not -len(value) <= int(step) < len(value):
        raise ConfigError(path, f"it has {len(value)} elements, counted from 0, and no {step!r} among them")
    return value[int(step)]


def _key(value: dict[Any, Any], step: str) -> Any:
    """Return the key that a step means: text, or what the text stands for where such a key is there."""
    with suppress(ValueError, TypeError):
        meant = evaluate(step)
        if step not in value and meant in value:
            return meant
    return step


def _assign(config: Config, steps: Sequence[str], text: str, path: str) -> None:
    """Give a field, or a part of it that is at `path`, the first reading of a text that it takes."""
    name, value = steps[0], getattr(config, steps[0])
    annotation = annotation_of(type(config), name)
    for step in steps[1:]:
        annotation = element(annotation, dict if isinstance(value, dict) else list, 0)
        value = _item(value, step, path, last=True)
    wrong: ConfigError | None = None
    for reading in _readings(text, annotation, path):
        try:
            setattr(config, name, _with(getattr(config, name), steps[1:], reading))
        except ConfigError as error:
            wrong = wrong or error
        else:
            return
    assert wrong is not None
    raise wrong


def _readings(text: str, annotation: Any, path: str) -> Iterator[Any]:
    """Yield what a text may mean, the likeliest first."""
    if config_classes(annotation) and text.isidentifier() and text not in {"None", "null"}:
        yield choice(text, annotation, path)()
        return
    with suppress(ValueError):
        yield evaluate(text)
    yield text


def _with(value: Any, steps: Sequence[str], new: Any) -> Any:
    """Return a value with one of its parts replaced, itself unchanged."""
    if not steps:
        return new
    if isinstance(value, dict):
        key = _key(value, steps[0])
        return {**value, key: _with(value.get(key), steps[1:], new)}
    items = list(value)
    items[int(steps[0])] = _with(items[int(steps[0])], steps[1:], new)
    return type(value)(items)
