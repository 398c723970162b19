"""NSGA-II (Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions on Evolutionary Computation
6(2), 2002), as Optuna's sampler has it: for one metric, or for several at once, of which none is worth more than another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from shadho_like.searcher.options import check_metrics
from shadho_like.searcher.random import RandomSearch
from shadho_like.searcher.samplers import Observed, Sampler


class GeneticSearch(RandomSearch):
    """Searches the trials that no other beats in every metric.

    Args:
        sampler: chooses the points.
        metrics: minimize or maximize for each of several metrics, by its name; each trial returns all of them. None for one metric.
        max_trials: how many trials in all; None to go on until something else ends the search.
        max_concurrent_trials: how many may be open at once.
        max_length: train each trial to this length, in the user's unit.

    Raises:
        OptionError: a number below 1, or no whole one; a metric alone, or one with no direction.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        metrics: Mapping[str, str] | None = None,
        max_trials: int | None = None,
        max_concurrent_trials: int = 16,
        max_length: int = 1,
    ) -> None:
        super().__init__(sampler, max_trials=max_trials, max_concurrent_trials=max_concurrent_trials, max_length=max_length)
        if metrics is not None:
            check_metrics("nsgaii", metrics)
            self.metrics = dict(metrics)

    def _observed(self, metric: Any) -> Observed:
        """Return the metrics in their order. A model of trials that has one number has it for all of them."""
        if not self.metrics:
            return super()._observed(metric)
        values = [float(metric[name] if isinstance(metric, Mapping) else metric) for name in self.metrics]
        return values if all(map(math.isfinite, values)) else None
