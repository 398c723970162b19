"""What somebody who watches an experiment sees of its trials, kept up to date trial by trial, so that it costs no more at trial 50,000.

Pure: the rows come from a journal's reader, what is shown goes to a terminal.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

from shadho_like.trial import TrialState, rank

_ENDS = 200
_FAILURES = 20
_MOST_RUNGS = 12


class Glance(NamedTuple):
    """The row of a trial without what is long. See `Trial`."""

    number: int
    request_id: str
    state: TrialState
    metric: float | None
    length: int
    validated: int
    attempt: int
    host: str
    started_s: float | None
    finished_s: float | None


class Rung(NamedTuple):
    """How many trials have been trained to a length, or further; how many of them went no further."""

    length: int
    reached: int
    stayed: int


class Overview:
    """All trials of an experiment.

    Args:
        smaller_is_better: whether the metric is minimised.

    Attributes:
        counts: how many trials are in each state.
        last: the highest number of a trial, -1 without any.
        failed: the numbers of the trials that failed last, the newest last.
        ended: the numbers of the trials that ended last, the newest last.
    """

    def __init__(self, *, smaller_is_better: bool) -> None:
        self.counts: Counter[TrialState] = Counter()
        self.last = -1
        self.failed: deque[int] = deque(maxlen=_FAILURES)
        self.ended: deque[int] = deque(maxlen=_ENDS)
        self._smaller_is_better = smaller_is_better
        self._trials: dict[int, Glance] = {}
        self._open: dict[int, Glance] = {}
        self._numbers: dict[str, int] = {}
        self._lengths: Counter[int] = Counter()
        self._best: int | None = None

    def take(self, glances: Iterable[Glance]) -> None:
        """Take in trials as they are now."""
        over = [glance for glance in glances if self._replace(glance)]
        for glance in sorted(over, key=lambda glance: (glance.finished_s or 0.0, glance.number)):
            self.ended.append(glance.number)
            if glance.state is TrialState.FAILED:
                self.failed.append(glance.number)

    def _replace(self, glance: Glance) -> bool:
        """Put a trial in its place; return whether it is over now, and was not before."""
        number = glance.number
        before = self._trials.get(number)
        self.last = max(self.last, number)
        self.counts[glance.state] += 1
        self._lengths[glance.validated] += 1
        self._trials[number] = glance
        self._numbers[glance.request_id] = number
        if before is not None:
            self.counts[before.state] -= 1
            self._lengths[before.validated] -= 1
        self._consider(glance, before)
        if glance.state.final:
            self._open.pop(number, None)
            return before is None or not before.state.final
        if before is not None and before.state.final and number in self.ended:
            self.ended.remove(number)
        self._open[number] = glance
        return False

    def _consider(self, glance: Glance, before: Glance | None) -> None:
        best = self._trials.get(-1 if self._best is None else self._best)
        if best is None or best.number != glance.number:
            if glance.metric is not None and (best is None or self._badness(glance) < self._badness(best)):
                self._best = glance.number
        elif before is not None and (glance.metric is None or self._badness(glance) > self._badness(before)):
            self._best = min((each for each in self._trials.values() if each.metric is not None), key=self._badness, default=glance).number
            self._best = None if self._trials[self._best].metric is None else self._best

    def _badness(self, glance: Glance) -> tuple[float, float, int]:
        return rank(glance.metric or 0.0, glance.finished_s, glance.number, smaller_is_better=self._smaller_is_better)

    def __getitem__(self, number: int) -> Glance:
        return self._trials[number]

    def number_of(self, request_id: str) -> int | None:
        """Return the number of the trial that the search method calls so."""
        return self._numbers.get(request_id)

    @property
    def best(self) -> Glance | None:
        """The trial with the best metric; of equals as `rank` says."""
        return None if self._best is None else self._trials[self._best]

    @property
    def done(self) -> int:
        """How many trials are over."""
        return sum(count for state, count in self.counts.items() if state.final)

    @property
    def open(self) -> list[Glance]:
        """The trials that are not over."""
        return list(self._open.values())

    @property
    def running(self) -> list[Glance]:
        """The trials that run, by number."""
        return sorted(glance for glance in self._open.values() if glance.state is TrialState.RUNNING)

    @property
    def hosts(self) -> Counter[str]:
        """How many trials run on each host."""
        return Counter(glance.host for glance in self.running)

    @property
    def rungs(self) -> list[Rung]:
        """The lengths that trials have been trained to; nothing where all are trained to one. Of many lengths, some."""
        lengths = sorted(length for length, count in self._lengths.items() if count and length > 0)
        if len(lengths) < 2:
            return []
        reached, rungs = 0, []
        for length in reversed(lengths):
            reached += self._lengths[length]
            rungs.append(Rung(length, reached, self._lengths[length]))
        rungs.reverse()
        step = (len(rungs) - 1) / (_MOST_RUNGS - 1)
        return rungs if step <= 1 else [rungs[round(at * step)] for at in range(_MOST_RUNGS)]

    def per_s(self, since_s: float, now_s: float) -> float:
        """Return how many trials end in a second, of late; 0 where too few have ended to say.

        Args:
            since_s: what ended before does not count, Unix time in seconds.
            now_s: up to when, likewise: where no trial has ended for longer than usual, that time counts too.
        """
        times = [time_s for number in self.ended if (time_s := self._trials[number].finished_s) is not None and time_s >= since_s]
        if len(times) < 2 or times[-1] <= times[0]:
            return 0.0
        rate = (len(times) - 1) / (times[-1] - times[0])
        return min(rate, len(times) / (now_s - times[0])) if now_s > times[-1] else rate
