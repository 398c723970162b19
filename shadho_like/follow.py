"""Follows an experiment through its journal while somebody watches it: reads what is new, and little else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shadho_like.journal import JournalReader
from shadho_like.overview import Overview
from shadho_like.phase import Phase


class Follower:
    """Keeps an overview of one experiment.

    Args:
        config: what it began with.

    Attributes:
        config: the same.
        overview: all its trials, as of the last `update`.
        lost: attempts that machines lost, likewise.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.overview = Overview(smaller_is_better=config["smaller_is_better"])
        self.lost = 0
        self._turn = 0
        self._phase: Phase | None = None

    def update(self, journal: JournalReader) -> None:
        """Read what has changed.

        Whoever runs or waits to is read again where there are new turns; of all others those that the search method named. What a
        user asks for, or a driver's start, may change any trial that is not over, or was.

        Raises:
            JournalError: the journal cannot be read.
        """
        phase = journal.phase
        if not self._turn:
            self._turn, self.lost = journal.last_turn(), journal.lost_attempts()
            self.overview.take(journal.glances())
            self._phase = phase
            return
        changed = {glance.number for glance in self.overview.busy}
        everything, began = phase is not self._phase or phase is not Phase.ACTIVE, self._turn
        for record in journal.records(self._turn):
            self._turn = record.number
            everything = everything or not record.event.startswith('["attempt_')
            self.lost += record.event.startswith('["attempt_lost"')
            for kind, *rest in json.loads(record.operations or "[]"):
                everything = everything or kind == "shutdown"
                if kind in {"validate_after", "close"} and (number := self.overview.number_of(rest[0])) is not None:
                    changed.add(number)
        if self._turn == began:
            return
        if everything and self._phase is not None and self._phase.over:
            self.overview.take(journal.glances())  # it was continued: trials that were over may be open again
        elif everything:
            changed.update(glance.number for glance in self.overview.open)
        last = self.overview.last
        self.overview.take(journal.glances_of(changed))
        self.overview.take(journal.glances(last))
        self._phase = phase
