"""Search methods: the interface, the table of the built-in ones, and `create`, which makes one from its name and keys."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from shadho_like.errors import OptionError, nearest
from shadho_like.registry import lookup
from shadho_like.searcher.base import BuiltInMethod, SearcherState, SearchMethod
from shadho_like.searcher.samplers import RandomSampler
from shadho_like.space import Space

__all__ = ["METHODS", "BuiltInMethod", "SearchMethod", "SearcherState", "create"]

METHODS: Mapping[str, str] = {
    "random": "shadho_like.searcher.random:RandomSearch",
}


def create(name: str, space: Space, *, seed: int, **keys: Any) -> BuiltInMethod:
    """Return the built-in search method of that name over `space`, with its own keys.

    Raises:
        OptionError: an unknown name or key (the message gives the nearest), or a value that a key cannot take.
    """
    method = lookup("search method", name, METHODS)
    known = [key for key, parameter in inspect.signature(method).parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
    for key in keys:
        if key not in known:
            message = f"the search method {name!r} has no key {key!r}: {nearest(key, known)}"
            raise OptionError(message)
    made: BuiltInMethod = method(RandomSampler(space, seed), **keys)
    return made
