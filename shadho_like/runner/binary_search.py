"""Binary searches over experiment configs: where the values of one field stop to pass. What runs them is loaded when they are run:
an experiment's process loads this file too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shadho_like.runner.codec import Codec
from shadho_like.runner.configs.search_configs import BinarySearchConfig

__all__ = ["BinarySearchConfig", "run_binary_searches"]

Result = tuple[float, Any]


def run_binary_searches(
    configs: Sequence[BinarySearchConfig],
    max_gpus: int | None = None,
    simultaneous_jobs_per_gpu: int | None = None,
    *,
    fresh: bool = False,
    job_timeout: float | None = None,
    engine: str = "local",
    workqueue: Mapping[str, Any] | None = None,
    codec: Codec | None = None,
) -> list[tuple[Result | None, Result | None]]:
    """Run binary searches side by side; return for each (the last point that passes, the last that does not).

    A point is (value, what `agg_results` made of its results), None where there is none. Called again, also after being killed,
    it runs no finished job again. Everything found is in each config's `base_dir`.

    Args:
        configs: the searches, which share the slots fairly.
        max_gpus: how many GPUs to use at most; by default all that `CUDA_VISIBLE_DEVICES` names, or the machine has.
        simultaneous_jobs_per_gpu: how many jobs share a GPU, 1 by default. Without any GPU, as many run at once as there are cores.
        fresh: run all jobs, also those that have finished before.
        job_timeout: seconds after which a job is killed, and has failed.
        engine: "local", or "workqueue" for the workers that come.
        workqueue: settings of the cluster, as in `{"name": "sweep", "gpus": 1}`; by default those of `.shadhorc`.
        codec: how results come back from workers; by default as JSON.

    Raises:
        OptionError: something in a config cannot be; nothing has run.
        UserError: `agg_results` failed; the other searches are done.
        KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    from shadho_like.runner.binary import BinarySearchOfConfigs
    from shadho_like.runner.run import Options, planned, run_searches

    options = Options(max_gpus, simultaneous_jobs_per_gpu, fresh, job_timeout, engine, workqueue, codec)
    return run_searches(planned(configs, BinarySearchConfig, BinarySearchOfConfigs), options)
