"""Search methods: the interface, the table of the built-in ones, and `create`, which makes one from its name and keys."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from shadho_like.errors import OptionError, nearest
from shadho_like.operations import Close, Create, ExitedReason, Operation, Progress, Shutdown, ValidateAfter
from shadho_like.registry import lookup
from shadho_like.searcher.base import BuiltInMethod, Recipe, SearcherState, SearchMethod
from shadho_like.searcher.options import DIRECTIONS, check_metrics
from shadho_like.searcher.samplers import RandomSampler, Sampler
from shadho_like.space import Space, as_space

__all__ = [
    "METHODS",
    "SAMPLERS",
    "BuiltInMethod",
    "Close",
    "Create",
    "ExitedReason",
    "Operation",
    "Progress",
    "Recipe",
    "SearchMethod",
    "SearcherState",
    "Shutdown",
    "ValidateAfter",
    "create",
    "own_keys",
    "takes_key",
]

SAMPLERS: Mapping[str, str] = {
    "cmaes": "shadho_like.searcher.optuna_sampler:OptunaSampler",
    "gp": "shadho_like.searcher.optuna_sampler:OptunaSampler",
    "nsgaii": "shadho_like.searcher.optuna_sampler:OptunaSampler",
    "random": "shadho_like.searcher.samplers:RandomSampler",
    "tpe": "shadho_like.searcher.optuna_sampler:OptunaSampler",
}
METHODS: Mapping[str, str] = {
    "adaptive_asha": "shadho_like.searcher.adaptive_asha:AdaptiveAsha",
    **dict.fromkeys(("cmaes", "gp", "tpe"), "shadho_like.searcher.random:RandomSearch"),
    "async_halving": "shadho_like.searcher.async_halving:AsyncHalving",
    "binary": "shadho_like.searcher.binary:BinarySearch",
    "grid": "shadho_like.searcher.grid:GridSearch",
    "hyperband": "shadho_like.searcher.hyperband:Hyperband",
    "nsgaii": "shadho_like.searcher.nsgaii:GeneticSearch",
    "pasha": "shadho_like.searcher.pasha:Pasha",
    "pbt": "shadho_like.searcher.pbt:PopulationBasedTraining",
    "random": "shadho_like.searcher.random:RandomSearch",
    "single": "shadho_like.searcher.single:SingleTrial",
}


_RUNNERS: Mapping[str, str] = {
    name: f"shadho_like.search_runner:{name}" for name in ("CoreSearchRunner", "LocalSearchRunner", "RemoteSearchRunner")
}


def __getattr__(name: str) -> Any:
    """Load a runner when it is asked for: it stands on everything that the methods know nothing of."""
    if name not in _RUNNERS:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return lookup("name", name, _RUNNERS)


_GIVEN = ("space", "seed", "smaller_is_better")


def create(name: str, space: Any, *, seed: int | None = None, smaller_is_better: bool = True, **keys: Any) -> BuiltInMethod:
    """Return the built-in search method of that name over `space`, with its own keys.

    Args:
        name: one of `METHODS`.
        space: a Space, or what one is made of.
        seed: the same seed gives the same search; None for one that nobody knows.
        smaller_is_better: whether the metric is minimised.
        keys: the method's own; `sampler` is one of `SAMPLERS`, for every method that has one.

    Raises:
        OptionError: an unknown name or key (the message gives the nearest), a key that is missing, or a value that it cannot take.
        SpaceError: the space cannot be built.
    """
    method = lookup("search method", name, METHODS)
    space = as_space(space)
    recipe = Recipe(name, dict(keys), seed, smaller_is_better)
    seed = _unknown_seed() if seed is None else seed
    parameters = inspect.signature(method).parameters
    given: dict[str, Any] = {"space": space, "seed": seed, "smaller_is_better": smaller_is_better}
    own = {key: parameter for key, parameter in parameters.items() if key not in given}
    chosen = str(keys.get("sampler", name if name in SAMPLERS else "random"))
    _check_keys(name, keys, own)
    if "sampler" in parameters:
        lookup("sampler", chosen, SAMPLERS)
        given["sampler"] = _sampler(chosen, space, seed, _directions(name, keys.get("metrics"), smaller_is_better=smaller_is_better))
    keys.pop("sampler", None)
    made: BuiltInMethod = method(**{key: value for key, value in given.items() if key in parameters}, **keys)
    made.recipe = recipe
    return made


def _unknown_seed() -> int:
    import numpy as np

    return int(np.random.SeedSequence().generate_state(1)[0])


def own_keys(name: str) -> dict[str, bool]:
    """Return the keys of a built-in method, and whether it cannot do without.

    Raises:
        OptionError: there is no such method.
    """
    parameters = inspect.signature(lookup("search method", name, METHODS)).parameters
    own = {key: parameter for key, parameter in parameters.items() if key not in _GIVEN}
    return {key: parameter.default is parameter.empty and key != "sampler" for key, parameter in own.items()}


def takes_key(name: str, key: str) -> bool:
    """Return whether a built-in method has a key.

    Raises:
        OptionError: there is no such method.
    """
    return key in inspect.signature(lookup("search method", name, METHODS)).parameters


def _directions(name: str, metrics: Any, *, smaller_is_better: bool) -> list[str]:
    """Return in which direction each metric is searched."""
    if metrics is None:
        return [DIRECTIONS[not smaller_is_better]]
    check_metrics(name, metrics)
    return list(metrics.values())


def _sampler(name: str, space: Space, seed: int, directions: Sequence[str]) -> Sampler:
    if name == "random":
        return RandomSampler(space, seed)
    made: Sampler = lookup("sampler", name, SAMPLERS)(space, seed, kind=name, directions=directions)
    return made


def _check_keys(name: str, keys: Mapping[str, Any], known: Mapping[str, inspect.Parameter]) -> None:
    for key in keys:
        if key not in known:
            message = f"the search method {name!r} has no key {key!r}: {nearest(key, known)}"
            raise OptionError(message)
    needed = [key for key, parameter in known.items() if parameter.default is parameter.empty and key != "sampler"]
    missing = [key for key in needed if key not in keys]
    if missing:
        message = f"the search method {name!r} needs {', '.join(missing)}, as in searcher.create({name!r}, space, {missing[0]}=16)"
        raise OptionError(message)
