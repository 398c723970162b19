"""An experiment's trials as its journal has them now, kept up to date by reading only what is new. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shadho_like.changed import Mark, changed
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

    @property
    def has_curve(self) -> bool:
        """Whether anything is known of how it went."""
        return bool(self.curve or self.results)


class Following:
    """The trials of one experiment; `refresh` reads what is new. Not for several threads at once.

    Args:
        directory: the experiment's directory.

    Attributes:
        config: what the experiment began with.
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
        self.seen: list[Seen] = []
        self._mark = Mark(config=config)
        self._open: set[int] = set()
        self._numbers: dict[RequestId, int] = {}

    @property
    def mark(self) -> Mark:
        """How far it is read: the same object until there is something new."""
        return self._mark

    @property
    def phase(self) -> Phase:
        """Where it is in its life."""
        return self._mark.phase

    @property
    def turn(self) -> int:
        """The last turn that was read."""
        return self._mark.turn

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
            mark = Mark.of(journal)
            anew = not mark.goes_on(self._mark)
            if mark.turn == self.turn and not anew:
                return []
            numbers = self._changed(journal, mark) if self.seen and not anew else None
            read = self._read(journal, mark.config["metric"], numbers)
        # All of it is read: nothing fails from here on.
        if numbers is None:
            self._begin(mark.config)
        for number, seen in read.items():
            self._put(number, seen)
        self._mark = mark
        return list(read)

    def _changed(self, journal: JournalReader, mark: Mark) -> set[int] | None:
        """Return which of the known trials may have changed since the last turn that was read; None for all."""
        running = [number for number in self._open if self.seen[number].trial.state is TrialState.RUNNING]
        return changed(
            journal,
            self._mark,
            mark,
            still_open=self._open,
            running=running,
            number_of=lambda request_id: self._numbers.get(RequestId(request_id)),
        )

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
        self._numbers[seen.trial.request_id] = number
        if seen.trial.state.final:
            self._open.discard(number)
        else:
            self._open.add(number)
