"""What a search method asks for: frozen values with a compact JSON form, by which the journal compares a replay with the record.

The names and constructors are those of Determined's `searcher` module.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from shadho_like.errors import JournalError
from shadho_like.trial import Hyperparameters, RequestId


class ExitedReason(str, Enum):
    """Why a trial ended before its search method closed it."""

    ERRORED = "ERRORED"
    """Its code or its machines failed as often as they may."""
    USER_CANCELED = "USER_CANCELED"
    """The user ended it."""
    INVALID_HP = "INVALID_HP"
    """The trial said that its hyperparameters cannot work."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make a trial of these hyperparameters, from a checkpoint where one is given.

    Attributes:
        request_id: how the method calls the trial from now on.
        hparams: the sample.
        checkpoint: a checkpoint's id, or `latest_checkpoint_of` a trial. The length at which it was saved is behind the new trial
            too: its own lengths count on from there.
    """

    request_id: RequestId
    hparams: Hyperparameters
    checkpoint: str | None = None

    def to_json(self) -> list[Any]:
        """Return ["create", request id, hyperparameters] and the checkpoint where there is one."""
        head = ["create", str(self.request_id), self.hparams]
        return [*head, self.checkpoint] if self.checkpoint else head


def latest_checkpoint_of(request_id: RequestId) -> str:
    """Return how a search method, which knows no checkpoint's id, names the latest one that a trial has saved when this is carried out.

    A trial that has saved none gives none: the new one starts from nothing. Where the new one is asked for because a trial that began
    so has invalid hyperparameters, it begins where that one did.
    """
    return f"{LATEST_OF}{request_id}"


LATEST_OF = "trial:"


@dataclass(frozen=True, slots=True)
class ValidateAfter:
    """Train the trial up to `length` (cumulative, in the user's unit), then report the metric. Only the newest counts."""

    request_id: RequestId
    length: int

    def to_json(self) -> list[Any]:
        """Return ["validate_after", request id, length]."""
        return ["validate_after", str(self.request_id), self.length]


@dataclass(frozen=True, slots=True)
class Close:
    """End the trial once it has done what was asked before; with `stop`, at once, whatever it is doing."""

    request_id: RequestId
    stop: bool = False

    def to_json(self) -> list[Any]:
        """Return ["close", request id], and true where it is to stop."""
        return ["close", str(self.request_id), *([True] if self.stop else [])]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the search is, 0 to 1."""

    progress: float

    def to_json(self) -> list[Any]:
        """Return ["progress", fraction]."""
        return ["progress", self.progress]


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End the experiment: as canceled, as failed, or as done."""

    cancel: bool = False
    failure: bool = False

    def to_json(self) -> list[Any]:
        """Return ["shutdown", cancel, failure]."""
        return ["shutdown", self.cancel, self.failure]


Operation = Create | ValidateAfter | Close | Progress | Shutdown


def operation_from_json(value: list[Any]) -> Operation:
    """Read what an operation's `to_json` gave.

    Raises:
        JournalError: it is none that this version knows.
    """
    kind, *rest = value
    if kind in _BY_TRIAL:
        return _BY_TRIAL[kind](uuid.UUID(rest[0]), *rest[1:])
    if kind in _WHOLE:
        return _WHOLE[kind](*rest)
    message = f"the journal holds an operation {kind!r} that this version does not know; a newer version wrote it"
    raise JournalError(message)


_BY_TRIAL: Mapping[str, Callable[..., Operation]] = {"create": Create, "validate_after": ValidateAfter, "close": Close}
_WHOLE: Mapping[str, Callable[..., Operation]] = {"progress": Progress, "shutdown": Shutdown}
