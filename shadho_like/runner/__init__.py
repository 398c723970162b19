"""Searches over experiment configs: binary and grid searches whose jobs share this machine's GPUs, or the workers of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadho_like.registry import lookup

if TYPE_CHECKING:
    from shadho_like.runner.binary_search import run_binary_searches
    from shadho_like.runner.configs.search_configs import BinarySearchConfig, GridSearchConfig
    from shadho_like.runner.grid_search import run_grid_searches
    from shadho_like.runner.jobs import GPUJobResult
    from shadho_like.runner.scheduler import GPUScheduler

__all__ = ["BinarySearchConfig", "GPUJobResult", "GPUScheduler", "GridSearchConfig", "run_binary_searches", "run_grid_searches"]

_HOMES = {
    "BinarySearchConfig": "configs.search_configs",
    "GPUJobResult": "jobs",
    "GPUScheduler": "scheduler",
    "GridSearchConfig": "configs.search_configs",
    "run_binary_searches": "binary_search",
    "run_grid_searches": "grid_search",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is asked for."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return lookup("name", name, {name: f"{__name__}.{_HOMES[name]}:{name}"})
