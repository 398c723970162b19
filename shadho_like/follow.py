"""Follows an experiment through its journal while somebody watches it: reads what is new, and little else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadho_like.changed import Mark, changed
from shadho_like.journal import JournalReader
from shadho_like.overview import Overview


class Follower:
    """Keeps an overview of one experiment.

    Args:
        config: what it began with.

    Attributes:
        config: the same; another's where its directory was begun anew.
        overview: all its trials, as of the last `update`.
        lost: attempts that machines lost, likewise.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._begin(config)

    def _begin(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.overview = Overview(smaller_is_better=config["smaller_is_better"])
        self.lost = 0
        self._mark = Mark(config=dict(config))

    def update(self, journal: JournalReader) -> None:
        """Read what has changed.

        Raises:
            JournalError: the journal cannot be read.
        """
        mark = Mark.of(journal)
        if not mark.goes_on(self._mark):
            self._begin(mark.config)
        if mark.turn == self._mark.turn:
            return
        overview = self.overview
        numbers = changed(
            journal,
            self._mark,
            mark,
            still_open=[glance.number for glance in overview.open],
            running=[glance.number for glance in overview.running],
            number_of=overview.number_of,
        )
        if numbers is None:
            overview.take(journal.glances())
        else:
            last = overview.last
            overview.take(journal.glances_of({number for number in numbers if number <= last}))
            overview.take(journal.glances(last))
        self.lost = journal.lost_attempts()
        self._mark = mark
