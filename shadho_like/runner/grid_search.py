"""Grid searches over experiment configs: every combination of the values that are swept. What runs them is loaded when they are run:
an experiment's process loads this file too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shadho_like.runner.codec import Codec
from shadho_like.runner.configs.search_configs import GridSearchConfig

__all__ = ["GridSearchConfig", "run_grid_searches"]


def run_grid_searches(
    configs: Sequence[GridSearchConfig],
    max_gpus: int | None = None,
    simultaneous_jobs_per_gpu: int | None = None,
    *,
    fresh: bool = False,
    job_timeout: float | None = None,
    engine: str = "local",
    workqueue: Mapping[str, Any] | None = None,
    codec: Codec | None = None,
) -> list[Any]:
    """Run grid searches side by side; return for each what `agg_results` made of all results, in the order of the grid.

    Args, called again, and Raises: as `run_binary_searches`.
    """
    from shadho_like.runner.grid import GridSearchOfConfigs
    from shadho_like.runner.run import Options, planned, run_searches

    options = Options(max_gpus, simultaneous_jobs_per_gpu, fresh, job_timeout, engine, workqueue, codec)
    return run_searches(planned(configs, GridSearchConfig, GridSearchOfConfigs), options)
