"""ASHA, the asynchronous successive halving algorithm (Li et al., "A System for Massively Parallel Hyperparameter Tuning",
MLSys 2020), in which no trial waits for another; and its stopping form, in which no trial is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from shadho_like.operations import Operation
from shadho_like.searcher.base import SearcherState
from shadho_like.searcher.halving import HalvingSearch
from shadho_like.searcher.ladder import Ladder
from shadho_like.searcher.options import check_counts, check_switch, exact_divisor, not_greater, rung_lengths
from shadho_like.searcher.samplers import Sampler
from shadho_like.trial import Json, Trial


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

    extensible: ClassVar[frozenset[str]] = frozenset({"max_trials", "max_length"})

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

    @property
    def _keys(self) -> dict[str, int | None]:
        return {"max_trials": self._total, "max_length": self._lengths[-1]}

    def extension_fault(self, keys: Mapping[str, int]) -> str:
        """Return why the search cannot go on with these values of its keys; empty if it can."""
        if self._stop_once and "max_length" in keys:
            return "with stop_once no trial is resumed, so that max_length cannot grow"
        return super().extension_fault(keys) or not_greater(keys, self._keys)

    def extend(
        self, state: SearcherState, keys: Mapping[str, int], over: Sequence[Trial]
    ) -> list[Operation]:
        """Start further trials, and put longer rungs on top of the ladder: each `divisor` times as long, the last `max_length`.

        Of the trials in the highest rung until now, the best climb on from their checkpoints; so does whoever comes to be among
        the best of a lower rung. What is done stays as it is.
        """
        self._total = keys.get("max_trials", self._total)
        if "max_length" in keys:
            self._lengths = _longer(self._lengths, keys["max_length"], self._divisor)
        return self._extend(self._lengths, over)

    def state_to_json(self) -> Json:
        """Return the state of every such method, and the keys that may have grown."""
        state = super().state_to_json()
        assert isinstance(state, dict)
        return {**state, "total": self._total, "lengths": self._lengths}

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        self._total = value.get("total", self._total)
        self._lengths = value.get("lengths", self._lengths)
        super().load_state(value)

    def _ladder(self, index: int) -> Ladder | None:
        return asha_ladder(self._lengths, self._divisor, self._total, stop_once=self._stop_once) if index == 0 else None


def _longer(lengths: Sequence[int], max_length: int, divisor: Fraction) -> list[int]:
    """Return the lengths of a ladder with further rungs on top."""
    grown, length = list(lengths), Fraction(lengths[-1])
    while (length := length * divisor) < max_length:
        grown.append(int(length))
    return [*grown, max_length]


class StoppingLadder(Ladder):
    """The stopping form: a trial goes on at once where it is among the best 1/divisor so far, the first of a rung always."""

    resumes = False

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
