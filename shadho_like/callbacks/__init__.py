"""What else is told of a search while it runs: `opt.callbacks.append(TensorBoard("runs"))`.

Each needs an extra of its own, which is loaded when it is made.
"""

from __future__ import annotations

from typing import Any

from shadho_like.registry import lookup

__all__ = ["Callback", "MLflow", "TensorBoard", "WandB"]

_PLACES = {
    "Callback": "shadho_like.callbacks.base:Callback",
    "MLflow": "shadho_like.callbacks.mlflow_runs:MLflow",
    "TensorBoard": "shadho_like.callbacks.tensorboard:TensorBoard",
    "WandB": "shadho_like.callbacks.wandb_runs:WandB",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return lookup("callback", name, _PLACES)
