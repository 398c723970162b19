"""Searches over experiment configs: binary and grid searches whose jobs share this machine's GPUs, or the workers of a cluster."""

from __future__ import annotations

from shadho_like.runner.binary_search import run_binary_searches
from shadho_like.runner.configs.search_configs import BinarySearchConfig, GridSearchConfig
from shadho_like.runner.gpu_utils import GPUJobResult, GPUScheduler
from shadho_like.runner.grid_search import run_grid_searches

__all__ = ["BinarySearchConfig", "GPUJobResult", "GPUScheduler", "GridSearchConfig", "run_binary_searches", "run_grid_searches"]
