"""Searches for the runner's tests: an experiment that tells whether a number is below a threshold, and jobs that run nowhere."""

from __future__ import annotations

import copy
import functools
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from shadho_like.configs import Config, pydraclass
from shadho_like.engine.jobs import Job, JobEnd
from shadho_like.runner.configs.search_configs import BinarySearchConfig, GridSearchConfig
from shadho_like.runner.jobs import GPUJobResult


@pydraclass
class Optimizer:
    lr: float = 0.0


@pydraclass
class Experiment:
    n: int | float = 0
    seed: int = 0
    kind: str = "a"
    threshold: float = 50.0
    optimizer: Optimizer = Optimizer()
    fails_from: float = 1e9
    log: str = ""  # a file in which each run leaves a line


def run(config: Any) -> float:
    """Return how far the number is below the threshold, and say so."""
    print(f"n={config.n} seed={config.seed}")
    if config.log:
        with Path(config.log).open("a", encoding="utf-8") as file:
            file.write(f"{config.n} {config.seed} {config.kind}\n")
    if config.n >= config.fails_from:
        raise ValueError(f"{config.n} is too much")
    return float(config.threshold - config.n - config.optimizer.lr)


def point_of(search: Any, values: dict[str, Any]) -> tuple[Config, str]:
    config: Any = copy.deepcopy(search.base_experiment_config)
    for path, value in values.items():
        *parents, name = path.split(".")
        setattr(functools.reduce(getattr, parents, config), name, value)
    config.base_dir = f"{search.base_dir}/{'_'.join(f'{name}_{value}' for name, value in sorted(values.items()))}"
    return config, config.base_dir


@pydraclass
class Binary(BinarySearchConfig):
    low_passes: bool = True
    passing: list[int] = []  # noqa: RUF012 - the same

    def get_experiment_config_and_base_dir(self, *args: Any, **values: Any) -> tuple[Config, str]:
        return point_of(self, values)

    def run_experiment_config(self, config: Any) -> float:
        return run(config)

    def agg_results(self, results: list[GPUJobResult]) -> tuple[bool, Any]:
        values = [result.result for result in results]
        if self.passing:
            return results[0].job.config.n in self.passing, values
        return all(result.success and (result.result > 0) == self.low_passes for result in results), values


@pydraclass
class Grid(GridSearchConfig):
    def get_experiment_config_and_base_dir(self, *args: Any, **values: Any) -> tuple[Config, str]:
        return point_of(self, values)

    def run_experiment_config(self, config: Any) -> float:
        return run(config)

    def agg_results(self, results: list[GPUJobResult]) -> list[Any]:
        return [(result.job.values, result.success, result.result) for result in results]


def binary(base_dir: Path, **keys: Any) -> Any:
    """Return a search whose low values pass, below 50 of 100."""
    given = {"prop": "n", "range": (0, 100), "precision": 1, "success_direction_lower": False, "base_experiment_config": Experiment(), **keys}
    return Binary(base_dir=str(base_dir), **given)


def grid(base_dir: Path, **keys: Any) -> Any:
    given = {"sweep_props": {"n": [3, 1, 2], "kind": ["b", "a"]}, "base_experiment_config": Experiment(), **keys}
    return Grid(base_dir=str(base_dir), **given)


@dataclass
class ImaginaryJobs:
    """Jobs that run inside of `wait`, in an order that somebody chooses, one at a time unless all are to end `together`."""

    slots: int
    choose: Callable[[Sequence[int]], int]
    notices: list[str] = field(default_factory=list)
    running: dict[int, Job] = field(default_factory=dict)
    most: int = 0
    rounds: int = 0
    ended: list[Any] = field(default_factory=list)
    together: bool = False
    last: int = -1

    def now(self) -> float:
        return time.time()

    def free(self) -> int:
        return self.slots - len(self.running)

    def start(self, ticket: int, job: Job, log: Path | None = None) -> None:
        assert self.free() > 0
        self.running[ticket] = job
        self.most = max(self.most, len(self.running))

    def end(self, tickets: Collection[int]) -> None:
        for ticket in tickets:
            self.running.pop(ticket, None)

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[JobEnd]:
        if not self.running:
            return []
        if self.together:
            ends = [self._end(ticket, job) for ticket, job in self.running.items()]
            self.running.clear()
            return ends
        ticket = self.choose(sorted(self.running))
        if ticket > self.last:
            # All that ran when the last round began is over, or was ended.
            self.rounds += 1
            self.last = max(self.running)
        job = self.running.pop(ticket)
        self.ended.append(job)
        return [self._end(ticket, job)]

    def _end(self, ticket: int, job: Job) -> JobEnd:
        """Run a job, which takes no time."""
        now_s = self.now()
        return JobEnd(ticket, None, now_s, now_s, job.run())

    def close(self) -> None:
        self.running.clear()


@contextmanager
def imaginary(slots: int, order: int | None = None) -> Iterator[ImaginaryJobs]:
    """Have searches run nowhere; jobs end as they began, or in an order that a number stands for."""
    chosen = random.Random(order)
    jobs = ImaginaryJobs(slots, min if order is None else chosen.choice)
    with mock.patch("shadho_like.runner.run.jobs_for", return_value=jobs):
        yield jobs
