"""Gives each waiting attempt its compute class, as late as it can: when the class has a place for it. Pure."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shadho_like.dispatch.rules import MeasuredCost, Rule
from shadho_like.dispatch.run_times import RunTimes
from shadho_like.events import AttemptFinished, AttemptStarted, EngineEvent
from shadho_like.resources import Capacity
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Hyperparameters, Outcome, Success

# A search method of the user's own may create what the space does not have.
_ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Orders:
    """What the loop is to tell the engine.

    Attributes:
        recalled: attempts that the engine is to give up before anything else: their class has gone, or another can begin with them at
            once; it may be in `submitted` again.
        submitted: attempts with their classes.
    """

    recalled: tuple[AttemptId, ...] = ()
    submitted: tuple[Attempt, ...] = ()


class Assignment:
    """The attempts that wait for a class, and those that have one.

    Args:
        leaf_of: names the leaf space of a sample.
        times: what trials take.
        rule: by which a class takes its next attempt.
    """

    def __init__(
        self, leaf_of: Callable[[Hyperparameters], str] | None = None, times: RunTimes | None = None, rule: Rule | None = None
    ) -> None:
        self.times = times or RunTimes()
        self._leaf_of = leaf_of or (lambda _: "all")
        self._rule = rule or MeasuredCost(self.times)
        self._attempts: dict[AttemptId, Attempt] = {}
        self._since: dict[AttemptId, int] = {}
        self._heaps: defaultdict[str, list[AttemptId]] = defaultdict(list)
        self._queued: defaultdict[str, dict[AttemptId, Attempt]] = defaultdict(dict)
        self._class_of: dict[AttemptId, Attempt] = {}
        self._begun = 0
        self._learned = False

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Let these wait for a class."""
        for attempt in attempts:
            self._attempts[attempt.id] = attempt
            self._since[attempt.id] = self._begun
            heapq.heappush(self._heaps[self._leaf(attempt)], attempt.id)

    def _leaf(self, attempt: Attempt) -> str:
        try:
            return self._leaf_of(attempt.hparams)
        except (AttributeError, KeyError, TypeError):
            return _ELSEWHERE

    def discard(self, attempt_id: AttemptId) -> bool:
        """Forget an attempt; return whether it waited for a class."""
        self._left(attempt_id)
        self._since.pop(attempt_id, None)
        return self._attempts.pop(attempt_id, None) is not None

    def give_back(self) -> list[Attempt]:
        """Return the attempts that wait for a class, and forget them: there are no classes any more."""
        attempts = list(self._attempts.values())
        self._attempts.clear()
        self._since.clear()
        self._heaps.clear()
        return attempts

    def note(self, event: EngineEvent) -> None:
        """Take note of what became of an attempt that has a class."""
        attempt = self._class_of.get(event.attempt)
        if attempt is None or attempt.compute_class is None:
            return
        if isinstance(event, AttemptStarted):
            self._began(attempt, event.time_s)
            return
        if isinstance(event, AttemptFinished) and event.attempt in self._queued[attempt.compute_class]:
            self._began(attempt, event.started_s)
        counts = isinstance(event, AttemptFinished) and _tells_time(event.outcome)
        if isinstance(event, AttemptFinished) and isinstance(event.outcome, Success) and event.outcome.metric is not None:
            self._rule.learn(self._leaf(attempt), attempt.hparams, event.outcome.metric)
        self._learned |= counts
        self._left(event.attempt, event.time_s, counts=counts)

    def news(self) -> list[Any]:
        """Return what trials take, for the journal; nothing if no more is known than when this was asked last."""
        learned, self._learned = self._learned, False
        return self.times.to_json() if learned else []

    def _began(self, attempt: Attempt, time_s: float) -> None:
        name = attempt.compute_class or ""
        if self._queued[name].pop(attempt.id, None) is not None:
            work = max(1, attempt.length - attempt.trained)
            self.times.started(attempt.id, self._leaf(attempt), name, work, time_s)

    def _left(self, attempt_id: AttemptId, time_s: float = 0.0, *, counts: bool = False) -> None:
        """Take note that the engine has an attempt no more."""
        attempt = self._class_of.pop(attempt_id, None)
        if attempt is not None:
            self._queued[attempt.compute_class or ""].pop(attempt_id, None)
            self.times.ended(attempt_id, time_s, counts=counts)

    def assign(self, classes: Sequence[Capacity], now_s: float, most: float = math.inf) -> Orders:
        """Give attempts to the classes that want some, those first that could begin with most of them at once.

        Where none is left, or no more may go, and a class could begin at once, it takes what waits for another.

        Args:
            classes: what each can take.
            now_s: the time.
            most: how many more attempts may go, besides those that are recalled.
        """
        recalled = [attempt for each in classes if not (each.slots or each.room) for attempt in self._queued[each.name].values()]
        for attempt in recalled:
            self._left(attempt.id)
        self.add(recalled)
        room = {each.name: each.room for each in classes if each.room > 0}
        idle = {each.name: each.idle for each in classes}
        submitted: list[Attempt] = []
        most += len(recalled)
        while room and self._attempts and len(submitted) < most:
            name = max(room, key=lambda name: (idle[name], room[name]))
            leaf = self._rule.choose(name, self._waits(), now_s)
            if leaf is None:
                del room[name]
                continue
            submitted.append(self._give(self._attempts.pop(heapq.heappop(self._heaps[leaf])), name))
            idle[name] -= 1
            room[name] -= 1
            if not room[name]:
                del room[name]
        free = self._attempts and len(submitted) < most
        taken = [] if free else [attempt for name in idle for attempt in self._taken_over(name, idle)]
        return Orders(tuple(attempt.id for attempt in (*recalled, *taken)), (*submitted, *taken))

    def _waits(self) -> dict[str, int]:
        """Return how long the first attempt of each leaf space has waited; see `Wait`."""
        firsts: list[tuple[AttemptId, str]] = []
        for leaf in list(self._heaps):
            heap = self._heaps[leaf]
            while heap and heap[0] not in self._attempts:
                heapq.heappop(heap)
            if heap:
                firsts.append((heap[0], leaf))
            else:
                del self._heaps[leaf]
        return {leaf: self._begun - self._since[attempt] + 1 for attempt, leaf in sorted(firsts)}

    def _give(self, attempt: Attempt, name: str) -> Attempt:
        self._begun += 1
        self._since.pop(attempt.id, None)
        given = replace(attempt, compute_class=name)
        self._class_of[attempt.id] = self._queued[name][attempt.id] = given
        return given

    def _taken_over(self, name: str, idle: dict[str, int]) -> list[Attempt]:
        """Return attempts that wait for another class and that this one can begin with at once, the last ones first."""
        taken = []
        while idle[name] > 0:
            others = [other for other, queued in self._queued.items() if len(queued) > max(0, idle.get(other, 0)) and other != name]
            if not others:
                break
            other = max(others, key=lambda other: len(self._queued[other]))
            _, attempt = self._queued[other].popitem()
            taken.append(self._give(attempt, name))
            idle[name] -= 1
        return taken


def _tells_time(outcome: Outcome) -> bool:
    """Return whether an attempt did all of its work, or at least took all of its time."""
    return not isinstance(outcome, Failure) or outcome.kind is FailureKind.TIME_LIMIT
