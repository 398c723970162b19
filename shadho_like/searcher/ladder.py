"""Successive halving without a method around it: trials climb a ladder of rungs, and the ladder says which one climbs next.

It knows trials by their numbers and results by their badness; whoever holds it turns that into operations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, ClassVar

from shadho_like.searcher.rung import Rung


class Ladder:
    """Asynchronous successive halving: a trial climbs as soon as it is among the best 1/divisor of its rung.

    Args:
        lengths: the rungs' lengths, lowest rung first, each longer than the one before.
        divisor: one in so many climbs.
        budget: how many trials start, in all.
        minimum: how many of a rung climb at least.

    Attributes:
        started: how many trials were started, those that turned out to be invalid left out.
    """

    at_once: ClassVar[bool] = False
    """Whether one result may let several trials climb."""
    resumes: ClassVar[bool] = True
    """Whether a trial that waits may climb later."""

    def __init__(self, lengths: Sequence[int], divisor: Fraction, budget: int, *, minimum: int = 0) -> None:
        self.lengths = tuple(lengths)
        self.budget = budget
        self.started = 0
        self._divisor, self._minimum = divisor, minimum
        self.rungs = [self._new_rung() for _ in self.lengths]
        self.rungs[-1].set_shut(True)
        self._running: dict[int, int] = {}
        self._running_for = [0] * len(self.lengths)
        self._over: list[int] = []

    @property
    def wants_new(self) -> bool:
        """Whether there are trials left to start."""
        return self.started < self.budget

    @property
    def finished(self) -> bool:
        """Whether no trial can start or climb any more."""
        return not self._running and not self.wants_new and not self.can_climb

    @property
    def can_climb(self) -> bool:
        """Whether a trial can climb now."""
        return self._rung_to_climb_from() is not None

    @property
    def reported(self) -> int:
        """How many trials have their first result."""
        return self.rungs[0].size

    def extend(self, lengths: Sequence[int], budget: int, results: Iterable[tuple[int, int, float]]) -> None:
        """Have more trials start, and put longer rungs on top.

        Args:
            lengths: those of all rungs; what is there stays as it is.
            budget: how many trials start, in all.
            results: of the trials that are over: their number, the last length that they reached, and their badness there. Who is
                among the best of his rung now, climbs.
        """
        more = lengths[len(self.lengths) :]
        self.rungs[-1].set_shut(not more)
        self.rungs += [self._new_rung() for _ in more]
        self.rungs[-1].set_shut(True)
        self._running_for += [0] * len(more)
        self.lengths, self.budget = tuple(lengths), budget
        for trial, length, badness in results:
            self.rungs[self.lengths.index(length)].recall(trial, badness, settled=not self.resumes)

    def _new_rung(self) -> Rung:
        return Rung(self._divisor, minimum=self._minimum)

    def runs(self, trial: int) -> bool:
        """Return whether a trial has work."""
        return trial in self._running

    def start(self, trial: int) -> int:
        """Start a trial; return the length it trains to."""
        self.started += 1
        return self._run(trial, 0)

    def climb(self) -> tuple[int, int] | None:
        """Let the next trial climb, those of the highest rung first; return it and the length it trains to, if there is one."""
        place = self._rung_to_climb_from()
        if place is None:
            return None
        trial = self.rungs[place].best_ready()
        if trial is None:
            return None
        self.rungs[place].settle(trial)
        return trial, self._run(trial, place + 1)

    def report(self, trial: int, badness: float) -> int | None:
        """Take in the result of a running trial; return the length to which it goes on at once, if it does."""
        self.rungs[self._stop(trial)].add(trial, badness)
        return None

    def fail(self, trial: int) -> None:
        """Take in that a trial is over for good: if it ran, it counts as the worst of its rung."""
        if trial in self._running:
            self.rungs[self._stop(trial)].add(trial, math.inf, settled=True)
        else:
            any(rung.settle(trial) for rung in self.rungs)

    def withdraw(self, trial: int) -> None:
        """Take a trial out of every rung and out of the count; another may start in its place."""
        if trial in self._running:
            place = self._stop(trial)
        else:
            place = 1 + next(index for index, rung in enumerate(self.rungs) if rung.waits(trial))
        for rung in self.rungs[:place]:
            rung.remove(trial)
        self.started -= 1

    def take_over(self) -> list[int]:
        """Return the trials of which nothing more is wanted, each once: those that no result can let climb any more.

        A rung's top can come to hold as many as it does once all have come that still may. As the trials that are above now
        may yet be withdrawn from it, so many more are kept.
        """
        may_come = self.budget - self.started
        above = len(self._running)
        for rung in self.rungs:
            above += rung.waiting
        over, self._over = self._over, []
        for place, rung in enumerate(self.rungs):
            running, waiting = self._running_for[place], rung.waiting
            above -= running + waiting
            may_come += running
            limit = rung.share(rung.size + may_come) + above if place < len(self.rungs) - 1 else 0
            may_come += waiting
            if rung.kept > limit:
                over += rung.forget_beyond(limit)
        return over

    def take_all(self) -> list[int]:
        """Return all trials that wait, for a ladder that is finished."""
        return sorted(trial for rung in self.rungs for trial in rung.waiting_trials())

    def state_to_json(self) -> dict[str, Any]:
        """Return the rungs, and the trials that run with the rung that each trains for."""
        rungs = [rung.state_to_json() for rung in self.rungs]
        return {"started": self.started, "running": [list(item) for item in self._running.items()], "rungs": rungs}

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        self.started = value["started"]
        self._running = {}
        self._running_for = [0] * len(self.lengths)
        for trial, place in value["running"]:
            self._run(trial, place)
        for rung, state in zip(self.rungs, value["rungs"], strict=True):
            rung.load_state(state)

    def _run(self, trial: int, place: int) -> int:
        self._running[trial] = place
        self._running_for[place] += 1
        return self.lengths[place]

    def _stop(self, trial: int) -> int:
        place = self._running.pop(trial)
        self._running_for[place] -= 1
        return place

    def _rung_to_climb_from(self) -> int | None:
        for place in range(len(self.rungs) - 2, -1, -1):
            if self.rungs[place].best_ready() is not None:
                return place
        return None
