"""How much sooner a binary search ends with several slots than plain bisection does, in a simulated cluster.

Run `python scripts/benchmark/binary.py [THRESHOLDS]`: the boundary lies at so many places of (10, 100), found to a precision of 1,
with equal run times and with lognormal ones (sigma 1).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import Ratio, machine, show
from simulate import play

from shadho_like import searcher
from shadho_like.engine.simulated import World

BOUNDS, PRECISION = (10.0, 100.0), 1.0
GOALS = {"equal": {1: 0.99, 2: 1.45, 4: 2.25, 8: 2.5, 16: 3.4}, "lognormal": {1: 0.99, 2: 1.7, 4: 2.5, 8: 3.3, 16: 3.9}}


def equal(seed: int) -> Callable[[Any, int], float]:
    """Return run times that are all the same, in seconds."""
    del seed
    return lambda _, length: float(length)


def lognormal(seed: int) -> Callable[[Any, int], float]:
    """Return run times that differ from point to point, in seconds."""
    return lambda hparams, length: length * float(np.random.default_rng((seed, int(hparams["n"] * 1e6))).lognormal(0, 1))


def plain_s(threshold: float, duration: Callable[[Any, int], float]) -> float:
    """Return how long it takes to halve the range until it is as short as the precision, one test after the other."""
    (low, high), passed_s = BOUNDS, 0.0
    while high - low > PRECISION:
        middle = (low + high) / 2
        passed_s += duration({"n": middle}, 1)
        low, high = (middle, high) if middle < threshold else (low, middle)
    return passed_s


def ended_s(threshold: float, slots: int, duration: Callable[[Any, int], float]) -> float:
    """Return how long our search takes with so many slots."""
    keys: dict[str, Any] = {"prop": "n", "range": BOUNDS, "precision": PRECISION, "success_direction_lower": False}
    keys["max_concurrent_trials"] = slots
    method = searcher.create("binary", {}, seed=0, **keys)
    world = World(duration, lambda hparams, _: float(hparams["n"] < threshold), workers=slots)
    return play(method, world, max_length=1, goal=-math.inf).ended_s


def main(thresholds: int) -> int:
    """Print a table; return 1 if a goal is missed."""
    print(machine())
    places = np.random.default_rng(0).uniform(*BOUNDS, thresholds)
    rows = []
    for name, times in (("equal", equal), ("lognormal", lognormal)):
        plain = float(np.mean([plain_s(place, times(seed)) for seed, place in enumerate(places)]))
        for slots, goal in GOALS[name].items():
            ours = float(np.mean([ended_s(place, slots, times(seed)) for seed, place in enumerate(places)]))
            rows.append(Ratio(f"{slots} slots, {name} run times", 1 / ours, 1 / plain, "searches/s", goal))
    return 0 if show(f"Our searches to plain bisections, mean of {thresholds}", rows) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000))
