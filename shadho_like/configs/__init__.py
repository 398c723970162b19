"""Strict configs: annotated classes whose names and types are checked whenever they are set, frozen once they are final.

Needs pydantic and PyYAML (the extra `configs`); nothing else of the package loads them.
"""

from __future__ import annotations

from shadho_like.configs.base import REQUIRED, Config
from shadho_like.configs.command_line import main, run
from shadho_like.configs.decorator import pydraclass
from shadho_like.configs.overrides import apply_overrides
from shadho_like.errors import ConfigError

__all__ = ["REQUIRED", "Config", "ConfigError", "apply_overrides", "main", "pydraclass", "run"]
