"""A rung: the results of all trials at one length, ranked, with the best share of them at hand. Heaps; nothing is ever sorted again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from heapq import heappop, heappush
from typing import Any

_Key = tuple[float, int, int]


class Rung:
    """Ranks results by badness (less is better), those of equal badness by arrival, and knows the best 1/divisor of them, its top.

    A trial is settled once nothing is to be decided about it here: it was promoted, or it is over. Trials that can never
    be in the top may be forgotten: they are counted on, and otherwise gone.

    Args:
        divisor: one in so many is in the top.
        minimum: how many are in the top at least.

    Attributes:
        size: how many results there are, forgotten ones included.
        waiting: how many trials are neither settled nor forgotten.
        shut: while this is set, the top is empty.
    """

    def __init__(self, divisor: Fraction, *, minimum: int = 0) -> None:
        self._numerator, self._denominator = divisor.as_integer_ratio()
        self._minimum = minimum
        self.shut = False
        self._clear()

    def _clear(self) -> None:
        self.size = 0
        self.waiting = 0
        self._arrivals = 0
        self._keys: dict[int, _Key] = {}
        self._settled: set[int] = set()
        self._top: set[int] = set()
        # Each heap may hold trials that have left its part since, or have come anew after they were forgotten: these entries are
        # passed over when they come up.
        self._top_worst_first: list[_Key] = []
        self._rest_best_first: list[_Key] = []
        self._rest_worst_first: list[_Key] = []
        self._ready: list[_Key] = []

    def share(self, size: int) -> int:
        """Return how many of `size` results are in the top."""
        share = size * self._denominator // self._numerator
        return max(self._minimum, share)

    @property
    def kept(self) -> int:
        """How many trials are not forgotten."""
        return len(self._keys)

    def add(self, trial: int, badness: float, *, settled: bool = False) -> None:
        """Rank a trial."""
        self.size += 1
        self._put(trial, badness, settled=settled)
        self._balance()

    def _put(self, trial: int, badness: float, *, settled: bool) -> None:
        key = (badness, self._arrivals, trial)
        self._arrivals += 1
        self._keys[trial] = key
        if settled:
            self._settled.add(trial)
        else:
            self.waiting += 1
        worst = self._worst_of_top()
        if worst is not None and key < self._keys[worst]:
            self._rise(trial)
        else:
            self._sink(trial)

    def remove(self, trial: int) -> None:
        """Take a trial out, as if it had never been here."""
        self.size -= 1
        self._forget(trial)
        self._balance()

    def recall(self, trial: int, badness: float, *, settled: bool) -> None:
        """Rank a trial again that was counted and then forgotten; one that is not forgotten stays where it is."""
        if trial not in self._keys:
            self._put(trial, badness, settled=settled)
            self._balance()

    def settle(self, trial: int) -> bool:
        """Mark a trial as settled; return whether it waited here."""
        if not self.waits(trial):
            return False
        self._settled.add(trial)
        self.waiting -= 1
        return True

    def waits(self, trial: int) -> bool:
        """Return whether a trial is here and not settled."""
        return trial in self._keys and trial not in self._settled

    def in_top(self, trial: int) -> bool:
        """Return whether a trial is among the best 1/divisor."""
        return trial in self._top

    def best_ready(self) -> int | None:
        """Return the best trial in the top that is not settled, if there is one."""
        while self._ready:
            _, arrival, trial = self._ready[0]
            if self._is_here(trial, arrival) and trial in self._top and trial not in self._settled:
                return trial
            heappop(self._ready)
        return None

    def badness(self, trial: int) -> float | None:
        """Return a trial's result, or None where it is forgotten."""
        key = self._keys.get(trial)
        return key[0] if key else None

    def best(self, count: int) -> list[int]:
        """Return the best trials, best first; this sorts, and is for small rungs."""
        return [trial for _, _, trial in sorted(self._keys.values())[:count]]

    def forget_beyond(self, limit: int) -> list[int]:
        """Forget the trials ranked beyond `limit`, but none of the top; return those that waited, worst first."""
        waited: list[int] = []
        while len(self._keys) > max(limit, len(self._top)):
            _, arrival, trial = heappop(self._rest_worst_first)
            if self._is_here(trial, -arrival) and trial not in self._top:
                if trial not in self._settled:
                    waited.append(trial)
                self._forget(trial)
        return waited

    def waiting_trials(self) -> Iterator[int]:
        """Yield the trials that are neither settled nor forgotten."""
        return (trial for trial in self._keys if trial not in self._settled)

    def state_to_json(self) -> dict[str, Any]:
        """Return the results that are not forgotten, best first, as [trial, badness or null for the worst, whether it is settled]."""
        ranked = sorted(self._keys.values())
        entries = [[trial, badness if math.isfinite(badness) else None, int(trial in self._settled)] for badness, _, trial in ranked]
        return {"size": self.size, "entries": entries}

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        self._clear()
        self.size = value["size"]
        for trial, badness, settled in value["entries"]:
            self._put(trial, math.inf if badness is None else badness, settled=bool(settled))
        self._balance()

    def _balance(self) -> None:
        """Move trials between the top and the rest until the top is as large as it should be."""
        target = 0 if self.shut else self.share(self.size)
        while len(self._top) > target and (worst := self._worst_of_top()) is not None:
            self._top.discard(worst)
            heappop(self._top_worst_first)
            self._sink(worst)
        while len(self._top) < min(target, len(self._keys)):
            _, arrival, trial = heappop(self._rest_best_first)
            if self._is_here(trial, arrival) and trial not in self._top:
                self._rise(trial)

    def set_shut(self, shut: bool) -> None:
        """Close or open the top."""
        if shut != self.shut:
            self.shut = shut
            self._balance()

    def _rise(self, trial: int) -> None:
        badness, arrival, _ = key = self._keys[trial]
        self._top.add(trial)
        heappush(self._top_worst_first, (-badness, -arrival, trial))
        if trial not in self._settled:
            heappush(self._ready, key)

    def _sink(self, trial: int) -> None:
        badness, arrival, _ = key = self._keys[trial]
        heappush(self._rest_best_first, key)
        heappush(self._rest_worst_first, (-badness, -arrival, trial))

    def _forget(self, trial: int) -> None:
        if trial in self._keys:
            self.waiting -= trial not in self._settled
            del self._keys[trial]
            self._settled.discard(trial)
            self._top.discard(trial)

    def _worst_of_top(self) -> int | None:
        while self._top_worst_first:
            _, arrival, trial = self._top_worst_first[0]
            if self._is_here(trial, -arrival) and trial in self._top:
                return trial
            heappop(self._top_worst_first)
        return None

    def _is_here(self, trial: int, arrival: int) -> bool:
        key = self._keys.get(trial)
        return key is not None and key[1] == arrival
