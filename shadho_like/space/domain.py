"""What every domain of one hyperparameter must give, and the base of those between two bounds. Pure.

A domain never raises when it is made: what is wrong with it is its `fault`, which the space reports with the path.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar


class Domain(ABC):
    """One hyperparameter's values.

    Attributes:
        kind: its name in JSON.
        ordered: whether values that follow each other are more alike than others.
        fault: what is wrong with its arguments, or None.
        count: how many grid points it gives, where it has no natural number of them.
    """

    kind: ClassVar[str]
    ordered: ClassVar[bool] = True
    fault: str | None = None
    count: int | None = None

    @abstractmethod
    def quantile(self, u: float) -> Any:
        """Return the value below which the fraction `u` (0 <= u < 1) of the draws lie."""

    @abstractmethod
    def unit(self, value: Any) -> float:
        """Return a number in 0..1 whose quantile is `value`."""

    @abstractmethod
    def contains(self, value: Any) -> bool:
        """Return whether a draw can give `value`."""

    @property
    @abstractmethod
    def complexity(self) -> float:
        """SHADHO's measure (Kinnison et al., WACV 2018): 1 for a constant, 2 - 1/n for n values, 2 + width for an interval."""

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON."""

    def values(self) -> Sequence[Any] | None:
        """Return all values where they are few and countable, else None."""
        return None

    def outcomes(self) -> int | None:
        """Return the number of its values where they are few, countable and equally likely, else None."""
        values = self.values()
        return None if values is None else len(values)

    def grid(self, count: int | None) -> Sequence[Any] | None:
        """Return the grid points: all values, or the middles of `count` equal shares of the probability; None without a count."""
        values = self.values()
        count = self.count or count
        if values is None and count is not None:
            return _Middles(self, count)
        return values


class _Middles(Sequence[Any]):
    """The middles of equal shares of a domain's probability, computed when asked for: there may be very many."""

    def __init__(self, domain: Domain, count: int) -> None:
        self._domain, self._count = domain, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        """Return one of them."""
        return self._domain.quantile((range(self._count)[index] + 0.5) / self._count)


def number(value: Any) -> float | int | None:
    """Return a Python number for a finite real number of any library, else None."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


class Interval(Domain):
    """Base of the domains between two bounds. `lo` and `hi` are numbers in a fault-free domain."""

    def __init__(self, lo: Any, hi: Any, count: int | None = None) -> None:
        self.count = count
        self.fault = self._bounds_fault(lo, hi) or count_fault(count)
        self.lo, self.hi = (number(lo) or 0, number(hi) or 0)

    def _bounds_fault(self, lo: Any, hi: Any) -> str | None:
        low, high = number(lo), number(hi)
        if low is None or high is None:
            return f"the bounds of {self.kind} must be finite numbers, not {lo!r} and {hi!r}"
        if low >= high:
            return f"the lower bound of {self.kind} must be below the upper one, not {low!r} and {high!r}"
        return None

    @property
    def complexity(self) -> float:
        """2 + the width of the middle 99 % of the draws."""
        return 2.0 + float(abs(self.quantile(0.995) - self.quantile(0.005)))

    def arguments(self) -> dict[str, Any]:
        """Return the bounds, and the count where there is one."""
        return {"lo": self.lo, "hi": self.hi, **({"count": self.count} if self.count else {})}


def count_fault(count: Any) -> str | None:
    """Return what is wrong with a number of grid points, or None."""
    if count is None or (isinstance(count, int) and not isinstance(count, bool) and count >= 1):
        return None
    return f"count must be a whole number of at least 1, not {count!r}"
