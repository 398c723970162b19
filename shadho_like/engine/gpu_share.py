"""This machine's GPUs for the trials that run on it: each trial sees its own, and no other."""

from __future__ import annotations

from collections.abc import Mapping

import shadho_gpus

from shadho_like import hardware
from shadho_like.engine.devices import Device, Devices
from shadho_like.engine_status import Load
from shadho_like.errors import EngineError
from shadho_like.resources import Resources


class GpuShare:
    """Which task has which GPUs.

    Args:
        resources: what each task asks for. Where nothing is said of GPUs, tasks see what this process sees.
        environment: in which this process runs.

    Attributes:
        slots: how many tasks have room at once; None for any number.
        described: the GPUs that tasks get, as a person is told of them; empty where they get none.

    Raises:
        EngineError: there are not enough GPUs for one task.
    """

    def __init__(self, resources: Resources, environment: Mapping[str, str]) -> None:
        self._count = resources.gpu_slots
        self._taken: dict[int, list[Device]] = {}
        self._devices = Devices((), 1)
        self.slots: int | None = None
        self.described = ""
        self._amd = False
        if self._count:
            gpus = _fitting(resources, environment)
            self.described = shadho_gpus.described(gpus)
            self._amd = any(gpu.amd for gpu in gpus)
            self._devices = Devices([gpu.name for gpu in gpus], resources.jobs_per_gpu)
            self.slots = self._devices.slots // self._count

    @property
    def load(self) -> Load | None:
        """How many GPUs there are and have a task; None where tasks are given none."""
        devices = list(self._devices)
        return Load(sum(device.running > 0 for device in devices), len(devices)) if self._count else None

    def take(self, task: int) -> dict[str, str]:
        """Give a task its GPUs; return the environment that shows it these alone."""
        if self._count is None:
            return {}
        devices = self._taken[task] = self._devices.take_several(self._count)
        return shadho_gpus.shown([str(device.name) for device in devices], amd=self._amd)

    def give_back(self, task: int) -> None:
        """Take a task's GPUs back; it may have none."""
        for device in self._taken.pop(task, ()):
            self._devices.give_back(device)


def _fitting(resources: Resources, environment: Mapping[str, str]) -> list[hardware.Gpu]:
    """Return the GPUs that are what tasks ask for.

    Raises:
        EngineError: there are fewer than one task asks for.
    """
    found, warning = hardware.known_gpus(environment)
    wanted = shadho_gpus.wanted(resources.gpu_model, resources.gpu_memory_mb)
    fitting = [gpu for gpu in found if set(wanted) <= set(shadho_gpus.features([gpu])[0])]
    count = resources.gpu_slots or 0
    if len(fitting) < count:
        asked = " with ".join([f"{count} GPU{'s' if count > 1 else ''}", *wanted])
        there = shadho_gpus.described(found) if found else "none"
        reason = f" ({warning})" if warning else ""
        message = f"each trial asks for {asked}, and this process may use {there}{reason}: ask for less in config.workqueue"
        raise EngineError(message)
    return fitting
