"""Distributed hyperparameter search: a driver on the head node, workers wherever there is a GPU."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shadho_like import rand, spaces
    from shadho_like.driver import Shadho
    from shadho_like.errors import ShadhoError, UserError, WorldError
    from shadho_like.result import Result

__version__ = "0.1.0"
__all__ = ["Result", "Shadho", "ShadhoError", "UserError", "WorldError", "rand", "spaces"]

_LAZY = {
    "Result": "shadho_like.result",
    "Shadho": "shadho_like.driver",
    "ShadhoError": "shadho_like.errors",
    "UserError": "shadho_like.errors",
    "WorldError": "shadho_like.errors",
}


def __getattr__(name: str) -> Any:
    """Load a public name on its first use."""
    if name in {"rand", "spaces"}:
        return import_module(f"shadho_like.{name}")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    message = f"module 'shadho_like' has no attribute {name!r}"
    raise AttributeError(message)
