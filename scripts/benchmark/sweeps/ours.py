"""One part of `runner.py` on this package's runner: `python ours.py PART FOLDER` prints the seconds that it took."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import time
from typing import Any

from workload import PARTS, THRESHOLD, Workload, run

from shadho_like.configs import pydraclass
from shadho_like.runner import BinarySearchConfig, GridSearchConfig, run_binary_searches, run_grid_searches


@pydraclass
class Experiment:
    number: float = 0
    seconds: float = 0.0


def config_of(search: Any, number: float, seconds: float) -> tuple[Any, str]:
    config = copy.deepcopy(search.base_experiment_config)
    config.number, config.seconds, config.base_dir = number, seconds, f"{search.base_dir}/{number}"
    return config, config.base_dir


@pydraclass
class Binary(BinarySearchConfig):
    def get_experiment_config_and_base_dir(self, number: float) -> tuple[Any, str]:
        return config_of(self, number, self.base_experiment_config.seconds)

    def run_experiment_config(self, config: Any) -> bool:
        run(config.seconds)
        return bool(config.number >= THRESHOLD)

    def agg_results(self, results: Any) -> tuple[bool, Any]:
        return results[0].result, None


@pydraclass
class Grid(GridSearchConfig):
    seconds: list[float] = []  # noqa: RUF012 - a default that each config gets a copy of

    def get_experiment_config_and_base_dir(self, number: int) -> tuple[Any, str]:
        return config_of(self, number, self.seconds[number])

    def run_experiment_config(self, config: Any) -> None:
        run(config.seconds)

    def agg_results(self, results: Any) -> int:
        return sum(result.success for result in results)


def search(part: Workload, folder: str) -> Any:
    """Run a part; return what it found."""
    slots: Any = {"max_gpus": part.gpus, "simultaneous_jobs_per_gpu": part.per_gpu}
    if part.seconds:
        sweep = {"number": list(range(len(part.seconds)))}
        config: Any = Grid(base_dir=folder, sweep_props=sweep, seconds=part.seconds, base_experiment_config=Experiment())
        return run_grid_searches([config], **slots)[0]
    base = Experiment(seconds=part.point_s)
    config = Binary(base_dir=folder, prop="number", range=(10.0, 100.0), precision=1.0, base_experiment_config=base)
    return round(run_binary_searches([config], **slots)[0][0][0])  # type: ignore[index]


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(PARTS[sys.argv[1]].gpus)))
    began_s = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        found = search(PARTS[sys.argv[1]], sys.argv[2])
    print(time.perf_counter() - began_s, found)
