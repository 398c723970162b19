"""The `searcher` of a configuration: a search method by its keys, and everything that is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shadho_like import searcher
from shadho_like.arguments import check_metrics
from shadho_like.errors import OptionError, nearest
from shadho_like.experiment_config import values
from shadho_like.experiment_config.keys import CUSTOM, keys_in
from shadho_like.experiment_config.plain import Fault, beneath
from shadho_like.experiment_config.refused import REFUSED
from shadho_like.searcher import BuiltInMethod
from shadho_like.space import Space

OURS = tuple(key.name for key in keys_in("searcher"))
LENGTHS = ("length_per_round", "max_length")
UNIT = "unit"
"""The key in which a custom search method, whose lengths are in its program, says what they count."""
_COUNT = values.whole(1)
_CHECKS: Mapping[str, values.Check] = {
    **dict.fromkeys(LENGTHS, values.length(1)),
    UNIT: values.one_of(*values.UNITS),
    **dict.fromkeys(("max_concurrent_trials", "max_rungs", "max_trials", "num_rounds", "num_rungs", "population_size"), _COUNT),
    **dict.fromkeys(("asynchronous", "stop_once", "success_direction_lower"), values.switch),
}


@dataclass(frozen=True, slots=True)
class SearcherConfig:
    """The `searcher` of a configuration.

    Attributes:
        name: a search method's, or custom.
        metric: the searched metric.
        smaller_is_better: whether it is minimised.
        keys: the method's own.
        unit: of its lengths, for people; None where none is named.
    """

    name: str
    metric: str
    smaller_is_better: bool
    keys: Mapping[str, Any]
    unit: str | None = None

    def create(self, space: Space, seed: int | None = None) -> BuiltInMethod:
        """Return the search method.

        Raises:
            OptionError: it cannot be made over this space; or the method is custom.
        """
        if self.name == CUSTOM:
            raise OptionError("searcher.name is custom: that search method is in a program of its own, which makes and runs it")
        return searcher.create(self.name, space, seed=seed, smaller_is_better=self.smaller_is_better, **self.keys)


def searcher_of(given: Mapping[str, Any]) -> SearcherConfig:
    """Return the searcher of a configuration without faults."""
    own = {key: value for key, value in given.items() if key not in OURS and value is not None}
    keys = {key: values.amount_of(value) if key in LENGTHS else value for key, value in own.items()}
    unit = next((next(iter(value)) for key in LENGTHS if values.is_in_unit(value := given.get(key))), given.get(UNIT))
    better = given.get("smaller_is_better")
    return SearcherConfig(given["name"], given["metric"], better is None or better, keys, unit)


def method_faults(given: Mapping[str, Any], space: Space | None) -> Iterator[Fault]:
    """Find what is wrong with a method's own keys.

    Args:
        given: the `searcher`.
        space: what it searches; None where that has faults of its own.
    """
    name = given.get("name")
    if not isinstance(name, str):
        return
    if name not in (*searcher.METHODS, CUSTOM):
        yield Fault("searcher.name", f"there is no search method {name!r:.80}: {nearest(name[:80], (*searcher.METHODS, CUSTOM))}")
        return
    faults = [*_key_faults(name, given), *_value_faults(given)]
    yield from faults
    whole = isinstance(given.get("metric"), str) and isinstance(given.get("smaller_is_better", True), bool | None)
    if not faults and whole and space is not None and name != CUSTOM:
        yield from _made_faults(searcher_of(given), space)


def _key_faults(name: str, given: Mapping[str, Any]) -> Iterator[Fault]:
    known = dict.fromkeys((*LENGTHS, UNIT), False) if name == CUSTOM else searcher.own_keys(name)
    for key in given:
        path = beneath("searcher", key)
        if key not in (*known, *OURS) and path not in REFUSED:
            yield Fault(path, f"the search method {name} has no such key: {nearest(key, (*known, *OURS))}")
    for key, needed in known.items():
        if needed and given.get(key) is None:
            yield Fault(beneath("searcher", key), f"is missing: the search method {name} needs it")


def _value_faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    for key, check in _CHECKS.items():
        if given.get(key) is not None and (fault := check(given[key])) is not None:
            yield Fault(beneath("searcher", key), fault)


def _made_faults(config: SearcherConfig, space: Space) -> Iterator[Fault]:
    """Find what the method itself says. A key that may be left out is left out then, to hear of the next."""
    needed = searcher.own_keys(config.name)
    keys = {key: value for key, value in config.keys.items() if key in needed}
    while True:
        try:
            made = searcher.create(config.name, space, seed=0, smaller_is_better=config.smaller_is_better, **keys)
            check_metrics(made.metrics, config.metric, smaller_is_better=config.smaller_is_better, max_evals=1)
        except OptionError as error:
            key = _key_of(str(error), keys)
            yield Fault(beneath("searcher", key) if key else "searcher", str(error))
            if not key or needed[key]:
                return
            del keys[key]
        else:
            return


def _key_of(message: str, keys: Mapping[str, Any]) -> str:
    """Return the key that a message is about, as its first word or behind `unknown`; empty if it is about none."""
    first = next(iter(re.findall(r"^(?:unknown )?(\w+)", message)), "")
    return first if first in keys else ""
