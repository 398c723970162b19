"""What Work Queue's manager tells of its workers, for those who look: how many, what each has, how much of it is in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import shadho_gpus
import shadho_worker

from shadho_like.engine_status import EngineStatus, Host, Load, WorkerGroup

_MOST_HOSTS = 500
_LONGEST = 100


class Fleet:
    """The workers as far as they are known."""

    def __init__(self) -> None:
        self._found: Mapping[str, Any] = {}
        self._gpus: dict[str, str] = {}
        self._hosts: tuple[Host, ...] = ()

    def hear(self, found: Mapping[str, Any]) -> None:
        """Take in a survey of the workers."""
        self._found = found

    def saw(self, host: str, features: str) -> None:
        """Take in what a worker advertises; what it says is not vouched for, and more hosts than anybody reads are not kept."""
        gpus = shadho_worker.one_line(", ".join(name for name in features.split("\t") if name and name != shadho_gpus.NO_GPU))[:_LONGEST]
        if self._gpus.get(host) != gpus and (host in self._gpus or len(self._gpus) < _MOST_HOSTS):
            self._gpus[host] = gpus
            self._hosts = tuple(Host(name[:_LONGEST], each) for name, each in sorted(self._gpus.items()))

    def status(self, workers: int, slots: int) -> EngineStatus:
        """Return what there is."""
        loads = {name: Load(*self._found[name]) for name in ("cores", "gpus") if name in self._found}
        groups = tuple(WorkerGroup(*group) for group in self._found.get("groups", ()))
        return EngineStatus(workers, slots or None, **loads, groups=groups, hosts=self._hosts)
