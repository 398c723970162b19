"""What the adapter to Optuna's samplers costs in quality: the best of 100 trials here, beside Optuna run by itself.

Run `python scripts/benchmark/samplers.py [SEEDS] [SAMPLER ...]`. Both run one trial after the other. The table shows how far above
the least possible the best trial is (the digits: its error rate), as a median and quartiles over the seeds.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine
from problems import PROBLEMS, Problem
from rich import box
from rich.console import Console
from rich.table import Table

from shadho_like import Shadho, searcher

TRIALS = 100
SAMPLERS: Mapping[str, tuple[str, ...]] = {
    "random": (),
    "tpe": (),
    "gp": ("torch", "scipy"),
    "cmaes": ("cmaes",),
}
"""Those that are compared, each with the modules that it needs besides Optuna."""
WORSE = 0.01
"""Ours are worse where chance alone would let them lose so often as they do with less than this probability."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The best values of the same searches, one for each seed; less is better."""

    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def wins(self) -> float:
        """How many pairs of one of ours and one of theirs ours win, a tie being half a win (Mann and Whitney's U)."""
        ours, theirs = np.array(self.ours)[:, None], np.array(self.theirs)
        return float(np.sum(ours < theirs) + np.sum(ours == theirs) / 2)

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self.ours) * len(self.theirs)

    @property
    def variance(self) -> float:
        """That of `wins` where both are equally good, ties considered."""
        _, counts = np.unique([*self.ours, *self.theirs], return_counts=True)
        total = int(counts.sum())
        return self.pairs / 12 * (total + 1 - float(np.sum(counts**3 - counts)) / (total * max(total - 1, 1)))


def chance_of_losing(compared: Sequence[Compared]) -> float:
    """Return how probable it is that ours lose as often as they do, or more, if they are as good on each function (van Elteren)."""
    deviation = math.sqrt(math.fsum(each.variance for each in compared))
    behind = math.fsum(each.pairs / 2 - each.wins for each in compared)
    return 0.5 * math.erfc(behind / deviation / math.sqrt(2)) if deviation else 0.5


def ours(problem: str, sampler: str, seed: int, trials: int = TRIALS) -> float:
    """Return the best value of a search of ours, in this process."""
    chosen = PROBLEMS[problem]
    method = searcher.create(sampler, chosen.space, seed=seed, max_trials=trials, max_concurrent_trials=1)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opt = Shadho(chosen.loss, chosen.space, method=method, workers=0, timeout=None, directory=Path(folder, "search"))
        best = opt.run().best_value
    assert best is not None
    return best - chosen.least


def theirs(problem: str, sampler: str, seed: int, trials: int = TRIALS) -> float:
    """Return the best value of Optuna by itself, with the sampler's options as ours has them."""
    import optuna

    chosen = PROBLEMS[problem]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    makers: dict[str, Callable[[], Any]] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=makers[sampler]())
        for _ in range(trials):
            trial = study.ask()
            study.tell(trial, chosen.loss(chosen.suggest(trial)))
    return float(study.best_value) - chosen.least


def missing(problem: Problem, sampler: str) -> str:
    """Return what must be installed for a row of the table; nothing where all is there."""
    modules = [module for module in (*SAMPLERS[sampler], problem.needs) if find_spec(module) is None]
    packages = ["scikit-learn" if module == "sklearn" else module for module in modules]
    return f"pip install {' '.join(packages)}" if packages else ""


def compare(samplers: Sequence[str], seeds: int) -> bool:
    """Print the table and what follows from it; return whether no sampler is worse here than by itself."""
    title = f"The best of {TRIALS} trials above the least possible, over {seeds} seeds: median (quartiles)"
    table = Table(title=title, box=box.MARKDOWN, title_justify="left")
    for heading in ("function", "sampler", "ours", "Optuna's", "ours win"):
        table.add_column(heading, justify="left" if heading in {"function", "sampler"} else "right")
    found: dict[str, list[Compared]] = {sampler: [] for sampler in samplers}
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn"), _one_thread) as pool:
        runs = {
            (problem.name, sampler): [[pool.submit(side, problem.name, sampler, seed) for seed in range(seeds)] for side in (ours, theirs)]
            for sampler in samplers
            for problem in PROBLEMS.values()
            if not missing(problem, sampler)
        }
        for problem in PROBLEMS.values():
            for sampler in samplers:
                if lacks := missing(problem, sampler):
                    table.add_row(problem.name, sampler, lacks, "", "")
                    continue
                compared = Compared(*map(_results, runs[problem.name, sampler]))
                found[sampler].append(compared)
                share = f"{compared.wins / compared.pairs:.0%}"
                table.add_row(problem.name, sampler, _shown(compared.ours), _shown(compared.theirs), share)
    Console(width=150).print(table)
    verdicts = [_said(sampler, compared) for sampler, compared in found.items() if compared]
    return all(verdicts)


def _one_thread() -> None:
    """Keep linear algebra from using the cores that the other searches have."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def _results(futures: Sequence[Future[float]]) -> list[float]:
    return [future.result() for future in futures]


def _shown(values: Sequence[float]) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.3g} ({low:.3g} .. {high:.3g})"


def _said(sampler: str, compared: Sequence[Compared]) -> bool:
    """Say whether a sampler is worse here than by itself, all functions taken together."""
    chance = chance_of_losing(compared)
    share = math.fsum(each.wins for each in compared) / sum(each.pairs for each in compared)
    verdict = "costs quality" if chance < WORSE else "costs nothing that can be seen"
    print(f"{sampler}: ours win {share:.0%} of all pairs, p = {chance:.2f} that equals lose so often: the adapter {verdict}")
    return chance >= WORSE


def main(arguments: Sequence[str]) -> int:
    """Print a table; return 1 if a sampler is worse here than by itself, 2 where the arguments make no sense."""
    given, *samplers = arguments or ["10"]
    if not given.isdecimal() or int(given) < 1:
        print(f"how many seeds? A whole number of at least 1, not {given!r}", file=sys.stderr)
        return 2
    for sampler in samplers:
        if sampler not in SAMPLERS:
            print(f"there is no sampler {sampler!r} to compare, only {', '.join(SAMPLERS)}", file=sys.stderr)
            return 2
    print(machine())
    return 0 if compare(samplers or list(SAMPLERS), int(given)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
