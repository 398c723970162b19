"""How the search method of a driver is made, for each of its runs anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shadho_like import searcher
from shadho_like.errors import OptionError
from shadho_like.searcher import BuiltInMethod, Recipe, SearchMethod

_CONCURRENCY = "max_concurrent_trials"


def recipe_of(method: str | SearchMethod, concurrency: int, *, smaller_is_better: bool) -> Recipe:
    """Return how the search method is made, for each run of the driver anew."""
    if isinstance(method, str):
        keys = {_CONCURRENCY: concurrency} if searcher.takes_key(method, _CONCURRENCY) else {}
        return Recipe(method, keys, None, smaller_is_better)
    if isinstance(method, SearchMethod) and not isinstance(method, BuiltInMethod):
        return Recipe("custom", {"class": type(method).__qualname__}, None, smaller_is_better)
    recipe = method.recipe if isinstance(method, BuiltInMethod) else None
    if recipe is None:
        message = f"method must be a name, what searcher.create returns, or a SearchMethod of your own, not {method!r}"
        raise OptionError(message)
    if smaller_is_better and not recipe.smaller_is_better:
        message = "the search method was made with smaller_is_better=False: give that to Shadho too"
        raise OptionError(message)
    return recipe


def kept_concurrency(held: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    """Say that the search method goes on as it began, where the driver asks for another number of open trials now."""
    before, now = held.get(_CONCURRENCY), asked.get(_CONCURRENCY)
    if before != now:
        yield f"max_queued_tasks: {before} trials are open at once, as when this experiment began; {now} would take a new one"
