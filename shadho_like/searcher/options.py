"""The options that search methods share: what they may be, and the rungs that follow from them, in exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from shadho_like.errors import OptionError

DIRECTIONS = ("minimize", "maximize")


def check_counts(method: str, minimum: int = 1, **counts: Any) -> None:
    """Raise OptionError for the first that is no whole number of at least `minimum`."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            message = f"{name} of {method} must be a whole number of at least {minimum}, not {value!r}"
            raise OptionError(message)


def check_switch(method: str, **switches: Any) -> None:
    """Raise OptionError for the first that is neither True nor False."""
    for name, value in switches.items():
        if not isinstance(value, bool):
            message = f"{name} of {method} must be True or False, not {value!r}"
            raise OptionError(message)


def check_metrics(method: str, metrics: Any) -> None:
    """Raise OptionError unless there are several metrics, each with a direction."""
    if not isinstance(metrics, Mapping) or len(metrics) < 2:
        message = f"metrics of {method} are two at least, as in {{'loss': 'minimize', 'accuracy': 'maximize'}}, not {metrics!r}"
        raise OptionError(message)
    for name, direction in metrics.items():
        if direction not in DIRECTIONS:
            message = f"metrics of {method}: {name!r} is to {' or '.join(DIRECTIONS)}, not to {direction!r}"
            raise OptionError(message)


def exact_divisor(method: str, divisor: Any) -> Fraction:
    """Return the divisor as the decimal number that was written: 1.1 is eleven tenths.

    Raises:
        OptionError: it is no number above 1.
    """
    if isinstance(divisor, bool) or not isinstance(divisor, int | float) or not math.isfinite(divisor) or divisor <= 1:
        message = f"divisor of {method} must be a number above 1, not {divisor!r}"
        raise OptionError(message)
    return Fraction(str(divisor))


def not_greater(keys: Mapping[str, int], now: Mapping[str, int | None]) -> str:
    """Return which of the keys would not grow, as a sentence; empty if all do."""
    for key, value in keys.items():
        before = now[key]
        if before is None or value <= before:
            return f"{key} is {'without a limit' if before is None else before} already, so that {value} adds nothing"
    return ""


def rung_lengths(max_length: int, num_rungs: int, divisor: Fraction) -> list[int]:
    """Return max(int(max_length / divisor ** (num_rungs - 1 - i)), 1) for each rung i, equal lengths once.

    Two rungs of one length would compare the same results twice.
    """
    lengths, length = [max_length], Fraction(max_length)
    for _ in range(num_rungs - 1):
        length /= divisor
        lengths.append(max(int(length), 1))
        if lengths[-1] == 1:
            break
    return sorted(set(lengths))


def whole_log(value: int, divisor: Fraction) -> int:
    """Return the largest k with divisor ** k <= value, which logarithms of floats get wrong for powers of the divisor."""
    k, power = 0, divisor
    while power <= value:
        k += 1
        power *= divisor
    return k
