"""ASHA, the asynchronous successive halving algorithm (Li et al., "A System for Massively Parallel Hyperparameter Tuning",
MLSys 2020), in which no trial waits for another; and its stopping form, in which no trial is resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from shadho_like.searcher.halving import HalvingSearch
from shadho_like.searcher.ladder import Ladder
from shadho_like.searcher.options import check_counts, check_switch, exact_divisor, rung_lengths
from shadho_like.searcher.samplers import Sampler


class AsyncHalving(HalvingSearch):
    """Trains many trials briefly and the best of them longer: at each rung the best 1/divisor go on to the next.

    A result lets one trial climb, or else a new one starts. Trials below the best wait, as later results may lift them;
    with `stop_once` a trial goes on at once where it is among the best so far, and otherwise is over.

    Args:
        sampler: chooses the points.
        smaller_is_better: whether the metric is minimised.
        max_length: the length of the highest rung, in the user's unit.
        max_trials: how many trials start; those with invalid hyperparameters do not count.
        num_rungs: how many rungs there are; the lengths fall by `divisor` from one to the next below, and end at 1.
        divisor: one trial in so many climbs.
        max_concurrent_trials: how many trials may have work at once.
        stop_once: resume no trial.

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
        stop_once: bool = False,
    ) -> None:
        check_counts(
            "async_halving",
            max_length=max_length,
            max_trials=max_trials,
            num_rungs=num_rungs,
            max_concurrent_trials=max_concurrent_trials,
        )
        check_switch("async_halving", stop_once=stop_once)
        self._divisor = exact_divisor("async_halving", divisor)
        super().__init__(sampler, total=max_trials, max_concurrent_trials=max_concurrent_trials, smaller_is_better=smaller_is_better)
        self._lengths = rung_lengths(max_length, num_rungs, self._divisor)
        self._stop_once = stop_once

    def _ladder(self, index: int) -> Ladder | None:
        return asha_ladder(self._lengths, self._divisor, self._total, stop_once=self._stop_once) if index == 0 else None


class StoppingLadder(Ladder):
    """The stopping form: a trial goes on at once where it is among the best 1/divisor so far, the first of a rung always."""

    def report(self, trial: int, badness: float) -> int | None:
        """Rank the trial; return the length to which it goes on, if it does."""
        place = self._stop(trial)
        rung = self.rungs[place]
        rung.add(trial, badness, settled=True)
        if rung.in_top(trial):
            return self._run(trial, place + 1)
        self._over.append(trial)
        return None


def asha_ladder(lengths: Sequence[int], divisor: Fraction, budget: int, *, stop_once: bool) -> Ladder:
    """Return a ladder of either form."""
    return StoppingLadder(lengths, divisor, budget, minimum=1) if stop_once else Ladder(lengths, divisor, budget)
