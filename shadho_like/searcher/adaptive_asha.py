"""Adaptive ASHA: several ASHAs side by side that stop trials more and less early, as the brackets of Hyperband do
(Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020; the modes are Determined's).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from shadho_like.errors import OptionError, nearest
from shadho_like.searcher.async_halving import asha_ladder
from shadho_like.searcher.halving import HalvingSearch
from shadho_like.searcher.ladder import Ladder
from shadho_like.searcher.options import check_counts, check_switch, exact_divisor, rung_lengths, whole_log
from shadho_like.searcher.samplers import Sampler

_MODES = ("aggressive", "standard", "conservative")


class AdaptiveAsha(HalvingSearch):
    """Shares trials and slots among ASHAs with different numbers of rungs.

    Args:
        sampler: chooses the points.
        smaller_is_better: whether the metric is minimised.
        max_length: the length of the highest rung of each, in the user's unit.
        max_trials: how many trials start; those with invalid hyperparameters do not count.
        mode: "aggressive" for the largest number of rungs alone, "standard" for the upper half of the numbers, "conservative"
            for all of them.
        max_rungs: the largest number of rungs, less where `max_length` or `max_trials` does not give so many.
        bracket_rungs: the numbers of rungs themselves, in place of a mode.
        divisor: one trial in so many climbs.
        max_concurrent_trials: how many trials may have work at once.
        stop_once: resume no trial.

    Raises:
        OptionError: a number that is too small, or none, or an unknown mode.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        smaller_is_better: bool = True,
        max_length: int,
        max_trials: int,
        mode: str = "standard",
        max_rungs: int = 5,
        bracket_rungs: Sequence[int] | None = None,
        divisor: float = 4,
        max_concurrent_trials: int = 16,
        stop_once: bool = False,
    ) -> None:
        check_counts(
            "adaptive_asha",
            max_length=max_length,
            max_trials=max_trials,
            max_rungs=max_rungs,
            max_concurrent_trials=max_concurrent_trials,
        )
        check_switch("adaptive_asha", stop_once=stop_once)
        if mode not in _MODES:
            message = f"unknown mode {mode!r} of adaptive_asha: {nearest(str(mode), _MODES)}"
            raise OptionError(message)
        self._divisor = exact_divisor("adaptive_asha", divisor)
        most = min(max_rungs, whole_log(max_length, self._divisor) + 1, whole_log(max_trials, self._divisor) + 1)
        rungs = _checked(bracket_rungs) if bracket_rungs else _rungs_of_mode(mode, most)
        self._brackets = [
            (rung_lengths(max_length, number, self._divisor), trials)
            for number, trials in zip(rungs, _shares(max_trials, rungs, self._divisor), strict=True)
            if trials
        ]
        self._stop_once = stop_once
        super().__init__(
            sampler,
            total=max_trials,
            side_by_side=len(self._brackets),
            max_concurrent_trials=max_concurrent_trials,
            smaller_is_better=smaller_is_better,
        )

    def _ladder(self, index: int) -> Ladder | None:
        if index >= len(self._brackets):
            return None
        lengths, trials = self._brackets[index]
        return asha_ladder(lengths, self._divisor, trials, stop_once=self._stop_once)


def _checked(bracket_rungs: Sequence[int]) -> list[int]:
    """Return the numbers of rungs, those that stop earliest first."""
    if isinstance(bracket_rungs, str) or not isinstance(bracket_rungs, Sequence):
        message = f"bracket_rungs of adaptive_asha must be a list of whole numbers, not {bracket_rungs!r}"
        raise OptionError(message)
    for number in bracket_rungs:
        check_counts("adaptive_asha", bracket_rungs=number)
    return sorted(bracket_rungs, reverse=True)


def _rungs_of_mode(mode: str, most: int) -> list[int]:
    fewest = {"aggressive": most, "standard": (most - 1) // 2 + 1, "conservative": 1}[mode]
    return list(range(most, fewest - 1, -1))


def _shares(max_trials: int, rungs: Sequence[int], divisor: Fraction) -> list[int]:
    """Return how many trials each bracket starts: in proportion to divisor ** (r - 1) / r, so that all train about as much.

    Each gets one at least, as far as there are enough; what rounding leaves goes to the first.
    """
    weights = [divisor ** (number - 1) / number for number in rungs]
    shares = [int(max_trials * weight / sum(weights)) for weight in weights]
    shares[0] += max_trials - sum(shares)
    for index, share in enumerate(shares):
        if share == 0 and shares[0] > 1:
            shares[0] -= 1
            shares[index] = 1
    return shares
