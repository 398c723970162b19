"""By which rule a compute class takes its next attempt: measured run times, or SHADHO's ranks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from shadho_like.dispatch.run_times import RunTimes
from shadho_like.trial import Hyperparameters

if TYPE_CHECKING:
    from shadho_like.dispatch.priorities import Priorities

# Waits differ by chance, too: without something added, that would decide more often than the classes do.
_PATIENCE = 200
# What is slower than this everywhere but on a class that has gone would otherwise wait for ever.
_WIDEST = 8.0
_RESULTS_PER_RANKING = 10

Wait = Mapping[str, int]
"""By leaf space, the one whose first attempt has the lowest trial number first: how many attempts began while that one waited."""


class Rule(Protocol):
    """Chooses for a compute class."""

    def choose(self, compute_class: str, waits: Wait, now_s: float) -> str | None:
        """Return the leaf space whose first attempt goes to this class; None to leave all of them to others."""

    def learn(self, leaf: str, hparams: Hyperparameters, metric: float) -> None:
        """Take note of what a trial brought."""


class MeasuredCost:
    """A class takes the attempt that it does best, for how long that one has waited.

    That is max-weight scheduling with delays as weights (Andrews et al., Probability in the Engineering and Informational Sciences
    18, 2004), which reaches the highest rate that the classes allow while every leaf space keeps the share of trials that the search
    method gives it: one that is passed over waits longer, until its turn outweighs what another class would gain.

    Args:
        times: what trials take.
    """

    def __init__(self, times: RunTimes) -> None:
        self._times = times

    def choose(self, compute_class: str, waits: Wait, now_s: float) -> str | None:
        """Return the leaf space with the greatest wait, each weighed by how much faster than usual it is on this class."""
        return max(waits, key=lambda leaf: (_PATIENCE + waits[leaf]) * self._advantage(leaf, compute_class, now_s), default=None)

    def learn(self, leaf: str, hparams: Hyperparameters, metric: float) -> None:
        """Learn nothing: what a trial brings does not change what it takes."""

    def _advantage(self, leaf: str, compute_class: str, now_s: float) -> float:
        ratio = self._times.of_leaf(leaf) / self._times.seconds(leaf, compute_class, now_s)
        return min(max(ratio, 1 / _WIDEST), _WIDEST)


class RankOrder:
    """SHADHO's rule (Kinnison et al., WACV 2018): leaf spaces and classes in order, each leaf space at its own rank and the next.

    The first class takes the leaf spaces of the highest rank, the last one those of the lowest.

    Args:
        classes: in the order in which they were declared.
        complexities: SHADHO's measure of each leaf space; None to leave it out of the rank.
        priorities: what is learned of each leaf space; None to leave it out of the rank.
        leaves: the leaf spaces.
        strict: leave a class idle that has nothing of its own to do, as SHADHO does with what it has queued.
    """

    def __init__(
        self,
        classes: Sequence[str],
        leaves: Sequence[str],
        complexities: Mapping[str, float] | None = None,
        priorities: Priorities | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self._classes = list(classes)
        self._leaves = list(leaves)
        self._complexities = complexities
        self._priorities = priorities
        self._strict = strict
        self._pairs: set[tuple[str, str]] | None = None
        self._results = 0

    def learn(self, leaf: str, hparams: Hyperparameters, metric: float) -> None:
        """Take note of what a trial brought; every ten of them the ranks are made anew."""
        self._results += 1
        if self._priorities is not None:
            self._priorities.learn(leaf, hparams, metric)
            if self._results % _RESULTS_PER_RANKING == 0:
                self._pairs = None

    def choose(self, compute_class: str, waits: Wait, now_s: float) -> str | None:
        """Return the leaf space that waits longest, of those of the class; of all where it has none."""
        own = self._own(compute_class)
        mine = [leaf for leaf in waits if leaf in own]
        if not mine and self._strict:
            return None
        return max(mine or waits, key=lambda leaf: waits[leaf], default=None)

    def _own(self, compute_class: str) -> set[str]:
        if compute_class not in self._classes:
            self._classes.append(compute_class)
            self._pairs = None
        if self._pairs is None:
            self._pairs = neighbours(sorted(self._leaves, key=self._rank), self._classes)
        return {leaf for leaf, name in self._pairs if name == compute_class}

    def _rank(self, leaf: str) -> float:
        rank = 1.0
        if self._complexities is not None:
            rank *= self._complexities.get(leaf, 1.0)
        if self._priorities is not None:
            rank *= self._priorities.of(leaf)
        return -rank


def neighbours(leaves: Sequence[str], classes: Sequence[str]) -> set[tuple[str, str]]:
    """Return the pairs of two rankings, the longer one spread evenly over the shorter: each with the one at its rank and the next."""
    swapped = len(classes) > len(leaves)
    longer, shorter = (classes, leaves) if swapped else (leaves, classes)
    pairs = set()
    for place, one in enumerate(longer):
        at = place * len(shorter) // len(longer)
        beside = at + 1 if at < len(shorter) / 2 else at - 1
        places = {at, min(max(beside, 0), len(shorter) - 1)}
        pairs |= {(shorter[index], one) if swapped else (one, shorter[index]) for index in places}
    return pairs
