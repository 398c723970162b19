"""The user's constructors of domains: `rand.uniform(0, 1)`. What is wrong with one is said when it becomes part of a space.

`count` is how many points a grid takes from a domain that has no natural number of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shadho_like.space.domains import (
    Choice,
    Constant,
    LogNormal,
    LogRandInt,
    LogUniform,
    Normal,
    Power,
    QUniform,
    RandInt,
    Uniform,
)


def uniform(lo: float, hi: float, *, count: int | None = None) -> Uniform:
    """Return real numbers in [lo, hi]."""
    return Uniform(lo, hi, count)


def loguniform(lo: float, hi: float, *, count: int | None = None) -> LogUniform:
    """Return real numbers in [lo, hi] whose logarithm is uniform; lo is above 0."""
    return LogUniform(lo, hi, count)


def quniform(lo: float, hi: float, q: float, *, count: int | None = None) -> QUniform:
    """Return multiples of q in [lo, hi]."""
    return QUniform(lo, hi, q, count)


def normal(mu: float, sigma: float, *, count: int | None = None) -> Normal:
    """Return normally distributed numbers of mean mu and standard deviation sigma."""
    return Normal(mu, sigma, count)


def lognormal(mu: float, sigma: float, *, count: int | None = None) -> LogNormal:
    """Return numbers whose natural logarithm is normally distributed with mean mu and deviation sigma."""
    return LogNormal(mu, sigma, count)


def randint(lo: int, hi: int, step: int = 1, *, count: int | None = None) -> RandInt:
    """Return whole numbers lo, lo + step, ... below hi."""
    return RandInt(lo, hi, step, count)


def lograndint(lo: int, hi: int, *, count: int | None = None) -> LogRandInt:
    """Return whole numbers from lo, below hi, whose logarithm is uniform; lo is at least 1."""
    return LogRandInt(lo, hi, count)


def choice(options: Sequence[Any]) -> Choice:
    """Return one of the options, any JSON values."""
    return Choice(options)


def constant(value: Any) -> Constant:
    """Return one fixed JSON value."""
    return Constant(value)


def ln_uniform(lo: float, hi: float, *, count: int | None = None) -> Power:
    """Return e ** u, u uniform on [lo, hi]."""
    return Power("ln", Uniform(lo, hi, count))


def log2_uniform(lo: float, hi: float, *, count: int | None = None) -> Power:
    """Return 2 ** u, u uniform on [lo, hi]."""
    return Power("log2", Uniform(lo, hi, count))


def log10_uniform(lo: float, hi: float, *, count: int | None = None) -> Power:
    """Return 10 ** u, u uniform on [lo, hi]."""
    return Power("log10", Uniform(lo, hi, count))


def ln_normal(mu: float, sigma: float, *, count: int | None = None) -> Power:
    """Return e ** u, u normal."""
    return Power("ln", Normal(mu, sigma, count))


def log2_normal(mu: float, sigma: float, *, count: int | None = None) -> Power:
    """Return 2 ** u, u normal."""
    return Power("log2", Normal(mu, sigma, count))


def log10_normal(mu: float, sigma: float, *, count: int | None = None) -> Power:
    """Return 10 ** u, u normal."""
    return Power("log10", Normal(mu, sigma, count))


def ln_randint(lo: int, hi: int, step: int = 1, *, count: int | None = None) -> Power:
    """Return e ** k, k a whole number from lo, below hi."""
    return Power("ln", RandInt(lo, hi, step, count))


def log2_randint(lo: int, hi: int, step: int = 1, *, count: int | None = None) -> Power:
    """Return 2 ** k, k a whole number from lo, below hi; whole where k is at least 0."""
    return Power("log2", RandInt(lo, hi, step, count))


def log10_randint(lo: int, hi: int, step: int = 1, *, count: int | None = None) -> Power:
    """Return 10 ** k, k a whole number from lo, below hi; whole where k is at least 0."""
    return Power("log10", RandInt(lo, hi, step, count))
