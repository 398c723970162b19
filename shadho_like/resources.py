"""What a trial asks for, and where there is what. Plain data; how an engine meets it is the engine's affair."""

from __future__ import annotations

from dataclasses import dataclass

from shadho_like.errors import OptionError


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial needs. None leaves the choice to the engine.

    Attributes:
        cores: processor cores.
        memory_mb: memory, in MiB.
        disk_mb: room for the sandbox, in MiB.
        gpus: GPUs.
    """

    cores: int | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    gpus: int | None = None

    def __post_init__(self) -> None:
        for name in ("cores", "memory_mb", "disk_mb", "gpus"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                message = f"{name} must be a whole number of at least 0, not {value!r}"
                raise OptionError(message)


@dataclass(frozen=True, slots=True)
class ComputeClass:
    """A named set of workers with the same hardware.

    Attributes:
        name: how the user calls it.
        resource: what tells its workers apart: cores, memory, gpus, or any feature that they advertise.
        value: the value of that resource.
        max_queued_tasks: how many tasks may wait for it.
    """

    name: str
    resource: str
    value: str | int | float
    max_queued_tasks: int = 100


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a compute class can take.

    Attributes:
        name: the class.
        slots: how many attempts its workers run at once, as far as is known.
        room: how many more attempts are wanted for it now, to wait included.
        idle: how many it could begin with at once.
    """

    name: str
    slots: int
    room: int
    idle: int
