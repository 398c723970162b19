"""The pictures of the search methods in docs/methods, each drawn from a search played on the simulated engine.

Run `python scripts/docs/pictures.py [NAME...]` to make them again; `gp` needs PyTorch and SciPy.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from played import play
from shapes import boundary, front, points, timeline

from shadho_like import Shadho, rand, searcher
from shadho_like.engine.simulated import World
from shadho_like.searcher.binary import BinarySearch
from shadho_like.space import as_space

PLACE = Path(__file__).parents[2] / "docs/methods"
WORKERS = 8
SPACE = {"learning_rate": rand.loguniform(1e-4, 1, count=8), "dropout": rand.uniform(0, 0.8, count=6)}
BEST = {"learning_rate": 1e-2, "dropout": 0.3}
RUNGS = {"max_length": 27, "max_trials": 36, "divisor": 3}
THRESHOLD = 61


def final(hparams: Mapping[str, Any]) -> float:
    """Return what a model reaches when it is trained to the end: 0.1 at best, on ellipses around it."""
    across = math.log10(hparams["learning_rate"] / BEST["learning_rate"]) / 4
    down = (hparams["dropout"] - BEST["dropout"]) / 0.8
    return float(0.1 + across**2 + 0.5 * down**2)


def metric(hparams: Mapping[str, Any], length: int) -> float:
    """Return a validation loss: higher learning rates begin better than they end."""
    behind = 0.3 + 0.1 * math.log10(BEST["learning_rate"] / hparams["learning_rate"])
    return final(hparams) + behind * math.exp(-length / 4)


def duration(hparams: Mapping[str, Any], length: int) -> float:
    """Return seconds: six to twelve minutes a unit of length, more for less dropout."""
    return float(360 * length * (2 - hparams["dropout"] / 0.8))


def long_duration(hparams: Mapping[str, Any], length: int) -> float:
    """Return seconds of a training to the end."""
    return 10 * duration(hparams, length)


def made(name: str, **keys: Any) -> searcher.BuiltInMethod:
    """Return a method over the pictures' space."""
    return searcher.create(name, as_space(SPACE), seed=5, max_concurrent_trials=WORKERS, **keys)


def halving(name: str, **keys: Any) -> Callable[[], str]:
    """Return what draws a method that trains trials to several lengths."""

    def draw() -> str:
        world = World(duration, metric, workers=WORKERS, loss=0.03, seed=1)
        return timeline(f"{name} on {WORKERS} workers", play(made(name, **keys), world))

    return draw


def whole(name: str, **keys: Any) -> Callable[[], str]:
    """Return what draws a method that trains each trial to the end."""

    def draw() -> str:
        world = World(long_duration, lambda hparams, _: final(hparams), workers=WORKERS, loss=0.03, seed=1)
        return points(f"{name} on {WORKERS} workers", play(made(name, **keys), world), BEST)

    return draw


def single() -> str:
    """Draw one trial whose worker is lost twice."""
    method = searcher.create("single", as_space(BEST), seed=5, max_length=27)
    return timeline("single, its worker lost twice", play(method, World(duration, metric, workers=1, loss=0.6, seed=9)))


def binary() -> str:
    """Draw what is tested when."""
    keys: dict[str, Any] = {"prop": "width", "range": (10, 100), "precision": 1, "success_direction_lower": False}
    method = searcher.create("binary", {}, seed=0, max_concurrent_trials=4, **keys)
    assert isinstance(method, BinarySearch)
    seen: list[tuple[float, float, float]] = []

    def look(now_s: float) -> None:
        bracket = method.bracket
        low, high = keys["range"]
        known = low if bracket.achieved is None else bracket.achieved, high if bracket.failed is None else bracket.failed
        if not seen or known != seen[-1][1:]:
            seen.append((now_s, *known))

    def slower(hparams: Mapping[str, Any], length: int) -> float:
        return float(1800 * length * (1 + (hparams["width"] * 7 % 10) / 10))

    played = play(method, World(slower, lambda hparams, _: float(hparams["width"] < THRESHOLD), workers=4), look)
    return boundary("binary on 4 workers", played, "width", keys["range"], THRESHOLD, seen)


def nsgaii() -> str:
    """Draw all trials by two metrics, each of which costs the other: a search in this process, as a simulated trial has one metric."""

    def objective(hparams: Mapping[str, Any]) -> dict[str, float]:
        return {"loss": final(hparams), "latency": 20 + 60 * (1 - hparams["dropout"] / 0.8)}

    metrics = {"loss": "minimize", "latency": "minimize"}
    method = searcher.create("nsgaii", as_space(SPACE), seed=5, max_trials=120, metrics=metrics)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        result = Shadho(objective, SPACE, method=method, seed=5, workers=0, directory=folder).run()
    pairs = [(float(trial.metric or 0), float(str(trial.metrics["latency"]))) for trial in result.trials]
    return front("nsgaii, one trial after the other", pairs)


PICTURES: Mapping[str, Callable[[], str]] = {
    "adaptive_asha": halving("adaptive_asha", **RUNGS, mode="standard"),
    "async_halving": halving("async_halving", **RUNGS, num_rungs=4),
    "binary": binary,
    "cmaes": whole("cmaes", max_trials=64),
    "gp": whole("gp", max_trials=40),
    "grid": whole("grid"),
    "hyperband": halving("hyperband", max_length=27, divisor=3),
    "nsgaii": nsgaii,
    "pasha": halving("pasha", **RUNGS, num_rungs=4),
    "pbt": halving("pbt", population_size=8, num_rounds=5, length_per_round=4, truncate_fraction=0.25),
    "random": whole("random", max_trials=48),
    "single": single,
    "tpe": whole("tpe", max_trials=64),
}


def main(names: list[str]) -> None:
    """Draw some pictures, or all."""
    for name in names or PICTURES:
        (PLACE / f"{name}.svg").write_text(PICTURES[name](), encoding="utf-8")
        print(f"docs/methods/{name}.svg")


if __name__ == "__main__":
    main(sys.argv[1:])
