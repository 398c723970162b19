"""Configs as users write them, for the tests of this folder. No lazy annotations here: both kinds are to work."""

import enum
import math
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar, Literal

from shadho_like.configs import REQUIRED, pydraclass


class Mode(enum.Enum):
    FAST = "fast"
    GOOD = "good"


@pydraclass
class Adam:
    name: str = "adam"  # what the log calls it
    lr: float = 1e-3
    # First and second
    # moment.
    betas: tuple[float, float] = (0.9, 0.99)


@pydraclass
class SGD:
    lr: float = 0.1
    momentum: float = 0
    """Between 0 and 1."""


@pydraclass
class Layer:
    size: int = 8
    dropout: float | None = None


@pydraclass
class Train:
    kinds: ClassVar[int] = 2
    steps: int = REQUIRED  # how long
    seed: int
    optimizer: Adam | SGD = Adam()
    layers: list[Layer] = field(default_factory=lambda: [Layer(), Layer(size=4)])
    tags: dict[str, int] = {}  # noqa: RUF012
    mode: Mode = Mode.FAST
    data: Path = Path("data")
    loss: Literal["l1", "l2"] = "l2"
    verbose: bool = False
    note: str | None = None
    warmup: int = -1
    extra: Any = None

    def custom_finalize(self) -> None:
        if self.warmup < 0:
            self.warmup = math.ceil(self.steps / 10)


def train(**values: Any) -> Any:
    return Train(**{"steps": 100, "seed": 1, **values})
