"""PASHA (Bohdal et al., "PASHA: Efficient HPO and NAS with Progressive Resource Allocation", ICLR 2023; arXiv 2207.06940):
ASHA that starts with two rungs and adds the next one only when the two highest disagree about the ranking.
"""

from __future__ import annotations

import math
from itertools import combinations, pairwise
from typing import Any

from shadho_like.searcher.halving import HalvingSearch
from shadho_like.searcher.ladder import Ladder
from shadho_like.searcher.options import check_counts, exact_divisor, rung_lengths
from shadho_like.searcher.samplers import Sampler

_COMPARED = 16
"""How many of the best trials are compared; those further down change places without any effect on what is found."""


class Pasha(HalvingSearch):
    """Trains no trial longer than it takes to know which ones are best.

    Args:
        sampler: chooses the points.
        smaller_is_better: whether the metric is minimised.
        max_length: the length of the highest rung that may be added, in the user's unit.
        max_trials: how many trials start; those with invalid hyperparameters do not count.
        num_rungs: how many rungs there may be; the lengths fall by `divisor` from one to the next below, and end at 1.
        divisor: one trial in so many climbs.
        max_concurrent_trials: how many trials may have work at once.

    Raises:
        OptionError: a number that is too small, or none.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        smaller_is_better: bool = True,
        max_length: int,
        max_trials: int,
        num_rungs: int,
        divisor: float = 4,
        max_concurrent_trials: int = 16,
    ) -> None:
        check_counts(
            "pasha", max_length=max_length, max_trials=max_trials, num_rungs=num_rungs, max_concurrent_trials=max_concurrent_trials
        )
        self._divisor = exact_divisor("pasha", divisor)
        super().__init__(sampler, total=max_trials, max_concurrent_trials=max_concurrent_trials, smaller_is_better=smaller_is_better)
        self._lengths = rung_lengths(max_length, num_rungs, self._divisor)

    def _ladder(self, index: int) -> Ladder | None:
        return GrowingLadder(self._lengths, self._divisor, self._total) if index == 0 else None


class GrowingLadder(Ladder):
    """A ladder of which only the rungs up to `height` are in use."""

    height = 1

    def report(self, trial: int, badness: float) -> int | None:
        """Rank the trial, and put a rung on top where its result unsettles the ranking."""
        place = self._running[trial]
        super().report(trial, badness)
        if place == self.height < len(self.rungs) - 1 and not self._settled():
            self.height += 1
        return None

    def state_to_json(self) -> dict[str, Any]:
        """Return the ladder's state and its height."""
        return {**super().state_to_json(), "height": self.height}

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        super().load_state(value)
        self.height = value["height"]

    def _rung_to_climb_from(self) -> int | None:
        places = range(min(self.height, len(self.rungs) - 1) - 1, -1, -1)
        return next((place for place in places if self.rungs[place].best_ready() is not None), None)

    def _settled(self) -> bool:
        """Return whether the two highest rungs agree, but for differences that are noise (soft ranking, section 4 of the paper)."""
        curves = []
        for trial in self.rungs[self.height].best(_COMPARED):
            curve = [rung.badness(trial) for rung in self.rungs[: self.height + 1]]
            if all(badness is not None and math.isfinite(badness) for badness in curve):
                curves.append([badness for badness in curve if badness is not None])
        before = sorted(curve[-2] for curve in curves)
        noise = _noise(curves)
        return all(abs(curve[-2] - expected) <= noise for curve, expected in zip(curves, before, strict=True))


def _noise(curves: list[list[float]]) -> float:
    """Return how far apart two trials may be and mean the same: the 90th percentile over the pairs that cross twice."""
    apart = sorted(abs(one[-1] - other[-1]) for one, other in combinations(curves, 2) if _crossings(one, other) > 1)
    return apart[math.ceil(0.9 * len(apart)) - 1] if apart else 0.0


def _crossings(one: list[float], other: list[float]) -> int:
    signs = [a > b for a, b in zip(one, other, strict=True) if a != b]
    return sum(before != after for before, after in pairwise(signs))
