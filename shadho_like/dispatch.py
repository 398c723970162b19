"""Which waiting attempt goes next. Pure: it knows neither engines nor clocks."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from shadho_like.trial import Attempt, AttemptId


class WaitingAttempts:
    """The attempts that are wanted and not yet with an engine. The lowest trial number goes first, so a retry is not overtaken."""

    def __init__(self) -> None:
        self._heap: list[AttemptId] = []
        self._attempts: dict[AttemptId, Attempt] = {}

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Let these wait."""
        for attempt in attempts:
            self._attempts[attempt.id] = attempt
            heapq.heappush(self._heap, attempt.id)

    def discard(self, attempt_id: AttemptId) -> bool:
        """Let this one wait no more; return whether it did."""
        return self._attempts.pop(attempt_id, None) is not None

    def take(self, count: int) -> list[Attempt]:
        """Return up to `count` attempts to run next; they no longer wait."""
        taken: list[Attempt] = []
        while self._heap and len(taken) < count:
            attempt = self._attempts.pop(heapq.heappop(self._heap), None)
            if attempt is not None:
                taken.append(attempt)
        return taken
