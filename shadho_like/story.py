"""The story of a trial, read from an experiment's turns: what happened to it, and what the search method made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shadho_like.events import (
    AttemptFinished,
    AttemptLost,
    AttemptStarted,
    Changed,
    Event,
    Requested,
    RunStarted,
    RunStopping,
    event_from_json,
)
from shadho_like.journal import JournalReader
from shadho_like.operations import Close, Create, Operation, ValidateAfter, operation_from_json
from shadho_like.trial import Failure, FailureKind, Success


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened.

    Attributes:
        time_s: Unix time, in seconds.
        turn: the number of the turn.
        text: what happened, for a person.
    """

    time_s: float
    turn: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return the plain form."""
        return {"time_s": self.time_s, "turn": self.turn, "text": self.text}


def story(journal: JournalReader, number: int) -> Iterator[Moment]:
    """Yield what happened to a trial, in order."""
    trial = journal.trial(number)
    request_id, over_s = trial.request_id, (trial.finished_s if trial.state.final else None)
    runs_since = False
    for record in journal.records():
        event = event_from_json(json.loads(record.event))
        operations = [operation_from_json(value) for value in json.loads(record.operations or "[]")]
        mine = [operation for operation in operations if getattr(operation, "request_id", None) == request_id]
        created = any(isinstance(operation, Create) for operation in mine)
        runs_since = runs_since or created
        about = getattr(event, "attempt", None)
        runs_since = runs_since and (over_s is None or event.time_s <= over_s)
        texts = list(_happened(event)) if (about is not None and about.trial == number) or (about is None and runs_since) else []
        if isinstance(event, Requested) and event.trial not in {None, number}:
            texts = []
        texts += _decided(mine, "" if about is None or about.trial == number else f", because of trial {about.trial}")
        for text in texts:
            yield Moment(event.time_s, record.number, text)


def _happened(event: Event) -> Iterator[str]:
    for kind, tell in _TELL.items():
        if isinstance(event, kind):
            yield tell(event)


def _finished(event: AttemptFinished) -> str:
    outcome, name = event.outcome, f"attempt {event.attempt.attempt} on {event.host}"
    if isinstance(outcome, Success):
        return f"{name} completed: {outcome.metric}"
    if isinstance(outcome, Failure) and outcome.kind is FailureKind.PREEMPTED:
        return f"{name} ended because it was asked to: {outcome.message}"
    return f"{name} failed ({outcome.kind.value}): {outcome.message}"


_TELL: Mapping[type[Any], Callable[[Any], str]] = {
    AttemptStarted: lambda event: f"attempt {event.attempt.attempt} started on {event.host}",
    AttemptFinished: _finished,
    AttemptLost: lambda event: f"attempt {event.attempt.attempt} was lost with {event.host or 'its machine'}: {event.reason}",
    RunStarted: lambda event: f"the driver started, process {event.pid} on {event.host}",
    RunStopping: lambda event: f"the driver was to end: {event.reason.value}",
    Changed: lambda event: f"the user set {', '.join(f'{key} to {value}' for key, value in event.keys.items())}",
    Requested: lambda event: f"the user asked to {event.action.value} {'the experiment' if event.trial is None else 'it'}",
}


def _decided(operations: list[Operation], why: str) -> Iterator[str]:
    for operation in operations:
        if isinstance(operation, Create):
            source = f", from the checkpoint {operation.checkpoint}" if operation.checkpoint else ""
            yield f"the search method created it{why}{source}: {json.dumps(operation.hparams)}"
        elif isinstance(operation, ValidateAfter):
            yield f"the search method wants it trained to length {operation.length}{why}"
        elif isinstance(operation, Close):
            yield f"the search method {'stopped it' if operation.stop else 'wants no more of it'}{why}"
