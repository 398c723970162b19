"""What all figures share: how they look, how numbers get a scale that can be read, how texts of the user's are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shadho_like.errors import OptionError
from shadho_like.plain_text import harmless

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f")
"""Okabe and Ito's, which people with any colour vision tell apart."""

GREY, RED, BEST = "#8c96a3", "#c0392b", "#d55e00"
_LARGEST = 1e150
_LOGARITHMIC_FROM = 20.0
_UPPER = 4.0
_FAR_OUT = 8.0


def figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches, that also a notebook shows.

    Raises:
        OptionError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        message = "plots need matplotlib: pip install 'shadho_like[plots]'"
        raise OptionError(message) from error

    class Drawing(Figure):
        """A figure that shows itself where pyplot was never imported."""

        def _repr_png_(self) -> bytes:
            import io

            data = io.BytesIO()
            self.savefig(data, format="png", dpi=110)
            return data.getvalue()

    return Drawing(figsize=(width, height), layout="constrained")


def written(text: str, longest: int = 40) -> str:
    """Return a text as matplotlib is to write it: as it is, and no mathematics."""
    return harmless(text, longest).replace("$", r"\$")


def tidy(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Give axes their words, and leave out lines that say nothing."""
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e9ed", linewidth=0.8)
    axes.set_axisbelow(True)


def whole_numbers(axis: Axis) -> None:
    """Have ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def legend(drawn: Figure) -> None:
    """Tell what is what, below the axes."""
    drawn.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)


def nothing(axes: Axes, said: str) -> None:
    """Say in the middle of empty axes why there is nothing."""
    axes.text(0.5, 0.5, said, ha="center", va="center", color=GREY, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def bounded(values: Sequence[float]) -> NDArray[np.float64]:
    """Return numbers that can be drawn: those that are too large for it are cut."""
    return np.asarray(np.clip(np.asarray(values, dtype=float), -_LARGEST, _LARGEST))


@dataclass(frozen=True, slots=True)
class Scale:
    """Where an axis of numbers begins and ends.

    Attributes:
        low, high: its ends.
        logarithmic: whether equal ratios are equal distances.
        beyond: how many numbers are beyond its ends.
    """

    low: float
    high: float
    logarithmic: bool
    beyond: int

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Scale:
        """Return an axis on which numbers can be told apart; a few that are far out do not press the others together."""
        low, high = float(values.min()), float(values.max())
        first, middle, last = (float(value) for value in np.quantile(values, (0.05, 0.5, 0.95)))
        # Of numbers that lie evenly, one is near 0 too; but then half of them are in the upper half.
        if low > 0 and high / low >= _LOGARITHMIC_FROM and high / middle >= _UPPER:
            return cls(low, high, logarithmic=True, beyond=0)
        reach = _FAR_OUT * max(last - middle, middle - first) or math.inf
        near = values[(values >= middle - reach) & (values <= middle + reach)]
        low, high = float(near.min()), float(near.max())
        if low == high:
            margin = abs(low) * 0.05 or 0.5
            return cls(low - margin, high + margin, logarithmic=False, beyond=len(values) - len(near))
        return cls(low, high, logarithmic=False, beyond=len(values) - len(near))

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where numbers lie on the axis, 0 to 1."""
        inside = np.clip(values, self.low, self.high)
        low, high = self.low, self.high
        if self.logarithmic:
            inside, low, high = np.log(inside), math.log(low), math.log(high)
        return np.asarray((inside - low) / (high - low))

    def give(self, axes: Axes) -> None:
        """Make it the vertical axis."""
        if self.logarithmic:
            axes.set_yscale("log")
            axes.set_ylim(self.low / (self.high / self.low) ** 0.04, self.high * (self.high / self.low) ** 0.04)
        else:
            margin = (self.high - self.low) * 0.04
            axes.set_ylim(self.low - margin, self.high + margin)

    def told(self) -> str:
        """Return what is to be said of the numbers that are beyond it."""
        return f"; {self.beyond} far out, at the edge" if self.beyond else ""


def thinned(count: int, most: int, keep: Sequence[int] | NDArray[np.int64] = ()) -> NDArray[np.int64]:
    """Return the places, in order, of at most so many of a number of things, evenly taken, and of those to keep."""
    if count <= most:
        return np.arange(count)
    even = np.linspace(0, count - 1, most).round().astype(np.int64)
    return np.union1d(even, np.asarray(keep, dtype=np.int64))


def short(value: Any) -> str:
    """Return a hyperparameter's value for a tick."""
    return f"{value:.4g}" if isinstance(value, float) else written(str(value), 18)
