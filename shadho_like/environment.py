"""The environment variables that a search gives its trials: which there may be. Pure."""

from __future__ import annotations

import re
from typing import Any

import shadho_gpus

_GPU_LISTS = (shadho_gpus.CUDA, shadho_gpus.ROCR, shadho_gpus.HIP)


def variable_fault(name: Any, value: Any) -> str | None:
    """Return what is wrong with an environment variable; None if nothing is."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return f"{name!r:.80} is no name of a variable: letters, digits and underscores make one"
    if not isinstance(value, str) or "\0" in value:
        return f"{name} must have a text as its value, not {value!r:.80}"
    if name in _GPU_LISTS:
        return f"{name} is set for each trial to the GPUs that it gets: ask for a number of them (gpus, slots_per_trial)"
    if name.startswith("SHADHO_"):
        return f"{name} is one of this package's own: variables that begin with SHADHO_ are set by it"
    return None
