"""What a search will cost: the search method played on the simulated engine, with metrics drawn by lot and times that go with lengths."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadho_like.control import RunOptions
from shadho_like.engine.base import Launch
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.experiment import Experiment
from shadho_like.journal import Journal, JournalReader
from shadho_like.paths import ExperimentPaths
from shadho_like.searcher import BuiltInMethod

_LOT_BYTES = 6


@dataclass(frozen=True, slots=True)
class Preview:
    """What a search would do.

    Attributes:
        reached: how many trials end at each length, by length.
        work_s: seconds that all workers together work.
        took_s: seconds from the first trial's start to the last one's end.
        workers: how many there were.
    """

    reached: Mapping[int, int]
    work_s: float
    took_s: float
    workers: int

    @property
    def total(self) -> int:
        """The sum of all lengths, in the user's unit."""
        return sum(length * count for length, count in self.reached.items())


def preview(method: BuiltInMethod, *, workers: int, unit_s: float, max_trials: int | None = None) -> Preview:
    """Play a search in which a unit of length takes `unit_s` seconds for every trial.

    Args:
        method: in its initial state.
        workers: how many trials run at once.
        unit_s: seconds.
        max_trials: end after so many; needed for a method that has no end of its own.
    """
    engine = SimulatedEngine(World(lambda _, length: unit_s * length, _by_lot, workers=workers), 0.0)
    with tempfile.TemporaryDirectory() as folder:
        paths = ExperimentPaths(Path(folder))
        journal = Journal(paths, {"name": "preview", "metric": "metric", "seed": 0, "smaller_is_better": True})
        try:
            experiment = Experiment(journal, method)
            for _ in experiment.run(engine, Launch("preview", paths), RunOptions(max_trials=max_trials)):
                pass
        finally:
            journal.close()
        with JournalReader(paths.root) as reader:
            reached = Counter(trial.validated for trial in reader.trials() if trial.validated)
    return Preview(dict(sorted(reached.items())), engine.busy_s, engine.now(), workers)


def _by_lot(hparams: Mapping[str, Any], length: int) -> float:
    """Return a number in 0..1 that follows from the hyperparameters: trials differ, and one keeps its place as it trains."""
    del length
    digest = hashlib.blake2b(repr(sorted(hparams.items())).encode(), digest_size=_LOT_BYTES).digest()
    return float(int.from_bytes(digest, "big") / 256**_LOT_BYTES)
