"""What an engine has to run on, and how much of it is in use: frozen data with a JSON form, for those who look. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Load:
    """How many of something there are, and how many of them are in use."""

    used: int
    total: int


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """Workers that are alike.

    Attributes:
        workers: how many there are.
        cores, gpus: of each.
        memory_mb: of each, in MiB, roughly.
    """

    workers: int
    cores: int
    gpus: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that has run attempts.

    Attributes:
        name: as it calls itself.
        gpus: its GPUs as a person is told of them; empty where it has none, or that is not known.
    """

    name: str
    gpus: str = ""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What an engine has.

    Attributes:
        workers: workers connected, or worker processes; None where the word means nothing.
        slots: attempts that can run at once; None while unknown.
        cores, gpus: of all workers together; None where that is not known.
        groups: the workers, those that are alike together.
        hosts: machines of which it is known what GPUs they have.
    """

    workers: int | None = None
    slots: int | None = None
    cores: Load | None = None
    gpus: Load | None = None
    groups: tuple[WorkerGroup, ...] = ()
    hosts: tuple[Host, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the plain form."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EngineStatus:
        """Read what `to_json` gave; what a newer version added is left out.

        Raises:
            KeyError, TypeError: it is something else.
        """
        loads = {name: None if value[name] is None else Load(**value[name]) for name in ("cores", "gpus")}
        groups = tuple(WorkerGroup(**group) for group in value["groups"])
        hosts = tuple(Host(**host) for host in value["hosts"])
        return cls(value["workers"], value["slots"], **loads, groups=groups, hosts=hosts)
