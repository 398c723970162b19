"""The search space: which hyperparameters there are, which values they take, and how a trial's sample is drawn. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shadho_like.errors import SpaceError
from shadho_like.space.build import Derived, Repeat, Scope, Sequential, build, written_from_json
from shadho_like.space.domain import Domain
from shadho_like.space.domains import DOMAINS
from shadho_like.space.nodes import ABSENT, Choose, Draws, Group
from shadho_like.space.randomness import Randomness, TrialGenerator, first_generator

__all__ = [
    "DOMAINS",
    "Derived",
    "Domain",
    "LeafSpace",
    "Repeat",
    "Scope",
    "Sequential",
    "Space",
    "TrialGenerator",
    "as_space",
    "first_generator",
    "flatten",
]


@dataclass(frozen=True, slots=True)
class LeafSpace:
    """One alternative of a conditional search space.

    Attributes:
        name: the paths that are chosen, joined by "+"; "all" where there is nothing to choose.
        domains: the domains that are active together, by dotted path.
    """

    name: str
    domains: Mapping[str, Domain]

    @property
    def complexity(self) -> float:
        """SHADHO's measure (Kinnison et al., WACV 2018): the sum over the domains."""
        return math.fsum(domain.complexity for domain in self.domains.values())


class Space:
    """A search space.

    Args:
        tree: a nested dict whose leaves are domains (`rand`), scopes (`spaces`), lists (a choice) or constants.

    Attributes:
        generator: of (seed, number): where a trial's numbers come from.

    Raises:
        SpaceError: something in it is wrong; the message gives the path (`svm.rbf.gamma`).
    """

    def __init__(self, tree: Any) -> None:
        self.generator: Callable[[int, int], Randomness] = TrialGenerator
        root = build(tree)
        if not isinstance(root, Group):
            message = f"a search space is a dict of hyperparameters, not {type(tree).__name__}"
            raise SpaceError("", message)
        if root.optional:
            raise SpaceError("", "the whole search space cannot be optional")
        self._root = root

    def sample(self, rng: Randomness, number: int = 0) -> dict[str, Any]:
        """Draw a point: a nested dict of JSON values, inactive branches absent.

        Args:
            rng: where the randomness comes from: a `TrialGenerator`, or a generator of NumPy's.
            number: the trial's number, by which exhaustive domains take turns.

        Raises:
            SpaceError: the callback of a dependent value failed.
        """
        draws = Draws(rng.random, number)
        return _completed(self._root.draw(draws), draws)

    def sample_by(self, choose: Choose, number: int = 0) -> dict[str, Any]:
        """Return the point that somebody chooses, decision by decision.

        Args:
            choose: gets a name, the same for the same decision in every point, the number of outcomes (None for a continuous
                domain) and whether they are in an order; returns a number in 0..1, 1 excluded: the fraction of the draws that lie
                below the one that is chosen.
            number: the trial's number, by which exhaustive domains take turns.

        Raises:
            SpaceError: the callback of a dependent value failed.
        """
        draws = Draws(lambda: 0.5, number, choose=choose)
        return _completed(self._root.draw(draws), draws)

    def validate(self, sample: Any) -> None:
        """Raise SpaceError naming the first thing wrong with a sample, if anything is."""
        self._root.check(sample)

    def leaves(self) -> Iterator[LeafSpace]:
        """Yield the alternatives, one for each way to make all choices."""
        for chosen, domains in self._root.alternatives():
            yield LeafSpace("+".join(chosen) or "all", domains)

    def leaf_of(self, sample: Mapping[str, Any]) -> str:
        """Return the name of the alternative that a sample belongs to."""
        return "+".join(self._root.chosen(sample)) or "all"

    def grid_size(self, count: int | None = None) -> int:
        """Return the number of grid points; `count` is used where a continuous domain has none of its own.

        Raises:
            SpaceError: a continuous domain has no count.
        """
        return self._root.grid_size(count)

    def grid(self, count: int | None = None) -> Iterator[dict[str, Any]]:
        """Return the grid points, never all at once: names sorted, the last one fastest."""
        return (self.grid_point(index, count) for index in range(self.grid_size(count)))

    def grid_point(self, index: int, count: int | None = None) -> dict[str, Any]:
        """Return one of the grid's points, by its place in the order of `grid`."""
        draws = Draws(lambda: 0.0, 0)
        return _completed(self._root.grid_point(index, count, draws), draws)

    def vary(self, sample: Mapping[str, Any], change: Callable[[Domain, Any], Any], rng: Randomness) -> dict[str, Any]:
        """Return a point like `sample`, with the same branches, in which each domain's value is `change(domain, value)`.

        Values computed from others are computed anew; what such a one was computed from is drawn anew, as it is not in the sample.

        Raises:
            SpaceError: the callback of a dependent value failed.
        """
        draws = Draws(rng.random, 0)
        return _completed(self._root.vary(sample, change, draws), draws)

    @property
    def complexity(self) -> float:
        """SHADHO's measure: the sum over all domains, whether or not they are ever active together."""
        domains = {path: domain for leaf in self.leaves() for path, domain in leaf.domains.items()}
        return math.fsum(domain.complexity for domain in domains.values())

    def to_json(self) -> dict[str, Any]:
        """Return the plain form; equal spaces have equal forms, whatever the order of their keys."""
        return self._root.to_json()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Space:
        """Read what `to_json` gave.

        Raises:
            SpaceError: it names a domain or a callback that cannot be found here.
        """
        return cls(written_from_json(value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]


def as_space(tree: Any) -> Space:
    """Return the space itself, or the space of what a user wrote."""
    return tree if isinstance(tree, Space) else Space(tree)


def flatten(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample's values by dotted path (`svm.rbf.gamma`); lists are values."""
    flat: dict[str, Any] = {}
    for name, value in sample.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{name}.{rest}": inner for rest, inner in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def _completed(sample: dict[str, Any], draws: Draws) -> dict[str, Any]:
    if draws.later:
        for values, name, dependent in sorted(draws.later, key=lambda item: item[2].path):
            values[name] = dependent.compute(values.pop(name, ABSENT), sample)
    return sample
