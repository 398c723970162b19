"""What changes slowly on a Work Queue manager: which tasks run, which workers there are, whether any of them can run a task.

Runs in the manager's process, beside Work Queue's module; standard library and Python 3.8 only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_SURVEY_S = 0.25
_FLEET_S = 2.0
_OFFERED = ("workers", "cores", "gpus", "memory", "disk")
_MOST_GROUPS = 50


class Survey:
    """Looks again and again, and reports what changed.

    Args:
        plan: what every task asks for: `resources` and `features`.
        queue: Work Queue's.
        look_at_tasks: reports the tasks that have begun.
        say: reports what changed here.
    """

    def __init__(self, plan: dict[str, Any], queue: Any, look_at_tasks: Callable[[], None], say: Callable[..., None]) -> None:
        self._needs = plan["resources"]
        self._features = plan["features"]
        self._queue = queue
        self._look_at_tasks = look_at_tasks
        self._say = say
        self._due_s = 0.0
        self._last: dict[str, Any] = {}
        self._fleet_due_s = 0.0
        self._fleet: dict[str, Any] = {}

    def look(self) -> None:
        """Report what changed, not too often."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + _SURVEY_S
        self._look_at_tasks()
        stats = self._queue.stats
        totals = {name: getattr(stats, f"total_{name}") for name in self._needs}
        slots = min((int(totals[name]) // need for name, need in self._needs.items() if need), default=stats.workers_connected)
        lacking = self._lacking(stats)
        found = {"workers": stats.workers_connected, "slots": slots, "lacking": lacking, "offers": self._offers() if lacking else []}
        if found != self._last:
            self._last = found
            self._say(**found)
        if now_s >= self._fleet_due_s:
            self._fleet_due_s = now_s + _FLEET_S
            self._look_at_workers(stats)

    def _look_at_workers(self, stats: Any) -> None:
        """Report what they have, and how much of it is in use."""
        groups = [[int(group[name]) for name in _OFFERED[:-1]] for group in self._queue.workers_summary()]
        loads = {name: [int(getattr(stats, f"committed_{name}")), int(getattr(stats, f"total_{name}"))] for name in ("cores", "gpus")}
        fleet = {**loads, "groups": sorted(groups, reverse=True)[:_MOST_GROUPS]}
        if fleet != self._fleet:
            self._fleet = fleet
            self._say(fleet=fleet)

    def _lacking(self, stats: Any) -> str:
        """Return what no connected worker has of what a task asks for: "resources", "features", or nothing as far as can be seen."""
        if not stats.workers_connected or not stats.tasks_waiting:
            return ""
        if not stats.workers_able:
            return "resources"
        # Work Queue does not tell which worker has which feature, but that nothing runs although something could.
        return "features" if self._features and not stats.tasks_on_workers else ""

    def _offers(self) -> list[list[int]]:
        """Return, for workers that are alike, how many there are, and their cores, GPUs, MiB of memory and of disk, roughly."""
        return sorted([int(group[name]) for name in _OFFERED] for group in self._queue.workers_summary())
