"""Experiments for the dashboard's tests: played under a clock that is not real, or run by a driver of their own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from shadho_like import Shadho, rand, searcher, spaces
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.journal import Journal
from shadho_like.paths import ExperimentPaths
from shadho_like.result import Result
from shadho_like.space import Space

SPACE: dict[str, Any] = {
    "rate": rand.loguniform(1e-4, 1.0),
    "layers": rand.randint(1, 9, step=2),
    "dropout": rand.quniform(0.0, 0.5, 0.1),
    "size": rand.log2_randint(3, 9),
    "noise": rand.normal(0.0, 1.0),
    "shape": [[1, 2], [3, 4]],
    "flag": [True, 1, "1"],
    "model": spaces.scope(exclusive=True, net={"units": rand.lograndint(4, 64)}, forest={"depth": rand.randint(2, 5)}),
    "widths": spaces.repeat(rand.randint(1, 4), 3),
    "fixed": 7,
}


def loss(hparams: dict[str, Any], length: int) -> float:
    """Return what such a trial brings: the longer it trains, the less."""
    return abs(math.log10(hparams["rate"]) + 2) + float(hparams["dropout"]) + 1 / length


def play(directory: Path, trials: int, *, method: str = "async_halving", crash: float = 0.02, **more: Any) -> Result:
    """Run an experiment to its end, or to a time on its clock."""
    keys: dict[str, Any] = {"max_length": 9, "num_rungs": 3, "divisor": 3} if method == "async_halving" else {}
    world = World(lambda _, length: 60.0 * length, loss, workers=8, crash=crash, loss=0.02, seed=3)
    options = {"name": directory.name, "timeout": None, "seed": 5, **more}
    search = searcher.create(method, SPACE, seed=5, max_trials=trials, max_concurrent_trials=8, **keys)
    return Shadho("sh task.sh", SPACE, directory=directory, method=search, engine=SimulatedEngine(world), **options).run()


def empty(directory: Path) -> Path:
    """Make an experiment that has not begun."""
    method = {"name": "random", "keys": {"max_trials": 3}}
    config = {"name": "empty", "command": "sh task.sh", "objective": None, "space": Space(SPACE).to_json(), "method": method}
    whole = {**config, "metric": "loss", "smaller_is_better": True, "evaluations": 1, "seed": 1}
    Journal(ExperimentPaths(directory), whole).close()
    return directory
