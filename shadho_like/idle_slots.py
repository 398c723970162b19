"""When slots stay idle because the search method asks for fewer trials at once than there are slots: when that is worth a line. Pure."""

from __future__ import annotations

import math

_PATIENCE_S = 30.0


class IdleSlots:
    """Says once in a run that `max_concurrent_trials` of the search method keeps slots idle.

    Args:
        method: what the search method is called.
    """

    def __init__(self, method: str) -> None:
        self._method = method
        self._due_s = math.inf
        self._said = False

    def look(self, most: int | None, slots: int | None, now_s: float) -> str | None:
        """Return the line, when it has been so for a while.

        Args:
            most: how many trials the search method keeps going; None where it has none to add.
            slots: trials that can run at once; None while that is unknown.
            now_s: the time.
        """
        if self._said or most is None or slots is None or most >= slots:
            self._due_s = math.inf
            return None
        if self._due_s == math.inf:
            self._due_s = now_s + _PATIENCE_S
        if now_s < self._due_s:
            return None
        self._said = True
        return (
            f"{self._method} asks for {most} {'trial' if most == 1 else 'trials'} at once at most, and {slots} could run: {slots - most} "
            f"{'place stays' if slots - most == 1 else 'places stay'} idle; a new experiment uses all with max_concurrent_trials={slots} "
            "of its search method, or max_queued_tasks of a driver that gives the method by its name"
        )
