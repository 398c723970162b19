"""The jobs that both sides of `runner.py` run, by the names of its parts, and what each part is to show. Nothing of either side is here."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field

# As an experiment does that trains: its module imports torch, so that every process that loads the module has it.
if os.environ.get("BENCHMARK_TORCH"):
    import torch  # noqa: F401

THRESHOLD = 37.3


@dataclass(frozen=True)
class Workload:
    """One part.

    Attributes:
        gpus: how many pretended GPUs there are.
        per_gpu: how many jobs share each.
        seconds: how long each job of a grid takes; none for a binary search.
        point_s: how long a job of a binary search takes.
        needs_torch: whether jobs import torch.
    """

    gpus: int
    per_gpu: int
    seconds: list[float] = field(default_factory=list)
    point_s: float = 0.0
    needs_torch: bool = False

    @property
    def ideal_s(self) -> float:
        """No packing of the grid's jobs takes less time."""
        return max(sum(self.seconds) / (self.gpus * self.per_gpu), *self.seconds)


def _unequal() -> list[float]:
    """Return run times of which every fourth is long, as those of a grid over the size of a model are."""
    draw = random.Random(1)
    return [draw.uniform(0.8, 1.0) if number % 4 == 0 else draw.uniform(0.2, 0.4) for number in range(96)]


PARTS = {
    "trivial": Workload(1, 2, [0.0] * 64),
    "binary": Workload(4, 2, point_s=0.5),
    "torch": Workload(1, 2, [0.0] * 16, needs_torch=True),
    "unequal": Workload(4, 1, _unequal()),
}


def run(seconds: float) -> None:
    """Do nothing for so long."""
    time.sleep(seconds)
