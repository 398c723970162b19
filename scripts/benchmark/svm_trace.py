"""The world of a real search: run times and losses of its trials, by kernel and by the cores of the worker. Nothing is chosen here."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shadho_like.engine.simulated import World

TRACE = Path(__file__).parent / "data/svm_trace.csv.gz"
"""An SVM on MNIST, random search on a shared pool, 23,643 finished trials; see the README beside it."""
KERNELS = ("linear", "poly", "rbf", "sigmoid")
BEST_SHARE = 0.01


@dataclass(frozen=True)
class Trace:
    """Trials of runs that had the same classes of workers.

    A trial is a place, 0 to 1, in the order of the run times of its kernel on one class, with the loss of the trial that was there. On
    another class it takes the time at the same place of that class: long trials stay long, and every time is one that was measured.

    Attributes:
        workers: by class, how many ran at once, on average.
        times_s: by (kernel, class), sorted.
        losses: the same trials' losses.
        goal: the loss that the best 1 % reach.
    """

    workers: Mapping[str, int]
    times_s: Mapping[tuple[str, str], np.ndarray[Any, Any]]
    losses: Mapping[tuple[str, str], np.ndarray[Any, Any]]
    goal: float

    def duration(self, hparams: Mapping[str, Any], length: int, compute_class: str) -> float:
        """Return the seconds that a trial takes on a class."""
        del length
        times_s = self.times_s[hparams["kernel"], compute_class]
        return float(times_s[int(hparams["place"] * len(times_s))])

    def loss(self, hparams: Mapping[str, Any], length: int) -> float:
        """Return what a trial brings."""
        del length
        losses = self.losses[hparams["kernel"], hparams["class"]]
        return float(losses[int(hparams["place"] * len(losses))])

    def trial(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw a trial: each kernel as likely as another."""
        return {"kernel": KERNELS[rng.integers(len(KERNELS))], "place": rng.random(), "class": str(rng.choice(list(self.workers)))}

    @property
    def world(self) -> World:
        """The same for the simulated engine."""
        return World(self.duration, self.loss, classes=self.workers)


def read(cores: frozenset[int], path: Path = TRACE) -> Trace:
    """Return the runs whose workers had these numbers of cores, in equal numbers."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    of_run = defaultdict(list)
    for row in rows:
        of_run[row["run"].rpartition("_")[0]].append(row)
    chosen = [row for run in of_run.values() if {int(row["cores"]) for row in run} == cores for row in run]
    pairs = defaultdict(list)
    ends: dict[str, float] = {}
    for row in chosen:
        started_s, finished_s = float(row["start_s"]), float(row["finish_s"])
        pairs[row["kernel"], row["cores"]].append((finished_s - started_s, float(row["loss"])))
        ends[row["run"]] = max(ends.get(row["run"], 0.0), finished_s)
    busy_s = {str(count): 0.0 for count in sorted(cores)}
    for (_, name), trials in pairs.items():
        busy_s[name] += sum(time_s for time_s, _ in trials)
    ordered = {pair: np.array(sorted(trials)) for pair, trials in pairs.items()}
    losses = np.array([float(row["loss"]) for row in rows])
    return Trace(
        {name: round(seconds / sum(ends.values())) for name, seconds in busy_s.items()},
        {pair: trials[:, 0] for pair, trials in ordered.items()},
        {pair: trials[:, 1] for pair, trials in ordered.items()},
        float(np.quantile(losses, BEST_SHARE)),
    )
