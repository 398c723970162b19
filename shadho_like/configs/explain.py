"""What pydantic finds wrong, in one line that a person can act on and that survives pickling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import ValidationError

from shadho_like.errors import ConfigError, nearest

_LONGEST = 60


def explained(error: ValidationError, kind: type[Any], given: Mapping[str, Any]) -> ConfigError:
    """Return the first thing that is wrong.

    Args:
        error: what pydantic raised.
        kind: the config class that was made or changed.
        given: the values that were to be set, by name.
    """
    return _explained(error.errors(include_url=False), kind, given)


def _explained(wrong: Sequence[Any], kind: type[Any], given: Mapping[str, Any]) -> ConfigError:
    first = wrong[0]
    loc = first["loc"]
    name = str(loc[0]) if loc else ""
    if name not in {item.name for item in fields(kind)}:
        if first["type"] == "unexpected_keyword_argument":
            return ConfigError(f".{name}", f"{kind.__name__} has no field {name!r}: {nearest(name, [item.name for item in fields(kind)])}")
        return ConfigError("", f"{kind.__name__}: {first['msg']}")
    about = [entry for entry in wrong if entry["loc"][:1] == loc[:1]]
    inner = kind.__pydantic_fields__[name].annotation
    if len(loc) > 1 and "__pydantic_validator__" in vars(inner if isinstance(inner, type) else object):
        # A mapping was given for a config: what is wrong is wrong in there.
        below = [{**entry, "loc": entry["loc"][1:]} for entry in about]
        return _explained(below, inner, given.get(name, {})).beneath(f".{name}")
    declares = f"{kind.__name__} declares {name}: {annotation_text(kind, name)}"
    if len(about) == 1:
        return ConfigError(_path(loc), f"{declares}, which does not take {described(first['input'])}: {_reason(first['msg'])}")
    return ConfigError(f".{name}", f"{declares}, which does not take {described(given.get(name, first['input']))}")


def annotation_text(kind: type[Any], name: str) -> str:
    """Return a field's type as a person would write it."""
    annotation = kind.__pydantic_fields__[name].annotation
    if isinstance(annotation, type) and not getattr(annotation, "__args__", ()):
        return annotation.__name__
    text = str(annotation).replace("typing.", "").replace("NoneType", "None")
    return text.replace(f"{kind.__module__}.", "").replace("<locals>.", "")


def described(value: Any) -> str:
    """Return a value and its type, shortened."""
    text = repr(value)
    return f"{text if len(text) <= _LONGEST else text[: _LONGEST - 3] + '...'} ({type(value).__name__})"


def _path(loc: tuple[int | str, ...]) -> str:
    return f".{loc[0]}" + "".join(f"[{step!r}]" for step in loc[1:])


def _reason(text: str) -> str:
    return text[:1].lower() + text[1:]
