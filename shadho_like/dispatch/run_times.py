"""How long the trials of each leaf space take on each compute class: an estimate from those that ran. Pure; times are passed in."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shadho_like.trial import AttemptId

# A guess is off by about so much of the true mean: what trials of one kind differ by against this is what a guess is worth.
_GUESS_SPREAD = 0.15
_MOST_WEIGHT = 40.0
_RANK_GAIN = 0.1
_PRIOR_TRIALS = 2.0
_SHORTEST_S = 1e-6
_ROUNDS = 5
_WIDEST_GUESS = 4.0
_STALE_SHARE = 1 / 16


@dataclass(slots=True)
class _Sum:
    """What attempts that are over took: seconds, units of training, how many they were, and seconds per unit and its square, summed."""

    seconds: float = 0.0
    work: float = 0.0
    count: int = 0
    costs: float = 0.0
    squares: float = 0.0

    def add(self, other: _Sum) -> None:
        self.seconds += other.seconds
        self.work += other.work
        self.count += other.count
        self.costs += other.costs
        self.squares += other.squares

    @property
    def deviation(self) -> float:
        """The sum of the squares by which they differ from their mean, relative to it."""
        mean = self.costs / self.count if self.count else 0.0
        return max(0.0, self.squares / mean**2 - self.count) if mean > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Running:
    pair: tuple[str, str]
    started_s: float
    work: float


class RunTimes:
    """Seconds per unit of training, by leaf space and compute class.

    A leaf space of which nothing has ended is guessed from the others and its complexity; a pair of leaf space and class, from its
    leaf space, how fast the class is with others, and SHADHO's idea that the more complex leaf spaces gain more from the classes that
    are declared first. The more the trials of one kind differ, the more of them outweigh a guess, so that a few long ones decide
    nothing. An attempt that runs longer than its pair is thought to take counts with its age: to leave it out would favour classes
    whose long trials are not over yet.

    Args:
        complexities: SHADHO's measure of each leaf space, in any unit; those that are not named are taken for average.
        classes: in the order in which they were declared, if they were.
    """

    def __init__(self, complexities: Mapping[str, float] | None = None, classes: Sequence[str] = ()) -> None:
        known = dict(complexities or {})
        mean = math.fsum(known.values()) / len(known) if known else 1.0
        self._guesses = {leaf: min(max(value / mean, 1 / _WIDEST_GUESS), _WIDEST_GUESS) for leaf, value in known.items() if mean}
        self._leaf_places = _places(sorted(known, key=lambda leaf: -known[leaf]))
        self._class_places = _places(classes)
        self._by_leaf: defaultdict[str, dict[str, _Sum]] = defaultdict(dict)
        self._by_class: defaultdict[str, dict[str, _Sum]] = defaultdict(dict)
        self._all = _Sum()
        self._costs: dict[str, float] = {}
        self._speeds: dict[str, float] = {}
        self._deviation = 0.0
        self._freedom = 0
        self._running: dict[AttemptId, _Running] = {}
        self._running_of: defaultdict[tuple[str, str], dict[AttemptId, _Running]] = defaultdict(dict)
        self._known: dict[tuple[str, str], tuple[float, float]] = {}

    def started(self, attempt: AttemptId, leaf: str, compute_class: str, work: float, time_s: float) -> None:
        """Take note that an attempt of so much training has begun."""
        running = _Running((leaf, compute_class), time_s, work)
        self._running[attempt] = self._running_of[running.pair][attempt] = running

    def ended(self, attempt: AttemptId, time_s: float, *, counts: bool) -> None:
        """Take note that an attempt runs no more; it counts if it did all of its training."""
        running = self._running.pop(attempt, None)
        if running is None:
            return
        del self._running_of[running.pair][attempt]
        if counts:
            seconds = max(0.0, time_s - running.started_s)
            cost = seconds / running.work
            self._add(*running.pair, _Sum(seconds, running.work, 1, cost, cost**2))

    def _add(self, leaf: str, compute_class: str, more: _Sum) -> None:
        pair = self._by_leaf[leaf].setdefault(compute_class, _Sum())
        self._by_class[compute_class][leaf] = pair
        self._deviation -= pair.deviation
        self._freedom -= max(0, pair.count - 1)
        pair.add(more)
        self._all.add(more)
        self._deviation += pair.deviation
        self._freedom += max(0, pair.count - 1)
        self._known.pop((leaf, compute_class), None)
        self._fit(leaf, compute_class)

    def _fit(self, leaf: str, compute_class: str) -> None:
        """Bring a leaf space's cost, on a class that is as fast as most, and a class's time against such a one up to date, in turns."""
        weight, pairs = self._weight * self._unit(), self._by_leaf[leaf]
        seconds = math.fsum(pair.seconds for pair in pairs.values()) + weight * self._mean() * self._guesses.get(leaf, 1.0)
        self._costs[leaf] = seconds / (math.fsum(pair.work * self._speeds.get(name, 1.0) for name, pair in pairs.items()) + weight)
        usual_s, leaves = max(weight * self._mean(), _SHORTEST_S), self._by_class[compute_class]
        seconds = math.fsum(pair.seconds for pair in leaves.values()) + usual_s
        self._speeds[compute_class] = seconds / (math.fsum(pair.work * self.of_leaf(name) for name, pair in leaves.items()) + usual_s)

    @property
    def _weight(self) -> float:
        """How many attempts a guess counts for."""
        variance = (max(0.0, self._deviation) + _PRIOR_TRIALS) / (self._freedom + _PRIOR_TRIALS)
        return min(variance / _GUESS_SPREAD**2, _MOST_WEIGHT)

    def of_leaf(self, leaf: str) -> float:
        """Return the seconds that a unit of training takes on a class that is as fast as most."""
        return self._costs.get(leaf) or max(self._mean() * self._guesses.get(leaf, 1.0), _SHORTEST_S)

    def _mean(self) -> float:
        return self._all.seconds / self._all.work if self._all.seconds else 1.0

    def seconds(self, leaf: str, compute_class: str, now_s: float) -> float:
        """Return the seconds that a unit of training of a leaf space takes on a class."""
        pair = (leaf, compute_class)
        until_s, known = self._known.get(pair, (-math.inf, 0.0))
        if now_s >= until_s:
            known = self._estimate(pair, now_s)
            self._known[pair] = (now_s + known * self._unit() * _STALE_SHARE, known)
        return known

    def _estimate(self, pair: tuple[str, str], now_s: float) -> float:
        leaf, compute_class = pair
        total, weight = self._by_leaf[leaf].get(compute_class, _Sum()), self._weight * self._unit()
        gain = _RANK_GAIN * self._leaf_places.get(leaf, 0) * self._class_places.get(compute_class, 0)
        # What ranks suggest counts for less, the more is known of the class.
        gain /= 1 + sum(each.count for each in self._by_class[compute_class].values()) / _MOST_WEIGHT
        guess = self.of_leaf(leaf) * self._speeds.get(compute_class, 1.0) * (1 - gain)
        work = total.work + weight
        seconds = total.seconds + weight * max(guess, _SHORTEST_S)
        mean = seconds / work
        for running in self._running_of[pair].values():
            age_s = now_s - running.started_s
            if age_s > mean * running.work:
                seconds += age_s
                work += running.work
        return seconds / work

    def _unit(self) -> float:
        """Return the training of an attempt, on average."""
        return self._all.work / self._all.count if self._all.count else 1.0

    def count(self, leaf: str, compute_class: str) -> int:
        """Return how many attempts stand behind an estimate."""
        return self._by_leaf.get(leaf, {}).get(compute_class, _Sum()).count

    def to_json(self) -> list[Any]:
        """Return what is known of attempts that are over, as plain data."""
        known = [(leaf, name, pair) for leaf, pairs in sorted(self._by_leaf.items()) for name, pair in sorted(pairs.items())]
        return [[leaf, name, pair.seconds, pair.work, pair.count, pair.costs, pair.squares] for leaf, name, pair in known]

    def restore(self, value: list[Any]) -> None:
        """Take over what `to_json` gave."""
        for _ in range(_ROUNDS):
            for leaf, compute_class, *total in value:
                if self.count(leaf, compute_class) == 0:
                    self._add(leaf, compute_class, _Sum(*total))
                self._fit(leaf, compute_class)


def _places(ranking: Sequence[str]) -> dict[str, float]:
    """Return where each stands, from 1 for the first to -1 for the last."""
    return {name: 1 - 2 * place / (len(ranking) - 1) for place, name in enumerate(ranking)} if len(ranking) > 1 else {}
