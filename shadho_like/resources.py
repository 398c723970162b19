"""What a trial asks for, and where there is what. Plain data; how an engine meets it is the engine's affair."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shadho_like.errors import OptionError

AMOUNTS = ("cores", "memory", "disk", "gpus", "gpu_memory")
"""The resources of which a worker has an amount, memory and disk in MiB; any other is a feature, which it has or has not."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial needs. None leaves the choice to the engine.

    Attributes:
        cores: processor cores.
        memory_mb: memory, in MiB.
        disk_mb: room for the sandbox, in MiB.
        gpus: GPUs; a number below 1 is a share of one: 0.5 lets two trials share it.
        gpu_memory_mb: memory that each of its GPUs must have, in MiB.
        gpu_model: the model of its GPUs, or some words of its name in their order: "A100".
    """

    cores: int | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    gpus: float | None = None
    gpu_memory_mb: int | None = None
    gpu_model: str | None = None

    def __post_init__(self) -> None:
        for name in ("cores", "memory_mb", "disk_mb", "gpu_memory_mb"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                message = f"{name} must be a whole number of at least 0, not {value!r}"
                raise OptionError(message)
        if self.gpus is not None and not is_gpu_count(self.gpus):
            message = f"gpus must be a whole number of at least 0, or a share of one GPU such as 0.5, not {self.gpus!r}"
            raise OptionError(message)
        if self.gpus == 0 and (self.gpu_memory_mb or self.gpu_model):
            message = "gpus is 0, but gpu_memory or gpu_model is set: leave gpus out, or set it to the number of GPUs"
            raise OptionError(message)

    @property
    def gpu_slots(self) -> int | None:
        """How many GPUs show themselves to a trial, a shared one counted as one; None if nothing is said of GPUs."""
        if self.gpus is None:
            return 1 if self.gpu_memory_mb or self.gpu_model else None
        return math.ceil(self.gpus)

    @property
    def jobs_per_gpu(self) -> int:
        """How many trials may share a GPU."""
        return int(1 / self.gpus + 1e-9) if self.gpus is not None and 0 < self.gpus < 1 else 1

    def trials_in(self, slots: int) -> int:
        """Return how many trials may run at once where they may have so many GPUs together; one that asks for none counts as one.

        Raises:
            OptionError: not even one.
        """
        count = slots * self.jobs_per_gpu // (self.gpu_slots or 1)
        if count < 1:
            message = f"max_slots is {slots}, and each trial takes {self.gpu_slots}: no trial could ever run"
            raise OptionError(message)
        return count


def is_gpu_count(value: object) -> bool:
    """Return whether a value can be a number of GPUs: whole, or a share of one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < 1 or (math.isfinite(value) and value >= 1 and value == int(value))


@dataclass(frozen=True, slots=True)
class ComputeClass:
    """A named set of workers with the same hardware.

    Attributes:
        name: how the user calls it.
        resource: what tells its workers apart: cores, memory, disk, gpus, gpu_memory, gpu_model, or any feature that they advertise.
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
