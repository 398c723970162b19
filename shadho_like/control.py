"""What changes a run from outside: its time, the user's signals, and requests left in the experiment's directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shadho_like import requests
from shadho_like.events import Action, Continued, Ending, Event, PatienceEnded, Requested, RunStopping, StopReason
from shadho_like.phase import Phase
from shadho_like.requests import Request
from shadho_like.state import ExperimentState

_LOOK_S = 0.5
_TURNED_BY_KEY = {Phase.ACTIVE: Action.PAUSE, Phase.PAUSED: Action.ACTIVATE}
_ENDINGS = (Ending.DRAIN, Ending.ASK, Ending.NOW)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How one run of the driver goes on with an experiment.

    Attributes:
        timeout_s: end the run after this time, pauses not counted; None for no limit.
        max_trials: how many trials there may be in total, those of earlier runs counted.
        max_restarts: how often a trial is tried again after its own code failed.
        drain: at the timeout or the first interrupt, let running attempts finish.
        preemption_timeout_s: what was asked to take a checkpoint and end is killed after this time.
        slices: whether attempts end by themselves now and then, to go on in another.
        grown: keys of the search method that are greater than when the experiment began.
    """

    timeout_s: float | None = None
    max_trials: int | None = None
    max_restarts: int = 0
    drain: bool = False
    preemption_timeout_s: float = 60.0
    slices: bool = False
    grown: Mapping[str, int] = field(default_factory=dict)


class Interrupts(Protocol):
    """Tells how often the user or the system asked for the end, and wakes whoever waits on `fd`."""

    fd: int
    count: int
    terminations: int

    def clear(self) -> None:
        """Make `fd` quiet again after such a wish."""

    def presses(self) -> int:
        """Return how often a pause, or its end, was asked for with a key since this was last asked."""


class Control:
    """Watches over one run.

    Args:
        state: the experiment's.
        options: how the run is to go.
        interrupts: the user's signals.
        folder: where requests are left.
        extension: makes the event that gives the search more to do, or says why that cannot be.
        changes: gives the events that other limits come to, each to be handled before the next is taken, or says why there are none.
        asks: whether the engine can ask attempts to end.
        began_s: when the run began, on the engine's clock.
    """

    def __init__(
        self,
        state: ExperimentState,
        options: RunOptions,
        interrupts: Interrupts | None,
        folder: Path,
        extension: Callable[[float, Mapping[str, int]], Continued | str],
        changes: Callable[[float, Mapping[str, int]], Iterable[Event | str]],
        *,
        asks: bool,
        began_s: float,
    ) -> None:
        self._state = state
        self._options = options
        self._interrupts = interrupts
        self._folder = folder
        self._extension = extension
        self._changes = changes
        self._asks = asks
        self._deadline_s = float("inf") if options.timeout_s is None else began_s + options.timeout_s
        self._seen_s = began_s
        self._asked_s: float | None = None
        self._looked_s = float("-inf")
        self._level = 0
        self._taken: list[Path] = []
        self._grown = options.grown
        self.notices: list[str] = []

    def due_s(self) -> float:
        """Return when something is due by time, on the engine's clock."""
        return self._deadline_s if self._state.stopping is None else float("inf")

    @property
    def ends_s(self) -> float | None:
        """When the run's time is over, on the engine's clock in whole seconds; None where it has no end, or stands still."""
        bounded = self._deadline_s < float("inf") and self._state.phase is not Phase.PAUSED
        return float(round(self._deadline_s)) if bounded else None

    def events(self, now_s: float) -> Iterator[Event]:
        """Yield what is to be handled now, each to be handled before the next is taken."""
        state = self._state
        if state.phase is Phase.PAUSED:
            self._deadline_s += now_s - self._seen_s
        self._seen_s = now_s
        if (stopping := self._stopping(now_s)) is not None:
            yield stopping
        for event in self._wishes(now_s):
            if isinstance(event, str):
                self.notices.append(event)
            else:
                yield event
        if not state.asked:
            self._asked_s = None
        elif self._asked_s is None:
            self._asked_s = now_s
        if self._asked_s is not None and now_s - self._asked_s >= self._patience_s():
            self._asked_s = None
            yield PatienceEnded(now_s)

    def committed(self) -> None:
        """Take note that what `events` gave is kept: the requests are done with."""
        for path in self._taken:
            with suppress(FileNotFoundError):
                path.unlink()
        self._taken.clear()

    def _stopping(self, now_s: float) -> RunStopping | None:
        """Return what ends the run now, or ends it faster than was asked before."""
        endings = [ending for ending in _ENDINGS if (ending is not Ending.DRAIN or self._options.drain)]
        if not self._asks:
            endings.remove(Ending.ASK)
        reason = None
        if self._interrupts is not None and (level := self._interrupts.count + self._interrupts.terminations) > self._level:
            self._interrupts.clear()
            if self._interrupts.terminations:
                endings = [ending for ending in endings if ending is not Ending.DRAIN]
            self._level, reason = level, StopReason.INTERRUPTED
        elif now_s >= self._deadline_s and self._state.stopping is None:
            reason = StopReason.TIMEOUT
        before = self._state.stopping
        left = [ending for ending in endings if before is None or _ENDINGS.index(ending) > _ENDINGS.index(before.ending)]
        return RunStopping(now_s, reason, left[0]) if reason is not None and left else None

    def _wishes(self, now_s: float) -> Iterator[Event | str]:
        grown, self._grown = self._grown, {}
        if keys := {key: value for key, value in grown.items() if value > self._state.grown.get(key, 0)}:
            yield self._extension(now_s, keys)
        for _ in range(self._interrupts.presses() if self._interrupts is not None else 0):
            if self._state.stopping is None and self._state.phase in _TURNED_BY_KEY:
                yield Requested(now_s, _TURNED_BY_KEY[self._state.phase])
        for request in self._requests():
            if request.action is Action.SET:
                yield from self._changes(now_s, request.keys)
            else:
                yield self._requested(now_s, request)

    def _requests(self) -> list[Request]:
        if time.monotonic() - self._looked_s < _LOOK_S:
            return []
        self._looked_s = time.monotonic()
        found = [request for request in requests.waiting(self._folder) if request.path not in self._taken]
        self._taken += [request.path for request in found]
        return found

    def _requested(self, now_s: float, request: Request) -> Event | str:
        """Return a request's event, or why there is none."""
        if request.action is None:
            return f"{request.path.name} in {self._folder} is no request that this version understands; it is removed"
        if request.action is Action.CONTINUE:
            return self._extension(now_s, request.keys)
        if request.trial is not None and request.action is not Action.KILL:
            return f"a trial cannot be asked to {request.action.value}, only the whole experiment; a trial can be killed"
        return Requested(now_s, request.action, request.trial)

    def _patience_s(self) -> float:
        """Return how long what was asked to end may go on."""
        if self._state.stopping is None and self._state.phase is Phase.PAUSED and not self._asks:
            return float("inf")
        return self._options.preemption_timeout_s if self._asks or self._options.slices else 0.0
