"""A turn: one event and all that it caused. The state machine makes turns, the journal keeps them, the loop acts on them."""

from __future__ import annotations

from dataclasses import dataclass, field

from shadho_like.events import Event
from shadho_like.operations import Operation
from shadho_like.phase import Phase
from shadho_like.trial import Attempt, AttemptId, AttemptRecord, Trial


@dataclass(frozen=True, slots=True)
class Turn:
    """One event and its consequences, committed together or not at all.

    Attributes:
        number: counts from 1 without gaps.
        event: what happened.
        operations: what the search method asked for because of it, in order.
        trials: the trials that it changed, as they are now.
        attempts: the attempts that it changed.
        wanted: attempts that are to run from now on.
        unwanted: attempts that are to run no more.
        asked: attempts that are to take a checkpoint and end.
        phase: the experiment's new phase, where it changed.
        notices: lines for the person at the terminal; they are not kept.
    """

    number: int
    event: Event
    operations: tuple[Operation, ...]
    trials: tuple[Trial, ...]
    attempts: tuple[AttemptRecord, ...]
    wanted: tuple[Attempt, ...]
    unwanted: tuple[AttemptId, ...]
    asked: tuple[AttemptId, ...] = ()
    phase: Phase | None = None
    notices: tuple[str, ...] = ()


@dataclass(slots=True)
class Draft:
    """The consequences of the event at hand, while they are being found out; see `Turn`."""

    time_s: float
    operations: list[Operation] = field(default_factory=list)
    trials: dict[int, Trial] = field(default_factory=dict)
    attempts: list[AttemptRecord] = field(default_factory=list)
    wanted: dict[AttemptId, Attempt] = field(default_factory=dict)
    unwanted: list[AttemptId] = field(default_factory=list)
    asked: list[AttemptId] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def turn(self, number: int, event: Event, phase: Phase | None = None) -> Turn:
        """Return the turn that this has become."""
        return Turn(
            number,
            event,
            tuple(self.operations),
            tuple(self.trials.values()),
            tuple(self.attempts),
            tuple(self.wanted.values()),
            tuple(self.unwanted),
            tuple(self.asked),
            phase,
            tuple(self.notices),
        )
