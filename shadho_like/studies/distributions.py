"""Which of Optuna's distributions stands for a domain, and a trial's sample as Optuna's flat parameters.

A space is taken from its plain form and never built, which would import the modules that its callbacks are in.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from shadho_like.space import DOMAINS, Domain
from shadho_like.space.domains import Choice, LogNormal, LogRandInt, LogUniform, Power, QUniform, RandInt

_LAST = math.nextafter(1.0, 0.0)
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One domain as Optuna has it.

    Attributes:
        distribution: Optuna's.
        told: the options of a choice, in order, as Optuna is told of them; None where a value is told as it is.
    """

    domain: Domain
    distribution: BaseDistribution
    told: Sequence[Any] | None = None

    def tell(self, value: Any) -> tuple[bool, Any]:
        """Return whether the distribution holds a value, and how Optuna is told of it."""
        if self.told is not None:
            place = next((i for i, option in enumerate(self.domain.values() or ()) if option == value and type(option) is type(value)), -1)
            return (True, self.told[place]) if place >= 0 else (False, value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.distribution._contains(float(value)), value  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class Sample:
    """A trial's hyperparameters, flat.

    Attributes:
        params: by their dotted paths, items of lists with their places (`layers[0].units`).
        distributions: of each of `params`.
        others: what no distribution holds: values that were computed, or that no draw can give.
    """

    params: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)


class Parameters:
    """The parameters of a search space.

    Args:
        space: the plain form of a Space.
    """

    def __init__(self, space: Mapping[str, Any]) -> None:
        self._by_path = {path: _parameter(domain) for path, domain in _domains(space, "")}
        self._lists = {path[:place] for path in self._by_path for place, sign in enumerate(path) if sign == "["}

    def sample(self, hparams: Mapping[str, Any]) -> Sample:
        """Return a trial's hyperparameters as Optuna takes them."""
        sample = Sample()
        self._add(hparams, "", sample)
        return sample

    def _add(self, value: Any, path: str, sample: Sample) -> None:
        parameter = self._by_path.get(path)
        if parameter is not None:
            held, told = parameter.tell(value)
            if held:
                sample.params[path], sample.distributions[path] = told, parameter.distribution
            else:
                sample.others[path] = value
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                self._add(inner, f"{path}.{name}" if path else str(name), sample)
        elif isinstance(value, list) and path in self._lists:
            for place, inner in enumerate(value):
                self._add(inner, f"{path}[{place}]", sample)
        else:
            sample.others[path] = value


def _domains(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Domain]]:
    """Yield the domains of a space's plain form by their paths; computed values have none."""
    kind = node["type"]
    if kind == "scope":
        for name, child in node["domains"].items():
            yield from _domains(child, f"{path}.{name}" if path else name)
    elif kind in {"repeat", "sequential"}:
        children = [node["domain"]] * node["n"] if kind == "repeat" else node["domains"]
        for place, child in enumerate(children):
            yield from _domains(child, f"{path}[{place}]")
    elif kind != "dependent":
        yield path, _domain(node)


def _domain(node: Mapping[str, Any]) -> Domain:
    arguments = {name: value for name, value in node.items() if name != "type"}
    if node["type"] == "power":
        return Power(arguments["base"], _domain(arguments["exponent"]))
    return DOMAINS[node["type"]](**arguments)


def _parameter(domain: Domain) -> Parameter:
    with warnings.catch_warnings():
        # A step that does not divide its range in binary fractions.
        warnings.simplefilter("ignore")
        if isinstance(domain, Choice):
            told = _told(domain.options)
            return Parameter(domain, CategoricalDistribution(told), told)
        return Parameter(domain, _numbers(domain))


def _told(options: Sequence[Any]) -> tuple[Any, ...]:
    """Return the options of a choice as Optuna can hold them: as JSON where some are no plain values, or two are equal, as 1 and true."""
    if all(isinstance(option, _PLAIN) for option in options) and len(set(options)) == len(options):
        return tuple(options)
    return tuple(json.dumps(option, sort_keys=True) for option in options)


def _numbers(domain: Domain) -> BaseDistribution:
    """Return the distribution of a domain of numbers; one without bounds is given those that no draw goes beyond."""
    low, high = domain.quantile(0.0), _highest(domain)
    if isinstance(domain, LogRandInt):
        return IntDistribution(low, high, log=True)
    if isinstance(domain, RandInt):
        return IntDistribution(low, high, step=int(domain.arguments()["step"]))
    if isinstance(domain, QUniform):
        return FloatDistribution(low, high, step=float(domain.q))
    if isinstance(domain, Power):
        whole = isinstance(low, int) and isinstance(high, int)
        return IntDistribution(low, high, log=True) if whole else FloatDistribution(_above_zero(low), high, log=True)
    if isinstance(domain, LogUniform | LogNormal):
        return FloatDistribution(_above_zero(low), high, log=True)
    return FloatDistribution(low, high)


def _highest(domain: Domain) -> Any:
    """Return the greatest value of a domain: its upper bound where it has one that belongs to it."""
    if (bound := getattr(domain, "hi", None)) is not None and domain.contains(bound):
        return bound
    try:
        highest = domain.quantile(_LAST)
    except OverflowError:
        return sys.float_info.max
    return highest


def _above_zero(low: float) -> float:
    return max(float(low), sys.float_info.min)
