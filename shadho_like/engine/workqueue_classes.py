"""The compute classes of Work Queue's workers: what their tasks ask for, and how many each can take, as its tasks' beginnings show.

Work Queue does not tell which worker advertises what. So a few tasks of each class wait; where they begin, there is more to be had,
and where none does for a while, the class is full, or has no worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import shadho_gpus

from shadho_like.engine.workqueue_files import needs
from shadho_like.launch import Launch
from shadho_like.resources import Capacity, ComputeClass
from shadho_like.trial import Attempt

_FEWEST_WAITING = 2
_MOST_WAITING = 100
_RUNNING_PER_WAITING = 4
_FULL_AFTER_S = 2.0
_CLOSED_AFTER_S = 10.0
_CLOSED_S = 60.0
_FIELDS = {
    "cores": "cores", "memory": "memory_mb", "disk": "disk_mb", "gpus": "gpus",
    "gpu_memory": "gpu_memory_mb", "gpu_model": "gpu_model",
}


@dataclass(slots=True)
class _Class:
    """One class and its tasks, by number.

    Attributes:
        asked: what a task of it asks for.
        most: how many tasks may wait.
        slots: how many run at once, as far as is known.
        begun_s: when one began last, the first of those that wait was submitted, or workers came.
        closed_until_s: no worker of it answers; when one may be looked for again.
        found: whether a task of it has ever begun.
        told: whether it was said that none has.
    """

    asked: Mapping[str, Any]
    most: int
    slots: int = 0
    begun_s: float = 0.0
    closed_until_s: float = 0.0
    found: bool = False
    told: bool = False
    waiting: set[int] = field(default_factory=set)
    running: set[int] = field(default_factory=set)


class TaskClasses:
    """The classes that the user has declared; without any, those that workers are found to be of.

    Args:
        launch: what tasks run.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._declared = bool(launch.compute_classes)
        self._classes = {each.name: _Class(self._asked(each), each.max_queued_tasks) for each in launch.compute_classes}
        self._class_of: dict[int, str] = {}
        self._alike = False

    def _asked(self, declared: ComputeClass) -> Mapping[str, Any]:
        if declared.resource not in _FIELDS:
            return {"features": [f"{declared.resource}={declared.value}"]}
        value: dict[str, Any] = {_FIELDS[declared.resource]: declared.value}
        resources = replace(self._launch.resources, **value)
        features = shadho_gpus.wanted(resources.gpu_model, resources.gpu_memory_mb)
        return {"resources": needs(resources), "features": features}

    def asked(self, name: str | None) -> Mapping[str, Any]:
        """Return what a task of a class asks for besides what all do."""
        return {**self._classes[name].asked, "class": name} if name in self._classes else {}

    def saw(self, features: str) -> None:
        """Take note of what a worker advertises; one that advertises nothing could be of no class, so that there are none then."""
        if self._declared or self._alike:
            return
        names = tuple(sorted(filter(None, features.split("\t"))))
        self._alike = not names
        self._classes.setdefault(", ".join(names), _Class({"features": list(names)}, _MOST_WAITING))

    @property
    def _known(self) -> Mapping[str, _Class]:
        return self._classes if self._declared or (len(self._classes) > 1 and not self._alike) else {}

    def submitted(self, number: int, name: str | None, now_s: float) -> None:
        """Take note of a task that waits."""
        if name in self._classes:
            known = self._classes[name]
            known.begun_s = now_s if not known.waiting else known.begun_s
            known.waiting.add(number)
            self._class_of[number] = name

    def begun(self, number: int, now_s: float) -> None:
        """Take note that a task runs."""
        known = self._classes.get(self._class_of.get(number, ""))
        if known is not None and number in known.waiting:
            known.waiting.remove(number)
            known.running.add(number)
            known.begun_s, known.closed_until_s, known.found = now_s, 0.0, True
            known.slots = max(known.slots, len(known.running))

    def over(self, number: int) -> None:
        """Take note that a task is no more."""
        if (name := self._class_of.pop(number, None)) is not None:
            self._classes[name].waiting.discard(number)
            self._classes[name].running.discard(number)

    def more_workers(self, now_s: float) -> None:
        """Take note that workers came: any class may have more slots."""
        for known in self._classes.values():
            known.begun_s, known.closed_until_s = now_s, 0.0
            known.slots = max(known.slots, len(known.running) + 1)

    def forget(self) -> None:
        """Take note that all tasks are gone."""
        self._class_of.clear()
        for known in self._classes.values():
            known.waiting.clear()
            known.running.clear()

    def capacities(self, now_s: float, *, workers: int) -> list[Capacity]:
        """Return what each class can take, in attempts; nothing where workers are alike."""
        return [self._capacity(name, known, now_s, workers) for name, known in self._known.items()]

    def _capacity(self, name: str, known: _Class, now_s: float, workers: int) -> Capacity:
        waited_s = now_s - known.begun_s if known.waiting and workers else 0.0
        if known.running and waited_s >= _FULL_AFTER_S:
            known.slots = len(known.running)
        elif waited_s >= _CLOSED_AFTER_S:
            known.slots, known.closed_until_s = 0, now_s + _CLOSED_S
        per_task = self._launch.trials_per_task
        if now_s < known.closed_until_s:
            return Capacity(name, 0, 0, 0)
        wanted = min(known.most, max(_FEWEST_WAITING, len(known.running) // _RUNNING_PER_WAITING))
        room = max(0, wanted - len(known.waiting)) * per_task
        idle = max(0, known.slots - len(known.running) - len(known.waiting)) * per_task
        return Capacity(name, max(1, known.slots) * per_task, max(room, idle), idle)

    def notices(self) -> Iterator[str]:
        """Yield a line for each class that turns out to have no worker, once."""
        for name, known in self._known.items():
            if known.closed_until_s and not known.found and not known.told:
                known.told = True
                asked = ", ".join((*known.asked.get("features", ()), *_amounts(known.asked.get("resources", {}))))
                yield f"no worker that is connected is of compute class {name!r} ({asked}); its trials go to the others until one is"


def _amounts(resources: Mapping[str, int]) -> Iterator[str]:
    return (f"{name} = {amount}" for name, amount in resources.items())


def by_class(attempts: Sequence[Attempt]) -> Iterator[list[Attempt]]:
    """Yield the attempts of each class together: a task has one."""
    classes: dict[str | None, list[Attempt]] = {}
    for attempt in attempts:
        classes.setdefault(attempt.compute_class, []).append(attempt)
    yield from classes.values()
