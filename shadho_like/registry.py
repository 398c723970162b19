"""Looks a name up in a table of "module:Class" strings and imports what it names, on use and not before."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from shadho_like.errors import OptionError, nearest


def lookup(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """Return the object that `table[name]` names as "module:attribute".

    Raises:
        OptionError: there is no such name; the message gives the nearest one and all of them.
    """
    if name not in table:
        message = f"unknown {kind} {name!r}: {nearest(name, table)}"
        raise OptionError(message)
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)
