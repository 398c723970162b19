"""Hyperband (Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 2018), and its asynchronous
form, which runs each bracket as ASHA does (Li et al., MLSys 2020).
"""

from __future__ import annotations

import math

from shadho_like.searcher.halving import HalvingSearch
from shadho_like.searcher.ladder import Ladder
from shadho_like.searcher.options import check_counts, check_switch, exact_divisor, whole_log
from shadho_like.searcher.samplers import Sampler


class Hyperband(HalvingSearch):
    """Runs brackets of successive halving, from the one that starts most trials on the shortest length to one of no halving.

    A bracket's rung is cut when all of its results are there; the slots that have nothing to do until then go to
    the next bracket. The asynchronous form does not wait: it lets one trial climb for each result.

    Args:
        sampler: chooses the points.
        smaller_is_better: whether the metric is minimised.
        max_length: the most that one trial is trained to, in the user's unit: R in the paper.
        max_trials: how many trials start; the brackets are gone through again and again, the last one cut short. None for one
            time through all brackets. Trials with invalid hyperparameters do not count.
        divisor: one trial in so many climbs: eta in the paper.
        max_concurrent_trials: how many trials may have work at once.
        asynchronous: whether to wait for no one.

    Raises:
        OptionError: a number that is too small, or none.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        smaller_is_better: bool = True,
        max_length: int,
        max_trials: int | None = None,
        divisor: float = 3,
        max_concurrent_trials: int = 16,
        asynchronous: bool = False,
    ) -> None:
        check_counts("hyperband", max_length=max_length, max_concurrent_trials=max_concurrent_trials)
        check_switch("hyperband", asynchronous=asynchronous)
        if max_trials is not None:
            check_counts("hyperband", max_trials=max_trials)
        self._divisor = exact_divisor("hyperband", divisor)
        self._max_length = max_length
        self._asynchronous = asynchronous
        self._most = whole_log(max_length, self._divisor)
        self._sizes = [self._size(halvings) for halvings in range(self._most, -1, -1)]
        super().__init__(
            sampler,
            total=max_trials or sum(self._sizes),
            max_concurrent_trials=max_concurrent_trials,
            smaller_is_better=smaller_is_better,
        )

    def _size(self, halvings: int) -> int:
        """Return how many trials a bracket starts: n in line 2 of the paper's algorithm 1, with s = `halvings`."""
        return math.ceil(self._divisor**halvings * (self._most + 1) / (halvings + 1))

    def _ladder(self, index: int) -> Ladder | None:
        rounds, place = divmod(index, len(self._sizes))
        budget = min(self._sizes[place], self._total - rounds * sum(self._sizes) - sum(self._sizes[:place]))
        if budget <= 0:
            return None
        halvings = self._most - place
        lengths = sorted({max(int(self._max_length / self._divisor**left), 1) for left in range(halvings + 1)})
        if self._asynchronous:
            return Ladder(lengths, self._divisor, budget)
        return SynchronousLadder(lengths, self._divisor, budget, minimum=1)


class SynchronousLadder(Ladder):
    """Successive halving with a barrier: the best 1/divisor of a rung climb once no result of it can come any more."""

    at_once = True

    def _rung_to_climb_from(self) -> int | None:
        complete = not self.wants_new
        for place, rung in enumerate(self.rungs[:-1]):
            complete = complete and not self._running_for[place]
            rung.set_shut(not complete)
            if rung.best_ready() is not None:
                return place
        return None
