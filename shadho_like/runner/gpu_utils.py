"""The public names of the GPU scheduler. The scheduler itself is loaded when it is asked for: an experiment's process loads this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadho_like.registry import lookup
from shadho_like.runner.jobs import GPUJobResult

if TYPE_CHECKING:
    from shadho_like.runner.scheduler import GPUScheduler

__all__ = ["GPUJobResult", "GPUScheduler"]


def __getattr__(name: str) -> Any:
    """Load the scheduler."""
    if name != "GPUScheduler":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return lookup("name", name, {name: "shadho_like.runner.scheduler:GPUScheduler"})
