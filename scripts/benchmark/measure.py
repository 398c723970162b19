"""What all benchmarks share: a measurement in a fresh process, a table of ratios, the machine in a line. Nothing is measured here."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ratio:
    """One line of a table: two numbers that were measured in one run, and the ratio that is to be reached.

    Attributes:
        what: what is compared.
        ours, theirs: the two numbers, in one unit.
        unit: of both.
        goal: the ratio of ours to theirs that is to be reached.
        at_most: whether the ratio is to be at most the goal, not at least.
    """

    what: str
    ours: float
    theirs: float
    unit: str
    goal: float
    at_most: bool = False

    @property
    def value(self) -> float:
        """Ours over theirs."""
        return self.ours / self.theirs

    @property
    def reached(self) -> bool:
        """Whether the goal is reached."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def in_fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call a module's function in a new interpreter, so that no measurement warms up or burdens the next."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def side_by_side(rounds: int, *measures: Callable[[], float]) -> list[float]:
    """Return the median of each measure over some rounds, in each of which all are taken, one after the other.

    Every other round goes backwards: what one leaves behind, in the disk's cache or in the processor's heat, burdens all alike.
    """
    taken: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        for values, measure in list(zip(taken, measures, strict=True))[:: -1 if number % 2 else 1]:
            values.append(measure())
    return list(map(statistics.median, taken))


def machine() -> str:
    """Return this machine's size in a line."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({_processor()}), {memory_gib:.0f} GiB, Python {platform.python_version()}, {platform.system()}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def show(title: str, ratios: Iterable[Ratio]) -> bool:
    """Print a table of ratios; return whether every goal is reached."""
    table = Table(title=title, box=box.MARKDOWN, title_justify="left")
    for heading in ("what", "ours", "theirs", "ratio", "goal"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    rows = list(ratios)
    for row in rows:
        bound = "at most" if row.at_most else "at least"
        missed = "" if row.reached else " (missed)"
        numbers = [f"{number:,.4g} {row.unit}" for number in (row.ours, row.theirs)]
        table.add_row(row.what, *numbers, f"{row.value:.2f}", f"{bound} {row.goal:g}{missed}")
    Console(width=150).print(table)
    return all(row.reached for row in rows)
