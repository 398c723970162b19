"""How strictly values are taken: numbers, text and truth are never made of each other, but a list may stand for a tuple."""

from __future__ import annotations

import numbers
from typing import Any

from pydantic_core import core_schema

from shadho_like.configs.base import REQUIRED

_OPAQUE = frozenset({"cls", "default", "default_factory", "expected", "members", "metadata"})


def strict_schema(node: Any) -> Any:
    """Return a schema of pydantic's with its scalars strict; done twice, it changes nothing.

    An int is taken from 10.0, never from "7", True or 10.5. The default that stands for "none yet" is not checked.
    """
    if isinstance(node, list | tuple):
        return type(node)(strict_schema(item) for item in node)
    if not isinstance(node, dict):
        return node
    made = {key: value if key in _OPAQUE else strict_schema(value) for key, value in node.items()}
    kind = made.get("type")
    if kind == "default" and made.get("default") is REQUIRED:
        made["validate_default"] = False
    if kind == "union":
        made["choices"] = _choices(node["choices"], made["choices"])
    if kind in {"bool", "str"}:
        made["strict"] = True
    if kind in {"int", "float"} and not made.get("strict"):
        return _before(kind, made)
    return made


def _before(kind: str, node: dict[str, Any]) -> Any:
    strict: Any = {**node, "strict": True}
    return core_schema.no_info_before_validator_function(_whole if kind == "int" else _real, strict)


def _choices(before: list[Any], after: list[Any]) -> list[Any]:
    """Keep an int an int and a float a float where both are allowed."""
    if "float" not in [choice.get("type") for choice in before if isinstance(choice, dict)]:
        return after
    plain = [isinstance(choice, dict) and choice.get("type") in {"int", "float"} for choice in before]
    return [{**old, "strict": True} if is_plain else new for old, new, is_plain in zip(before, after, plain, strict=True)]


def _whole(value: Any) -> Any:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and float(value).is_integer():
        return int(float(value))
    return value


def _real(value: Any) -> Any:
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else value
