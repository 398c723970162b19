"""The domains: one hyperparameter's set of values each, and how a number in 0..1 becomes one of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from shadho_like.space.domain import Domain, Interval, count_fault, number

_STANDARD = NormalDist()
_SMALLEST = 2.0**-54


class Uniform(Interval):
    """Every value between the bounds is as likely as any other."""

    kind = "uniform"

    def quantile(self, u: float) -> float:
        """Return lo + u (hi - lo)."""
        return min(float(self.lo + u * (self.hi - self.lo)), float(self.hi))

    def unit(self, value: Any) -> float:
        """Return the inverse."""
        return float((value - self.lo) / (self.hi - self.lo))

    def contains(self, value: Any) -> bool:
        """Return whether it lies between the bounds."""
        return number(value) is not None and self.lo <= value <= self.hi


class LogUniform(Uniform):
    """The logarithm is uniform; the bounds are the values' own."""

    kind = "loguniform"

    def _bounds_fault(self, lo: Any, hi: Any) -> str | None:
        fault = super()._bounds_fault(lo, hi)
        return fault or (f"the lower bound of {self.kind} must be above 0, not {lo!r}" if lo <= 0 else None)

    def quantile(self, u: float) -> float:
        """Return lo (hi / lo) ** u."""
        low, high = math.log(self.lo), math.log(self.hi)
        return min(max(math.exp(low + u * (high - low)), float(self.lo)), float(self.hi))

    def unit(self, value: Any) -> float:
        """Return the inverse."""
        return math.log(value / self.lo) / math.log(self.hi / self.lo)


class QUniform(Interval):
    """A uniform draw rounded to a multiple of `q`, within the bounds."""

    kind = "quniform"

    def __init__(self, lo: Any, hi: Any, q: Any, count: int | None = None) -> None:
        super().__init__(lo, hi, count)
        step = number(q)
        if self.fault is None and (step is None or step <= 0):
            self.fault = f"q of {self.kind} must be above 0, not {q!r}"
        self.q = step or 1
        self._first, self._last = math.ceil(self.lo / self.q - 1e-9), math.floor(self.hi / self.q + 1e-9)
        if self.fault is None and self._first > self._last:
            self.fault = f"there is no multiple of {q!r} between {lo!r} and {hi!r}"

    def quantile(self, u: float) -> float:
        """Return the multiple of q nearest to lo + u (hi - lo), without the noise of binary fractions."""
        steps = min(max(round((self.lo + u * (self.hi - self.lo)) / self.q), self._first), self._last)
        return float(f"{steps * self.q:.12g}")

    def unit(self, value: Any) -> float:
        """Return a number whose quantile is `value`."""
        return float(min(max((value - self.lo) / (self.hi - self.lo), 0.0), 1.0))

    def contains(self, value: Any) -> bool:
        """Return whether it is a multiple of q between the bounds."""
        if number(value) is None:
            return False
        steps = round(value / self.q)
        return self._first <= steps <= self._last and math.isclose(steps * self.q, value, rel_tol=1e-9, abs_tol=1e-12)

    def arguments(self) -> dict[str, Any]:
        """Return the bounds and q."""
        return {**super().arguments(), "q": self.q}


class Normal(Domain):
    """The normal distribution."""

    kind = "normal"

    def __init__(self, mu: Any, sigma: Any, count: int | None = None) -> None:
        mean, deviation = number(mu), number(sigma)
        self.count = count
        self.fault = count_fault(count)
        if mean is None or deviation is None or deviation <= 0:
            self.fault = f"{self.kind} takes a finite mean and a deviation above 0, not {mu!r} and {sigma!r}"
        self.mu, self.sigma = mean or 0, deviation or 1

    def quantile(self, u: float) -> float:
        """Return mu + sigma times the standard normal quantile."""
        return float(self.mu + self.sigma * _STANDARD.inv_cdf(max(u, _SMALLEST)))

    def unit(self, value: Any) -> float:
        """Return the inverse."""
        return _STANDARD.cdf((value - self.mu) / self.sigma)

    def contains(self, value: Any) -> bool:
        """Return whether it is a number."""
        return number(value) is not None

    @property
    def complexity(self) -> float:
        """2 + the width of the middle 99 % of the draws."""
        return 2.0 + float(abs(self.quantile(0.995) - self.quantile(0.005)))

    def arguments(self) -> dict[str, Any]:
        """Return the mean and the deviation."""
        return {"mu": self.mu, "sigma": self.sigma, **({"count": self.count} if self.count else {})}


class LogNormal(Normal):
    """The logarithm is normal."""

    kind = "lognormal"

    def quantile(self, u: float) -> float:
        """Return e to the normal quantile."""
        return math.exp(super().quantile(u))

    def unit(self, value: Any) -> float:
        """Return the inverse."""
        return super().unit(math.log(value))

    def contains(self, value: Any) -> bool:
        """Return whether it is a number above 0."""
        return number(value) is not None and value > 0


class RandInt(Interval):
    """Whole numbers from `lo` in steps of `step`, below `hi`."""

    kind = "randint"

    def __init__(self, lo: Any, hi: Any, step: Any = 1, count: int | None = None) -> None:
        super().__init__(lo, hi, count)
        numbers = [number(lo), number(hi), number(step)]
        if self.fault is None and not all(isinstance(item, int) for item in numbers):
            self.fault = f"{self.kind} takes whole numbers, not {lo!r}, {hi!r} and {step!r}"
        elif self.fault is None and step < 1:
            self.fault = f"the step of {self.kind} must be at least 1, not {step!r}"
        self._range = range(1) if self.fault else range(int(self.lo), int(self.hi), int(step))

    def quantile(self, u: float) -> int:
        """Return the value at that share of the range."""
        return self._range[int(u * len(self._range))]

    def unit(self, value: Any) -> float:
        """Return the middle of the value's share."""
        return (self._range.index(value) + 0.5) / len(self._range)

    def contains(self, value: Any) -> bool:
        """Return whether it is one of the whole numbers."""
        return isinstance(value, int) and not isinstance(value, bool) and value in self._range

    def values(self) -> Sequence[Any] | None:
        """Return all values, unless a count asks for fewer."""
        return None if self.count else self._range

    @property
    def complexity(self) -> float:
        """2 - 1/n."""
        return 2.0 - 1.0 / len(self._range)

    def arguments(self) -> dict[str, Any]:
        """Return the bounds and the step."""
        return {**super().arguments(), "step": self._range.step}


class LogRandInt(RandInt):
    """Whole numbers from `lo`, below `hi`, whose logarithm is uniform."""

    kind = "lograndint"

    def __init__(self, lo: Any, hi: Any, count: int | None = None) -> None:
        super().__init__(lo, hi, 1, count)
        if self.fault is None and self.lo < 1:
            self.fault = f"the lower bound of {self.kind} must be at least 1, not {lo!r}"

    def quantile(self, u: float) -> int:
        """Return the whole part of lo (hi / lo) ** u."""
        value = int(self.lo * math.exp(u * math.log(self.hi / self.lo)))
        return min(max(value, int(self.lo)), int(self.hi) - 1)

    def outcomes(self) -> None:
        """Return None: small numbers are likelier than large ones."""

    def unit(self, value: Any) -> float:
        """Return a number whose quantile is `value`."""
        return math.log((value + 0.5) / self.lo) / math.log(self.hi / self.lo)

    def arguments(self) -> dict[str, Any]:
        """Return the bounds."""
        return Interval.arguments(self)


class Choice(Domain):
    """One of the options, each as likely as any other."""

    kind = "choice"
    ordered = False

    def __init__(self, options: Any) -> None:
        listed = isinstance(options, Sequence) and not isinstance(options, str)
        self.options = list(options) if listed else []
        if not self.options:
            self.fault = f"a {self.kind} needs a list of at least one option, not {options!r}"

    def quantile(self, u: float) -> Any:
        """Return the option at that share of the list."""
        return self.options[int(u * len(self.options))]

    def unit(self, value: Any) -> float:
        """Return the middle of the option's share."""
        return (self._index(value) + 0.5) / len(self.options)

    def contains(self, value: Any) -> bool:
        """Return whether it is one of the options; 1, 1.0 and true are three values."""
        return self._index(value) >= 0

    def _index(self, value: Any) -> int:
        return next((i for i, option in enumerate(self.options) if option == value and type(option) is type(value)), -1)

    def values(self) -> Sequence[Any]:
        """Return the options."""
        return self.options

    @property
    def complexity(self) -> float:
        """2 - 1/n."""
        return 2.0 - 1.0 / len(self.options)

    def arguments(self) -> dict[str, Any]:
        """Return the options."""
        return {"options": self.options}


class Exhaustive(Choice):
    """The options one after the other, from trial to trial, so that each comes once before any comes twice."""

    kind = "exhaustive"


class Constant(Choice):
    """One fixed value."""

    kind = "constant"

    def __init__(self, value: Any) -> None:
        super().__init__([value])

    def arguments(self) -> dict[str, Any]:
        """Return the value."""
        return {"value": self.options[0]}


class Power(Domain):
    """A base to the power of a draw from another domain: SHADHO's `log2_uniform(-5, 15)` is 2 ** u, u uniform on [-5, 15].

    A whole base to a whole exponent of at least 0 is a whole number.
    """

    kind = "power"

    def __init__(self, base: str, exponent: Domain) -> None:
        self.base, self.exponent = base, exponent
        self.count = exponent.count
        self.fault = exponent.fault
        self._base = {"ln": math.e, "log2": 2, "log10": 10}[base]
        if self.fault is None and max(exponent.quantile(1 - _SMALLEST * 2), 0) * math.log(self._base) > math.log(2.0**1023):
            self.fault = f"{base}_{exponent.kind} goes beyond the largest number: the bounds are exponents"

    def quantile(self, u: float) -> float:
        """Return the base to the power of the exponent's quantile."""
        value: float = self._base ** self.exponent.quantile(u)
        return value

    def unit(self, value: Any) -> float:
        """Return the inverse."""
        return self.exponent.unit(self._exponent(value))

    def contains(self, value: Any) -> bool:
        """Return whether the logarithm is one of the exponent's values."""
        return number(value) is not None and value > 0 and self.exponent.contains(self._exponent(value))

    def _exponent(self, value: float) -> float:
        exponent = math.log(value) / math.log(self._base)
        if isinstance(self.exponent, RandInt):
            whole = round(exponent)
            return whole if math.isclose(exponent, whole, abs_tol=1e-9) else exponent
        if isinstance(self.exponent, Uniform):
            bounded = min(max(exponent, self.exponent.lo), self.exponent.hi)
            return bounded if math.isclose(bounded, exponent, rel_tol=1e-12, abs_tol=1e-12) else exponent
        return exponent

    def values(self) -> Sequence[Any] | None:
        """Return all values where the exponents are countable."""
        exponents = self.exponent.values()
        return None if exponents is None else [self._base**exponent for exponent in exponents]

    def outcomes(self) -> int | None:
        """Return the number of exponents."""
        return self.exponent.outcomes()

    @property
    def complexity(self) -> float:
        """2 + the width of the middle 99 % of the draws, or 2 - 1/n."""
        if self.exponent.values() is not None:
            return self.exponent.complexity
        return 2.0 + float(abs(self.quantile(0.995) - self.quantile(0.005)))

    def arguments(self) -> dict[str, Any]:
        """Return the base and the exponent's domain."""
        return {"base": self.base, "exponent": {"type": self.exponent.kind, **self.exponent.arguments()}}


DOMAINS: Mapping[str, type[Domain]] = {
    domain.kind: domain
    for domain in (Uniform, LogUniform, QUniform, Normal, LogNormal, RandInt, LogRandInt, Choice, Exhaustive, Constant)
}
"""The domains by their names in JSON; `Power` and the composite ones are read by the nodes that hold other domains."""
