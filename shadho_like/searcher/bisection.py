"""Bisection of a grid by several testers at once, without a barrier: which points to test next, and what an answer decides. Pure.

Grid points are numbered from 0, on the side where points pass, to `cells`. The last that passes and the first that fails are the
same whichever points are tested first, as long as the answers are monotone.
"""

from __future__ import annotations

import bisect
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

    def choose(self, count: int, older: Collection[int], newer: Collection[int], testers: int) -> list[int]:
        """Return up to `count` points to test besides those that are tested already.

        When the older tests are over, one of the gaps between them is left, for all testers: so that a gap gets points of the grid by
        which all would divide it evenly. The ends are tested last: where everything between them passes, or fails.

        Args:
            count: how many testers are free.
            older: points under test whose answers come first.
            newer: points under test that were chosen since the last answer.
            testers: how many there are in all.
        """
        low, high = max(self.passed, 0), min(self.failed, self.cells)
        if high - low <= 1:
            return [end for end in (0, self.cells) if not self.is_decided(end) and end not in {*older, *newer}][:count]
        marks = [low, *sorted(point for point in older if low < point < high), high]
        return _spread([_Gap(left, right, newer, testers) for left, right in itertools.pairwise(marks)], count)

    def remaining(self) -> float:
        """Return how much of the grid may hold the boundary, as a number of cells."""
        return max(1, min(self.failed, self.cells) - max(self.passed, 0))


class _Gap:
    """The cells between two marks, and the points within that are or will be tested."""

    def __init__(self, left: int, right: int, tested: Collection[int], testers: int) -> None:
        self._marks = [left, *sorted(point for point in tested if left < point < right), right]
        self._grid = sorted({left + (right - left) * number // (testers + 1) for number in range(1, testers + 1)} - {left})

    @property
    def part(self) -> float:
        """The mean number of cells between points."""
        return (self._marks[-1] - self._marks[0]) / (len(self._marks) - 1)

    def divide(self) -> int | None:
        """Take one more point, in the middle of the largest part that can be divided; None if none can."""
        for left, right in sorted(itertools.pairwise(self._marks), key=lambda part: part[0] - part[1]):
            within = [point for point in self._grid if left < point < right]
            if within:
                point = min(within, key=lambda point: abs(2 * point - left - right))
                bisect.insort(self._marks, point)
                return point
        return None


def _spread(gaps: list[_Gap], count: int) -> list[int]:
    """Return up to so many points, each in the gap whose parts are largest then."""
    queue = [(-gap.part, number) for number, gap in enumerate(gaps)]
    heapq.heapify(queue)
    chosen: list[int] = []
    while queue and len(chosen) < count:
        _, number = heapq.heappop(queue)
        point = gaps[number].divide()
        if point is not None:
            chosen.append(point)
            heapq.heappush(queue, (-gaps[number].part, number))
    return chosen
