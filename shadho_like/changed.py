"""Which trials of an experiment may have changed since somebody read its journal last: its turns say so, so that little is read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shadho_like.journal import JournalReader
from shadho_like.phase import Phase


@dataclass(frozen=True, slots=True)
class Mark:
    """How far somebody has read a journal.

    Attributes:
        turn: the last turn that was read; 0 before anything was.
        phase: where the experiment was in its life.
        id: the experiment's.
        config: what it began with.
    """

    turn: int = 0
    phase: Phase = Phase.ACTIVE
    id: str | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, journal: JournalReader) -> Mark:
        """Return where a journal is now; to be taken before it is read, for what happens meanwhile is to be read again."""
        turn = journal.last_turn()
        return cls(turn, journal.phase, journal.id, journal.config)

    def goes_on(self, before: Mark) -> bool:
        """Return whether this is the same experiment, no earlier: another may have begun in its directory."""
        return self.turn >= before.turn and self.config == before.config and before.id in {None, self.id}


def changed(
    journal: JournalReader,
    since: Mark,
    now: Mark,
    *,
    still_open: Collection[int],
    running: Iterable[int],
    number_of: Callable[[str], int | None],
) -> set[int] | None:
    """Return which of the trials that are known may have changed; None for all. Those that are new are not among them.

    Args:
        journal: read behind `since`.
        since: how far it was read before.
        now: how far it is to be read.
        still_open: the numbers of the known trials that were not over.
        running: those among them that ran.
        number_of: finds the number of a known trial, over or not, that the search method calls so.

    Raises:
        JournalError: the journal cannot be read.
    """
    if not since.turn:
        return None
    # Of some turns it is not written which attempts they called off: those that ran.
    found, every_open = set(running), now.phase is not since.phase
    for record in journal.records(since.turn):
        kind, _, *about = json.loads(record.event)
        if kind == "continued":
            return None
        if kind.startswith("attempt_"):
            found.add(about[0])
        else:
            every_open = True
        operations = json.loads(record.operations or "[]")
        every_open = every_open or any(operation[0] == "shutdown" for operation in operations)
        found.update(_named(operations, number_of))
    return {*found, *still_open} if every_open else found


def _named(operations: Iterable[list[Any]], number_of: Callable[[str], int | None]) -> Iterator[int]:
    """Yield the trials that a search method directed; of those that were over some are open again."""
    for operation in operations:
        if operation[0] in {"validate_after", "close"} and (number := number_of(operation[1])) is not None:
            yield number
