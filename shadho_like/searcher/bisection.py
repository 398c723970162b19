"""Bisection of a grid by several testers at once, without a barrier: which points to test next, and what an answer decides. Pure.

Grid points are numbered from 0, on the side where points pass, to `cells`. The last that passes and the first that fails are the
same whichever points are tested first, as long as the answers are monotone.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bisection:
    """What is known of a boundary on a grid.

    Attributes:
        cells: one less than the number of points.
        passed: the highest point that is known to pass; -1 if none is.
        failed: the lowest point that is known to fail; `cells` + 1 if none is.
        contradictions: points whose answer was not that of their side of the boundary, with their answers.
    """

    cells: int
    passed: int = -1
    failed: int = field(default=-1)
    contradictions: list[tuple[int, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.failed < 0:
            self.failed = self.cells + 1

    @property
    def finished(self) -> bool:
        """Whether the boundary is found: the last point that passes is next to the first that fails, or there is only one kind."""
        return self.failed - self.passed == 1

    def is_decided(self, point: int) -> bool:
        """Return whether the answer at a point is known, or follows from another."""
        return point <= self.passed or point >= self.failed

    def answer(self, point: int, *, passes: bool) -> None:
        """Take in what a test said. One that contradicts what is known changes nothing else."""
        if (passes and point >= self.failed) or (not passes and point <= self.passed):
            self.contradictions.append((point, passes))
        elif passes:
            self.passed = max(self.passed, point)
        else:
            self.failed = min(self.failed, point)

    def choose(self, count: int, testing: Collection[int]) -> list[int]:
        """Return up to `count` points to test besides those that are tested, spread evenly over the gaps between these.

        The ends of the grid are tested last: where everything between them passes, or fails.
        """
        low, high = max(self.passed, 0), min(self.failed, self.cells)
        marks = [low, *sorted(point for point in testing if low < point < high), high]
        if high - low <= 1:
            return [end for end in (0, self.cells) if not self.is_decided(end) and end not in testing][:count]
        return [point for left, right, share in _shared(marks, count) for point in _spread(left, right, share)]

    def remaining(self) -> float:
        """Return how much of the grid may hold the boundary, as a number of cells."""
        return max(1, min(self.failed, self.cells) - max(self.passed, 0))


def _shared(marks: list[int], count: int) -> list[tuple[int, int, int]]:
    """Return (left, right, number of points) for each gap, such that the largest part that is left is smallest."""
    gaps = [(float(left - right), left, right, 0) for left, right in itertools.pairwise(marks)]
    heapq.heapify(gaps)
    done = []
    while gaps and count > 0:
        _, left, right, share = heapq.heappop(gaps)
        if right - left <= share + 1:
            done.append((left, right, share))
            continue
        heapq.heappush(gaps, (-(right - left) / (share + 2), left, right, share + 1))
        count -= 1
    return sorted([*done, *((left, right, share) for _, left, right, share in gaps)])


def _spread(left: int, right: int, share: int) -> list[int]:
    return [left + (right - left) * number // (share + 1) for number in range(1, share + 1)]
