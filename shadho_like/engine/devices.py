"""Which device the next job gets: the least loaded one, in turns where several are. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Device:
    """A place for jobs.

    Attributes:
        name: a value for `CUDA_VISIBLE_DEVICES`; None for the processor.
        slots: how many jobs it takes at once.
        running: how many it has.
        last_used: when it was last given one, as a count.
        alone: whether the job that it has, or waits for, is to have it for itself.
    """

    name: str | None
    slots: int
    running: int = 0
    last_used: int = 0
    alone: bool = False


class Devices:
    """A machine's devices.

    Args:
        names: the GPUs; none for the processor.
        slots: how many jobs each takes at once.
    """

    def __init__(self, names: Sequence[str], slots: int) -> None:
        self._devices = [Device(name, slots, last_used=-len(names) + at) for at, name in enumerate(names)] or [Device(None, slots)]
        self._used = 0

    def __iter__(self) -> Iterator[Device]:
        return iter(self._devices)

    @property
    def slots(self) -> int:
        """How many jobs there may be at once."""
        return sum(device.slots for device in self._devices)

    def free(self) -> int:
        """Return how many more jobs can run now."""
        return sum(device.slots - device.running for device in self._devices if not device.alone)

    def take(self) -> Device | None:
        """Give a job to the device that has least, None where all are full."""
        takers = [device for device in self._devices if not device.alone and device.running < device.slots]
        return self._give(min(takers, key=_load)) if takers else None

    def take_several(self, count: int) -> list[Device]:
        """Give a job to so many different devices, those that have least; there must be room for it."""
        takers = sorted((device for device in self._devices if device.running < device.slots), key=_load)
        return [self._give(device) for device in takers[:count]]

    def reserve(self) -> Device | None:
        """Keep further jobs off the device that is soonest empty, for one that is to be alone; None where all are kept already."""
        takers = [device for device in self._devices if not device.alone]
        if not takers:
            return None
        device = min(takers, key=_load)
        device.alone = True
        return device

    def take_reserved(self, device: Device) -> bool:
        """Give a device to the job that is to be alone on it, once it is empty; return whether it is."""
        if device.running:
            return False
        device.alone = True
        self._give(device)
        return True

    def give_back(self, device: Device) -> None:
        """Take a job off a device."""
        device.running -= 1

    def open(self, device: Device) -> None:
        """Let any job on a device again."""
        device.alone = False

    def _give(self, device: Device) -> Device:
        self._used += 1
        device.running += 1
        device.last_used = self._used
        return device


def _load(device: Device) -> tuple[int, int]:
    return device.running, device.last_used
