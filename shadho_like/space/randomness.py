"""Where a trial's numbers come from: a function of the experiment's seed and the trial's number, the same on every machine. Pure."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from itertools import count
from typing import Protocol

_WORDS = struct.Struct("<8Q")
_UNUSED_BITS = 11
_UNIT = 2.0**-53


class Randomness(Protocol):
    """Gives numbers in 0..1, 1 excluded, each as likely as any other."""

    @property
    def random(self) -> Callable[[], float]:
        """Return what returns the next number."""


class TrialGenerator:
    """The numbers of one trial: BLAKE2b of the experiment's seed, the trial's number and a counter.

    A generator of NumPy's takes ten times as long to make, for a few numbers each.

    Attributes:
        random: returns the next number.
    """

    def __init__(self, seed: int, number: int) -> None:
        self.random: Callable[[], float] = _numbers(seed, number).__next__


def _numbers(seed: int, number: int) -> Iterator[float]:
    for block in count():
        for word in _WORDS.unpack(hashlib.blake2b(b"%d.%d.%d" % (seed, number, block)).digest()):
            yield (word >> _UNUSED_BITS) * _UNIT


def first_generator(seed: int, number: int) -> Randomness:
    """Return the numbers of one trial as experiments of journal format 1 drew them: they go on with the points that they began with."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed << 64 | number)))
