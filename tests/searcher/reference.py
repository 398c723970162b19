"""ASHA as the paper has it, slowly: every list is ranked anew whenever a question is asked. The oracle of the fast one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

Job = tuple[str, int, int]
"""("create" or "climb" or "go on", the trial, the length)."""


@dataclass
class SlowAsha:
    """One ladder. Trials are numbered as they are created."""

    lengths: list[int]
    divisor: Fraction
    max_trials: int
    slots: int
    stop_once: bool = False
    results: list[list[tuple[float, int]]] = field(default_factory=list)
    promoted: set[tuple[int, int]] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    running: dict[int, int] = field(default_factory=dict)
    created: int = 0
    invalid: int = 0

    def __post_init__(self) -> None:
        self.results = [[] for _ in self.lengths]

    def top(self, rung: int) -> list[int]:
        """Return the best trials of a rung; results of equal badness stay in the order of arrival."""
        ranked = sorted(self.results[rung], key=lambda result: result[0])
        count = math.floor(len(ranked) / self.divisor)
        return [trial for _, trial in ranked[: max(count, 1) if self.stop_once else count]]

    def fill(self) -> list[Job]:
        jobs: list[Job] = []
        while len(self.running) < self.slots and self.created - self.invalid < self.max_trials:
            jobs.append(("create", self.created, self.lengths[0]))
            self.running[self.created] = 0
            self.created += 1
        return jobs

    def after_result(self) -> list[Job]:
        """Let one trial climb, the best of the highest rung that has one; then start new ones."""
        for rung in () if self.stop_once else reversed(range(len(self.lengths) - 1)):
            for trial in self.top(rung):
                if (rung, trial) not in self.promoted and trial not in self.dead:
                    self.promoted.add((rung, trial))
                    self.running[trial] = rung + 1
                    return [("climb", trial, self.lengths[rung + 1]), *self.fill()]
        return self.fill()

    def report(self, trial: int, badness: float) -> list[Job]:
        rung = self.running.pop(trial)
        self.results[rung].append((badness, trial))
        if self.stop_once and rung < len(self.lengths) - 1 and trial in self.top(rung):
            self.running[trial] = rung + 1
            return [("climb", trial, self.lengths[rung + 1])]
        return self.after_result()

    def fail(self, trial: int) -> list[Job]:
        self.results[self.running.pop(trial)].append((math.inf, trial))
        self.dead.add(trial)
        return self.after_result()

    def withdraw(self, trial: int) -> list[Job]:
        del self.running[trial]
        self.results = [[result for result in rung if result[1] != trial] for rung in self.results]
        self.invalid += 1
        return self.after_result()
