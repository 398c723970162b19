"""A binary search over experiment configs, as a `Search`: a trial tests one value, with its whole sweep."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import shadho_worker

from shadho_like.errors import OptionError
from shadho_like.runner.configs.search_configs import BinarySearchConfig
from shadho_like.runner.jobs import GPUJobResult
from shadho_like.runner.plain import as_json
from shadho_like.runner.plan import Plan
from shadho_like.runner.search import Answer, Kept, Search
from shadho_like.searcher import BuiltInMethod, create
from shadho_like.searcher.binary import FAIL, PASS, BinarySearch, Bracket
from shadho_like.trial import Hyperparameters, Outcome, Success, Trial, TrialState


class BinarySearchOfConfigs(Search):
    """One binary search.

    Raises:
        OptionError: its range or precision cannot be, or its points share a folder.
    """

    kind = "binary_search"
    independent = False

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        config = plan.search
        assert isinstance(config, BinarySearchConfig)
        self._config = config
        self._verdicts: dict[float, tuple[bool, Any]] = {}
        name, _, keys = self.method(1)
        try:
            method = create(name, {}, seed=0, **keys)
        except OptionError as error:
            raise OptionError(f"{plan.called}: {error}") from error
        assert isinstance(method, BinarySearch)
        for place in sorted({0, 1, method.cells}):
            plan.check_points(plan.swept(**{config.prop: method.value(place)}))

    def method(self, slots: int) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Return that of the boundary; a trial is a point with its whole sweep."""
        keys = {
            "prop": self._config.prop,
            "range": list(self._config.range),
            "precision": self._precision(),
            "success_direction_lower": self._config.success_direction_lower,
            "max_concurrent_trials": math.ceil(slots / self.plan.sweep_size),
        }
        return "binary", {}, keys

    def _precision(self) -> float:
        """Return the precision that is kept: between whole numbers, a whole one that is no larger."""
        whole = all(isinstance(value, int) for value in self._config.range)
        return max(1, math.floor(self._config.precision)) if whole and self._config.precision > 0 else self._config.precision

    def value(self, hparams: Hyperparameters) -> float:
        """Return the value that a trial tests."""
        value: Any = hparams
        for name in self._config.prop.split("."):
            value = value[name]
        assert isinstance(value, int | float)
        return value

    def points(self, hparams: Hyperparameters) -> list[dict[str, Any]]:
        """Return the sweep at the trial's value."""
        return list(self.plan.swept(**{self._config.prop: self.value(hparams)}))

    def outcome(self, hparams: Hyperparameters, results: list[GPUJobResult]) -> Outcome:
        """Return the verdict of `agg_results`."""
        passed, aggregated = self._judge(self.value(hparams), results)
        return Success(PASS if passed else FAIL, {"result": as_json(aggregated)})

    def _judge(self, value: float, results: list[GPUJobResult]) -> tuple[bool, Any]:
        returned = self.aggregated(results, f" at {self._config.prop}={value}")
        if not (isinstance(returned, tuple) and len(returned) == 2 and type(returned[0]).__name__ in {"bool", "bool_"}):
            said = shadho_worker.short(returned)
            raise self.aggregation_error(f"must return (whether the point passes, a result), not {said}")
        self._verdicts[value] = bool(returned[0]), returned[1]
        return self._verdicts[value]

    def next_point(self, waiting: Sequence[Hyperparameters], running: Sequence[Hyperparameters]) -> int:
        """Return the middle of the widest gap between the points that run: what halves it is best known first."""
        runs = {self.value(hparams) for hparams in running}
        places = sorted(range(len(waiting)), key=lambda place: self.value(waiting[place]))
        marks = sorted(runs | {self.value(hparams) for hparams in waiting})
        gaps = [list(gap) for among, gap in itertools.groupby(marks, key=lambda mark: mark in runs) if not among]
        widest = max(gaps, key=len)
        middle = widest[(len(widest) - 1) // 2]
        return next(place for place in places if self.value(waiting[place]) == middle)

    def is_outdated(self, trials: Iterable[Trial], kept: Kept) -> bool:
        """Return whether a verdict is another one now, or its jobs' results are gone."""
        for trial in trials:
            if trial.state is TrialState.COMPLETED:
                results = self.kept_results(trial.hparams, kept)
                if results is None or self._judge(self.value(trial.hparams), results)[0] != (trial.metric == PASS):
                    return True
        return False

    def answer(self, method: BuiltInMethod, trials: Iterable[Trial], kept: Kept) -> Answer | None:
        """Return the points on both sides of the boundary."""
        assert isinstance(method, BinarySearch)
        for trial in trials:
            if trial.state is TrialState.COMPLETED and self.value(trial.hparams) not in self._verdicts:
                results = self.kept_results(trial.hparams, kept)
                if results is None:
                    return None
                self._judge(self.value(trial.hparams), results)
        found = method.bracket
        sides = [None if value is None else (value, self._verdicts[value][1]) for value in (found.achieved, found.failed)]
        warnings = [
            f"{self._config.prop}={value} {'passed' if passed else 'did not pass'}, unlike others on its side of the boundary"
            for value, (passed, _) in sorted(self._verdicts.items())
            if passed != self._is_on_passing_side(value, found)
        ]
        filed = {
            "search_range": list(self._config.range),
            "precision": self._config.precision,
            "achieved_results": sides[0],
            "failed_results": sides[1],
            "points": [(value, *self._verdicts[value]) for value in sorted(self._verdicts)],
            "warnings": warnings,
        }
        return Answer((sides[0], sides[1]), filed, (self._said(found.achieved, found.failed), *(f"warning: {text}" for text in warnings)))

    def _is_on_passing_side(self, value: float, found: Bracket) -> bool:
        low, high = (found.failed, found.achieved) if self._config.success_direction_lower else (found.achieved, found.failed)
        is_low = value <= low if low is not None else high is not None and value < high
        return is_low != self._config.success_direction_lower

    def _said(self, achieved: float | None, failed: float | None) -> str:
        if achieved is None:
            return f"{self._config.prop}: none of {len(self._verdicts)} points passed, up to both ends of the range"
        if failed is None:
            return f"{self._config.prop}: all of {len(self._verdicts)} points passed, up to both ends of the range"
        return f"{self._config.prop}: {achieved} passes, {failed} does not ({len(self._verdicts)} points tested)"

    def standing(self, method: BuiltInMethod) -> str:
        """Return where the boundary may be."""
        assert isinstance(method, BinarySearch)
        low, high = sorted(method.limits)
        return f"{self._config.prop} in [{low:g}, {high:g}]"

    def left_s(self, method: BuiltInMethod, done: int, job_s: float, slots: float) -> float:
        """Return the time that the halvings take which are still to be done."""
        assert isinstance(method, BinarySearch)
        at_once = max(1.0, slots / self.plan.sweep_size)
        rounds = max(1.0, math.log(method.remaining) / math.log(at_once + 1))
        return rounds * job_s * max(1.0, self.plan.sweep_size / slots)
