"""What a trial asks for, and where there is what. Plain data; how an engine meets it is the engine's affair."""

from __future__ import annotations

from dataclasses import dataclass

from shadho_like.errors import OptionError

AMOUNTS = ("cores", "memory", "disk", "gpus")
"""The resources of which a worker has an amount, memory and disk in MiB; any other is a feature, which it has or has not."""


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

    Raises:
        OptionError: an amount is no number of at least 1, or the resource has no name.
    """

    name: str
    resource: str
    value: str | int | float
    max_queued_tasks: int = 100

    def __post_init__(self) -> None:
        whole = isinstance(self.value, int) and not isinstance(self.value, bool) and self.value >= 1
        if self.resource in AMOUNTS and not whole:
            raise OptionError(f"compute class {self.name!r}: {self.resource} is a whole number of at least 1, not {self.value!r}")
        if not isinstance(self.resource, str) or not self.resource.strip():
            raise OptionError(f"compute class {self.name!r}: resource is {', '.join(AMOUNTS)} or a feature, not {self.resource!r}")
        if isinstance(self.max_queued_tasks, bool) or not isinstance(self.max_queued_tasks, int) or self.max_queued_tasks < 1:
            raise OptionError(f"compute class {self.name!r}: max_queued_tasks must be at least 1, not {self.max_queued_tasks!r}")

    @property
    def feature(self) -> str | None:
        """What its workers advertise; None where it is told by an amount."""
        return None if self.resource in AMOUNTS else f"{self.resource}={self.value}"


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
