"""How soon each search method finds a model within 1 % of the best possible, on learning curves that cross, in a simulated cluster.

Run `python scripts/benchmark/asha.py [SEEDS]`. Run times differ 10 to 1, one trial in twenty is five times slower than it should be,
and attempts crash and lose their workers. Hours are the simulated world's; a decision's microseconds are processor time of this one,
on average, with the points that it draws.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna_asha
from measure import machine
from rich import box
from rich.console import Console
from rich.table import Table
from simulate import Played, play

from shadho_like import rand, searcher
from shadho_like.engine.simulated import World
from shadho_like.space import as_space

MAX_LENGTH = 64
LENGTHS = [1, 4, 16, MAX_LENGTH]
NAMES = ["x", "y", "z", "pace", "luck"]
SPACE = as_space({name: rand.uniform(0, 1) for name in NAMES})
BEST = 0.1
GOAL = 1.01 * BEST
DAY_S = 86_400.0
RUNGS = {"max_length": MAX_LENGTH, "max_trials": 100_000}


@dataclass(frozen=True, slots=True)
class Contender:
    """A search method with its keys."""

    name: str
    method: str
    keys: Mapping[str, Any]

    @property
    def has_model(self) -> bool:
        """Whether its points come from a model, which takes longer the more it knows."""
        return "tpe" in self.name


CONTENDERS = (
    Contender("random", "random", {"max_length": MAX_LENGTH}),
    Contender("async_halving", "async_halving", {**RUNGS, "num_rungs": 4}),
    Contender("async_halving, stop_once", "async_halving", {**RUNGS, "num_rungs": 4, "stop_once": True}),
    Contender("adaptive_asha", "adaptive_asha", RUNGS),
    Contender("hyperband", "hyperband", {**RUNGS, "divisor": 4}),
    Contender("hyperband, asynchronous", "hyperband", {**RUNGS, "divisor": 4, "asynchronous": True}),
    Contender("pasha", "pasha", {**RUNGS, "num_rungs": 4}),
    Contender("tpe", "tpe", {"max_length": MAX_LENGTH}),
    Contender("async_halving with tpe", "async_halving", {**RUNGS, "num_rungs": 4, "sampler": "tpe"}),
)


def final(hparams: Mapping[str, float]) -> float:
    """Return what a model reaches when it is trained to the end: 0.1 at best."""
    distance = (hparams["x"] - 0.3) ** 2 + (hparams["y"] - 0.6) ** 2 + (hparams["z"] - 0.5) ** 2
    return BEST + 0.2 * distance


def metric(hparams: Mapping[str, float], length: int) -> float:
    """Return a validation loss: those that learn slowly begin behind, and end where their place in the space says."""
    speed = 2 + 10 * hparams["pace"]
    return final(hparams) + 0.5 * (1 - hparams["luck"] / 4) * (math.exp(-speed * length / MAX_LENGTH) - math.exp(-speed))


def duration(hparams: Mapping[str, float], length: int) -> float:
    """Return seconds: 10 to 1 along one hyperparameter, and one trial in twenty five times that."""
    straggles = (hparams["luck"] * 997) % 1 < 0.05
    return 10.0 * length * (1 + 9 * hparams["z"]) * (5 if straggles else 1)


def run(contender: Contender, workers: int, seed: int, **limits: Any) -> Played:
    """Play one contender once."""
    method = searcher.create(contender.method, SPACE, seed=seed, max_concurrent_trials=workers, **contender.keys)
    return play(method, world(workers, seed), max_length=MAX_LENGTH, until_s=30 * DAY_S, **limits)


def world(workers: int, seed: int) -> World:
    """Return the cluster."""
    return World(duration, metric, workers=workers, crash=0.01, loss=0.01, seed=seed)


def main(seeds: int) -> None:
    """Print a table for each size of the cluster."""
    print(machine())
    for workers in (25, 500):
        title = f"{workers} workers: hours until within 1 % of the best possible, over {seeds} seeds"
        table = Table(title=title, box=box.MARKDOWN, title_justify="left")
        for heading in ("method", "median", "least", "most", "workers busy", "us a decision"):
            table.add_column(heading, justify="left" if heading == "method" else "right")
        # What a model of 500 points at once takes is hours; nobody would have it choose them.
        for contender in (each for each in CONTENDERS if workers < 100 or not each.has_model):
            played = [run(contender, workers, seed, goal=GOAL) for seed in range(seeds)]
            hours = sorted(each.reached_s / 3600 for each in played)
            whole = run(contender, workers, 0, goal=-math.inf, most_results=500 if contender.has_model else 20_000)
            shown = [f"{number:.2f}" for number in (statistics.median(hours), hours[0], hours[-1])]
            table.add_row(contender.name, *shown, f"{whole.busy:.1%}", f"{whole.decision_s * 1e6:.0f}")
        for name, reached in optuna_asha.contenders().items() if workers < 100 else ():
            hours = sorted(reached(world(workers, seed), NAMES, LENGTHS, 4, GOAL, 30 * DAY_S, seed=seed) / 3600 for seed in range(seeds))
            table.add_row(name, *(f"{number:.2f}" for number in (statistics.median(hours), hours[0], hours[-1])), "", "")
        Console(width=150).print(table)


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else "10"
    if not given.isdecimal() or int(given) < 1:
        print(f"how many seeds? A whole number of at least 1, not {given!r}", file=sys.stderr)
        sys.exit(2)
    main(int(given))
