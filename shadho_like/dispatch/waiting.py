"""The attempts that wait for a place, and until when. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from shadho_like.trial import Attempt, AttemptId


class WaitingAttempts:
    """The attempts that are wanted and not yet with an engine. The lowest trial number goes first, so a retry is not overtaken."""

    def __init__(self) -> None:
        self._heap: list[AttemptId] = []
        self._later: list[tuple[float, AttemptId]] = []
        self._attempts: dict[AttemptId, Attempt] = {}

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Let these wait."""
        for attempt in attempts:
            self._attempts[attempt.id] = attempt
            if attempt.not_before_s:
                heapq.heappush(self._later, (attempt.not_before_s, attempt.id))
            else:
                heapq.heappush(self._heap, attempt.id)

    def discard(self, attempt_id: AttemptId) -> bool:
        """Let this one wait no more; return whether it did."""
        return self._attempts.pop(attempt_id, None) is not None

    def due_s(self, now_s: float) -> float:
        """Return when the next one may go that may not yet; infinity where there is none."""
        self._let_go(now_s)
        return self._later[0][0] if self._later else float("inf")

    def take(self, count: int, now_s: float) -> list[Attempt]:
        """Return up to `count` attempts to run next, of those that may go now; they no longer wait."""
        self._let_go(now_s)
        taken: list[Attempt] = []
        while self._heap and len(taken) < count:
            attempt = self._attempts.pop(heapq.heappop(self._heap), None)
            if attempt is not None:
                taken.append(attempt)
        return taken

    def _let_go(self, now_s: float) -> None:
        while self._later and (self._later[0][0] <= now_s or self._later[0][1] not in self._attempts):
            heapq.heappush(self._heap, heapq.heappop(self._later)[1])
