"""An experiment's trials as its journal has them now, kept up to date by reading only what is new. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shadho_like.errors import JournalError
from shadho_like.journal import JournalReader
from shadho_like.phase import Phase
from shadho_like.trial import RequestId, Trial, TrialState


@dataclass(frozen=True, slots=True)
class Seen:
    """A trial, and how its searched metric went.

    Attributes:
        results: what the search method was told, by the length.
        curve: what was reported at validations on the way, by the script's own steps; empty where only `results` are known.
    """

    trial: Trial
    results: dict[float, float] = field(default_factory=dict)
    curve: dict[float, float] = field(default_factory=dict)


class Following:
    """The trials of one experiment; `refresh` reads what is new. Not for several threads at once.

    Args:
        directory: the experiment's directory.

    Attributes:
        config: what the experiment began with.
        phase: where it is in its life.
        turn: the last turn that was read.
        seen: all trials, by their number.

    Raises:
        JournalError: there is no experiment, or none that can be read.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._begin({})
        self.refresh()

    def _begin(self, config: dict[str, Any]) -> None:
        self.config = config
        self.phase = Phase.ACTIVE
        self.turn = 0
        self.seen: list[Seen] = []
        self._open: dict[RequestId, int] = {}

    @property
    def metric(self) -> str:
        """The name of the searched metric."""
        name: str = self.config["metric"]
        return name

    def refresh(self) -> list[int]:
        """Read what is new; return the numbers of the trials that changed, in order.

        Raises:
            JournalError: the journal cannot be read; what was known stays.
        """
        with JournalReader(self.directory) as journal:
            # First the turn: what happens while the rest is read is read again the next time.
            turn, config = journal.last_turn(), journal.config
            anew = turn < self.turn or config != self.config
            if turn == self.turn and not anew:
                return []
            phase = journal.phase
            changed = self._changed(journal, phase) if self.seen and not anew else None
            read = self._read(journal, config["metric"], changed)
        # All of it is read: nothing fails from here on.
        if changed is None:
            self._begin(config)
        for number, seen in read.items():
            self._put(number, seen)
        self.turn, self.phase = turn, phase
        return list(read)

    def _changed(self, journal: JournalReader, phase: Phase) -> set[int] | None:
        """Return which of the known trials may have changed since the last turn that was read; None for all."""
        # Of some turns it is not written which attempts they called off: those that ran.
        running = {number for number in self._open.values() if self.seen[number].trial.state is TrialState.RUNNING}
        every_open = phase is not self.phase
        for record in journal.records(self.turn):
            kind, _, *about = json.loads(record.event)
            if kind == "continued":
                return None
            if kind.startswith("attempt_"):
                running.add(about[0])
            else:
                every_open = True
            running.update(self._named(json.loads(record.operations or "[]")))
        return {*running, *self._open.values()} if every_open else running

    def _named(self, operations: Iterable[list[Any]]) -> Iterator[int]:
        for operation in operations:
            if operation[0] in {"validate_after", "close"} and (number := self._open.get(RequestId(operation[1]))) is not None:
                yield number

    def _read(self, journal: JournalReader, metric: str, changed: set[int] | None) -> dict[int, Seen]:
        """Return these trials anew, and those that were created since; all that there are for None. By number, in order.

        Raises:
            JournalError: the journal cannot be read, or lacks a trial.
        """
        known = 0 if changed is None else len(self.seen)
        created = list(journal.trials(known - 1))
        for number, trial in enumerate(created, known):
            if trial.number != number:
                message = f"{self.directory} lacks trial {number}, and has trial {trial.number}"
                raise JournalError(message)
        trials = [*journal.trials_numbered({number for number in changed or () if number < known}), *created]
        results = journal.reported(metric, None if changed is None else [trial.number for trial in trials])
        read = {trial.number: Seen(trial) for trial in sorted(trials, key=lambda trial: trial.number)}
        for number, kind, length, value in results:
            if kind != "training" and (seen := read.get(number)) is not None:
                (seen.results if kind == "result" else seen.curve)[length] = value
        return read

    def _put(self, number: int, seen: Seen) -> None:
        if number == len(self.seen):
            self.seen.append(seen)
        else:
            self.seen[number] = seen
        if seen.trial.state.final:
            self._open.pop(seen.trial.request_id, None)
        else:
            self._open[seen.trial.request_id] = number
