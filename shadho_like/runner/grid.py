"""A grid search over experiment configs, as a `Search`: a trial is one job."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import shadho_worker

from shadho_like.runner.jobs import GPUJobResult
from shadho_like.runner.plain import as_json
from shadho_like.runner.plan import Plan
from shadho_like.runner.search import Answer, Kept, Search
from shadho_like.searcher import BuiltInMethod
from shadho_like.trial import Hyperparameters, Outcome, Success, Trial

_AHEAD = 64


class GridSearchOfConfigs(Search):
    """One grid search.

    Raises:
        OptionError: its points share a folder.
    """

    kind = "grid_search"
    independent = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        if plan.is_large:
            plan.check_neighbours()
        else:
            plan.check_points(plan.swept())
        self._labels = {name: [_label(value, at) for at, value in enumerate(values)] for name, values in plan.sweep.items()}
        self._places = {name: {json.dumps(label): at for at, label in enumerate(labels)} for name, labels in self._labels.items()}

    def method(self, slots: int) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Return that of the grid; a trial is a job."""
        return "grid", dict(self._labels), {"max_concurrent_trials": max(_AHEAD, 2 * slots)}

    def points(self, hparams: Hyperparameters) -> list[dict[str, Any]]:
        """Return the one point."""
        return [{name: values[self._places[name][json.dumps(hparams[name])]] for name, values in self.plan.sweep.items()}]

    def outcome(self, hparams: Hyperparameters, results: list[GPUJobResult]) -> Outcome:
        """Return what the job returned, or why it failed: many failures of jobs are no reason to end a search."""
        [result] = results
        if result.success:
            return Success(1.0, {"result": as_json(result.result)})
        return Success(0.0, {"error": result.error})

    def next_point(self, waiting: Sequence[Hyperparameters], running: Sequence[Hyperparameters]) -> int:
        """Return the first."""
        return 0

    def is_outdated(self, trials: Iterable[Trial], kept: Kept) -> bool:
        """Return no: nothing follows from a result, and one that is gone is found to be in the end."""
        return False

    def answer(self, method: BuiltInMethod, trials: Iterable[Trial], kept: Kept) -> Answer | None:
        """Return what `agg_results` makes of all results."""
        results = []
        for values in self.plan.swept():
            result = kept(self.plan.job(values))
            if result is None:
                return None
            results.append(result)
        failed = sum(not result.success for result in results)
        said = f"all {len(results)} points done" + (f", {failed} of them failed" if failed else "")
        aggregated = self.aggregated(results, "")
        return Answer(aggregated, {"results": aggregated}, (said,))

    def standing(self, method: BuiltInMethod) -> str:
        """Return the size of the grid."""
        return f"{self.plan.sweep_size} points"

    def left_s(self, method: BuiltInMethod, done: int, job_s: float, slots: float) -> float:
        """Return the time that the jobs take which are still to be done."""
        return max(1, self.plan.sweep_size - done) * job_s / slots


def _label(value: Any, place: int) -> Any:
    """Return a value as the journal shows it: itself where JSON can hold it, else its place and a text."""
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError, RecursionError):
        same = False
    return value if same else f"{place}: {shadho_worker.short(value)}"
