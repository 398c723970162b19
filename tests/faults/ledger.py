"""What was done to the package and what it broke: counted by tier, told in one line at the end. Nothing is injected or checked here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

TIERS = ("properties", "simulator", "crash points", "processes", "hostile worker")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done in each tier.

    Attributes:
        runs: of the state machine of the properties tier.
        simulated: faults in simulated searches.
        rounds: how often the schedules of real processes are played.
        attacks: of the hostile worker.
    """

    name: str
    runs: int
    simulated: int
    rounds: int
    attacks: int


SIZES = {size.name: size for size in (Size("ci", 500, 6_000, 1, 30), Size("release", 20_000, 200_000, 45, 300))}


@dataclass
class Ledger:
    """Counts for the last line.

    Attributes:
        size: what is run.
        seed: from which every fault follows.
        injected: faults by tier.
        runs: runs of the properties tier, each with faults of its own.
        broken: promises that did not hold, one line each.
    """

    size: Size
    seed: int
    injected: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    broken: list[str] = field(default_factory=list)

    def fault(self, tier: str, count: int = 1) -> None:
        """Count faults."""
        assert tier in TIERS
        self.injected[tier] += count

    def line(self) -> str:
        """Return the one line."""
        tiers = [f"{tier} {self.injected[tier]:,}" for tier in TIERS if self.injected[tier]]
        if self.runs:
            tiers[0] += f" in {self.runs:,} runs"
        total = sum(self.injected.values())
        return f"faults {self.size.name}, seed {self.seed}: {total:,} injected ({', '.join(tiers)}); promises broken: {len(self.broken)}"
