"""What this machine has: cores, and accelerators as the names by which a process is shown one. Nothing of CUDA or torch is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping

import shadho_gpus
from shadho_gpu_probe import Gpu

__all__ = ["VISIBLE", "Gpu", "cores", "gpus", "known_gpus"]

VISIBLE = shadho_gpus.CUDA


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs that a process with this environment may use, each as a value for `CUDA_VISIBLE_DEVICES`.

    That variable decides where it is set, its indices, UUIDs and MIG ids as they are; empty or -1 means none. Otherwise all that
    the driver lists are there: by index, or by MIG id where a GPU is divided. Where its program is missing, as in a container, its
    files are counted.
    """
    return shadho_gpus.names(environment)


def known_gpus(environment: Mapping[str, str]) -> tuple[tuple[Gpu, ...], str]:
    """Return the same with all that is known of each, and a warning, empty where all is well."""
    found, warning = shadho_gpus.find(environment)
    return tuple(found), warning
