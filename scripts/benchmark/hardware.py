"""Which compute class gets which trial: the run times of a real search, replayed under several rules.

`python scripts/benchmark/hardware.py [SEEDS [HOURS]]` prints a table for each kind of pool that the trace has, and what the trace
allows at best; the status is 1 where measured run times do not come within 5 % of an oracle that knows each run time before.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from replay import OldestFirst, Oracle, Replayed, replay
from rich import box
from rich.console import Console
from rich.table import Table
from svm_trace import KERNELS, Trace, read

from shadho_like import rand, spaces
from shadho_like.dispatch import MeasuredCost, RankOrder, RunTimes
from shadho_like.space import as_space

POOLS = (frozenset({2, 3, 4}), frozenset({2, 4, 8, 16}))
GOAL = 0.95
_PARTS = 10
_BOUND_PARTS = 30
_SEEDS = 20
_HOURS = 24.0

C, GAMMA, COEF0 = rand.log2_uniform(-5, 10), rand.log10_uniform(-3, 0), rand.uniform(-1000, 0)
SPACE = as_space(
    spaces.scope(
        exclusive=True,
        linear={"C": C},
        rbf={"C": C, "gamma": GAMMA},
        sigmoid={"C": C, "gamma": GAMMA, "coef0": COEF0},
        poly={"C": C, "gamma": GAMMA, "coef0": COEF0, "degree": rand.randint(2, 15)},
    )
)
COMPLEXITIES = {leaf.name: leaf.complexity for leaf in SPACE.leaves()}


def runs(trace: Trace, hours: float) -> dict[str, Callable[[int], Replayed]]:
    """Return each rule's replay, by what it is called; each takes a seed."""
    # SHADHO's drivers declare the class with the most cores first.
    declared = sorted(trace.workers, key=int, reverse=True)
    oracle, means = Oracle(trace, _PARTS), Oracle(trace, 1)

    def ranked(seed: int, *, strict: bool) -> Replayed:
        return replay(trace, RankOrder(declared, KERNELS, COMPLEXITIES, strict=strict), seed=seed, hours=hours)

    def measured(seed: int) -> Replayed:
        times = RunTimes(COMPLEXITIES, declared)
        return replay(trace, MeasuredCost(times), seed=seed, hours=hours, times=times)

    return {
        "uniform: the oldest trial to whoever is free": lambda seed: replay(trace, OldestFirst(), seed=seed, hours=hours),
        "SHADHO's ranks, as published": lambda seed: ranked(seed, strict=True),
        "SHADHO's ranks, no class left idle": lambda seed: ranked(seed, strict=False),
        "each kernel's mean on each class, known before": lambda seed: replay(
            trace, MeasuredCost(means), seed=seed, hours=hours, leaf_of=means.leaf_of
        ),
        "measured run times (ours)": measured,
        "an oracle that knows each run time": lambda seed: replay(
            trace, MeasuredCost(oracle), seed=seed, hours=hours, leaf_of=oracle.leaf_of
        ),
    }


def bound_per_hour(trace: Trace, parts: int) -> float:
    """Return the highest rate that any schedule can keep up which knows each run time to a part of its kernel's."""
    from scipy.optimize import linprog

    oracle, names = Oracle(trace, parts), list(trace.workers)
    kinds = sorted({kind for kind, _ in oracle.times_s})
    pairs = len(kinds) * len(names)
    per_kind, per_class = np.zeros((len(kinds), pairs + 1)), np.zeros((len(names), pairs + 1))
    for row, kind in enumerate(kinds):
        per_kind[row, row * len(names) : (row + 1) * len(names)] = 1.0
        per_kind[row, -1] = -1 / len(kinds)
        for column, name in enumerate(names):
            per_class[column, row * len(names) + column] = oracle.times_s[kind, name]
    aim = np.append(np.zeros(pairs), -1.0)
    best = linprog(aim, per_class, list(trace.workers.values()), per_kind, np.zeros(len(kinds)))
    return float(-best.fun * 3600)


def table(trace: Trace, replayed: dict[str, list[Replayed]], hours: float) -> Table:
    """Return the results of all rules, mean and spread over the seeds."""
    pool = ", ".join(f"{count} with {name} cores" for name, count in trace.workers.items())
    made = Table(title=f"{pool}; {hours:g} hours, mean and spread", box=box.MARKDOWN, title_justify="left")
    headings = ("rule", "trials an hour", "to uniform", "to the oracle", "hours to the best 1 %", "idle", "least kernel")
    for heading in headings:
        made.add_column(heading, justify="left" if heading == "rule" else "right")
    rates = {name: statistics.mean(run.per_hour for run in done) for name, done in replayed.items()}
    first, *_, last = rates.values()
    for name, done in replayed.items():
        shown = [
            spread([run.per_hour for run in done], ".1f"),
            f"{rates[name] / first:.3f}",
            f"{rates[name] / last:.3f}",
            spread([run.goal_h for run in done], ".2f"),
            f"{max(0.0, statistics.mean(run.idle for run in done)):.1%}",
            f"{statistics.mean(run.least for run in done):.1%}",
        ]
        made.add_row(name, *shown)
    return made


def spread(values: Sequence[float], form: str) -> str:
    """Return a mean and a standard deviation."""
    return f"{statistics.mean(values):{form}} ± {statistics.pstdev(values):{form}}"


def main(seeds: int, hours: float) -> bool:
    """Print the tables; return whether ours comes near enough to the oracle where the trace is large."""
    ratios = []
    for pool in POOLS:
        trace = read(pool)
        replayed = {name: [run(seed) for seed in range(seeds)] for name, run in runs(trace, hours).items()}
        console: Any = Console(width=170)
        console.print(table(trace, replayed, hours))
        whole, leaves = bound_per_hour(trace, _BOUND_PARTS), bound_per_hour(trace, 1)
        console.print(f"No schedule can do more than {whole:.1f} an hour; none that knows only the mean of each kernel on each class")
        console.print(f"more than {leaves:.1f}, in the long run and at an equal mix.\n")
        means = [statistics.mean(run.per_hour for run in done) for done in list(replayed.values())[-2:]]
        ratios.append(means[0] / means[1])
    return ratios[0] >= GOAL


if __name__ == "__main__":
    if any(not word.isdecimal() or int(word) < 1 for word in sys.argv[1:]):
        print("how many seeds, and how many hours? Whole numbers of at least 1", file=sys.stderr)
        sys.exit(2)
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(0 if main(given[0] if given else _SEEDS, float(given[1]) if len(given) > 1 else _HOURS) else 1)
