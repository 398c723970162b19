"""The trials that are not over, and the attempts of theirs that should run. Pure; each change goes into the turn's draft.

Of trials that are over only their number in each state is kept, so that memory goes with the open ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from shadho_like.errors import InternalError
from shadho_like.trial import TRANSITIONS, Attempt, AttemptId, AttemptRecord, Failure, RequestId, Trial, TrialState
from shadho_like.turn import Draft


class TrialTable:
    """Open trials by number.

    Attributes:
        counts: how many trials are in each state, those that are over too.
        created: how many trials there have been.
        wanted: the attempts that should run now.
        begins: whether attempts may begin now.
        draft: the turn that is being made.
        saved: the newest checkpoint's id of each open trial that was heard to have one.
    """

    def __init__(self) -> None:
        self.counts: Counter[TrialState] = Counter()
        self.created = 0
        self.wanted: set[AttemptId] = set()
        self.begins = True
        self.draft = Draft(0.0)
        self.saved: dict[int, str] = {}
        self._open: dict[int, Trial] = {}
        self._numbers: dict[RequestId, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Trial]:
        """Iterate over the open trials as they are now; they may be changed meanwhile."""
        return iter(list(self._open.values()))

    def __getitem__(self, number: int) -> Trial:
        return self._open[number]

    def get(self, number: int) -> Trial | None:
        """Return a trial if it is open."""
        return self._open.get(number)

    def number_of(self, request_id: RequestId) -> int | None:
        """Return the number of the open trial that the search method calls by this name."""
        return self._numbers.get(request_id)

    def of_wanted(self, attempt_id: AttemptId) -> Trial:
        """Return the trial of an attempt that should run.

        Raises:
            InternalError: it should not.
        """
        if attempt_id not in self.wanted:
            message = f"attempt {attempt_id} is not wanted, yet an event names it"
            raise InternalError(message)
        return self._open[attempt_id.trial]

    def add(self, trial: Trial) -> Trial:
        """Take a new trial in."""
        self.created += 1
        self.counts[trial.state] += 1
        self._numbers[trial.request_id] = trial.number
        return self.keep(trial)

    def keep(self, trial: Trial) -> Trial:
        """Put a changed trial in its place; its state is as before."""
        self.draft.trials[trial.number] = trial
        self._open[trial.number] = trial
        return trial

    def move(self, trial: Trial, state: TrialState, **changes: Any) -> Trial:
        """Give a trial another state, and other values; one that is over is forgotten.

        Raises:
            InternalError: the table of transitions does not have it.
        """
        if state not in TRANSITIONS[trial.state]:
            message = f"trial {trial.number} cannot go from {trial.state.value} to {state.value}"
            raise InternalError(message)
        self.counts[trial.state] -= 1
        self.counts[state] += 1
        moved = self.keep(replace(trial, state=state, **changes))
        if state.final:
            del self._open[trial.number]
            del self._numbers[trial.request_id]
            self.saved.pop(trial.number, None)
        return moved

    def end(self, trial: Trial, state: TrialState, failure: Failure | None = None) -> None:
        """Give a trial its final state."""
        self.move(trial, state, finished_s=self.draft.time_s, failure=failure)

    def reopen(self, trial: Trial) -> None:
        """Take a trial that was over up again, where it was; what it lacks of its length is wanted.

        One that was called off is to be closed when its method said so before.
        """
        self.counts[trial.state] -= 1
        self.counts[TrialState.PAUSED] += 1
        self._numbers[trial.request_id] = trial.number
        closing = trial.closing and trial.state is TrialState.CANCELED
        self.want(self.keep(replace(trial, state=TrialState.PAUSED, finished_s=None, closing=closing)))

    def want_all(self) -> None:
        """Have the next attempt of every trial with training left run."""
        for trial in self:
            self.want(trial)

    def want(self, trial: Trial, wait_s: float = 0.0) -> None:
        """Have the next attempt of a trial with training left run after a wait, if attempts may begin.

        One that is wanted since this very turn trains to the newest length; one that is wanted since before stays as it is.
        """
        attempt_id = trial.attempt_id
        if not self.begins or trial.validated >= trial.length or (attempt_id in self.wanted and attempt_id not in self.draft.wanted):
            return
        if trial.state is TrialState.PAUSED:
            trial = self.move(replace(trial, attempt=trial.attempt + 1, asked=trial.length), TrialState.PENDING)
            attempt_id = trial.attempt_id
        elif trial.asked != trial.length:
            trial = self.keep(replace(trial, asked=trial.length))
        self.wanted.add(attempt_id)
        not_before_s = self.draft.time_s + wait_s if wait_s else 0.0
        wanted = Attempt(attempt_id, trial.hparams, trial.seed, trial.length, trial.validated, trial.start_from, not_before_s)
        self.draft.wanted[attempt_id] = wanted

    def unwant(self, attempt_id: AttemptId) -> None:
        """Have an attempt run no more."""
        self.wanted.discard(attempt_id)
        if self.draft.wanted.pop(attempt_id, None) is None:
            self.draft.unwanted.append(attempt_id)

    def withdraw(self, trial: Trial) -> None:
        """Have a trial's attempt run no more, where one is wanted, and put down that it was called off."""
        if trial.attempt_id in self.wanted:
            self.unwant(trial.attempt_id)
            if trial.state is TrialState.RUNNING:
                self.record(trial, "CANCELED", None)

    def record(self, trial: Trial, state: str, started_s: float | None, failure: Failure | None = None) -> None:
        """Put down how a trial's attempt stands."""
        finished_s = None if state == "RUNNING" else self.draft.time_s
        self.draft.attempts.append(AttemptRecord(trial.attempt_id, state, trial.host, started_s, finished_s, failure))

    def to_json(self) -> dict[str, Any]:
        """Return the plain form, without what is wanted."""
        return {
            "counts": {state.value: count for state, count in self.counts.items()},
            "created": self.created,
            "open": [trial.to_json() for trial in self._open.values()],
            "saved": list(self.saved.items()),
        }

    def restore(self, value: Mapping[str, Any], *, begins: bool) -> None:
        """Become what `to_json` gave; what is wanted follows from whether attempts may begin."""
        self.counts = Counter({TrialState(state): count for state, count in value["counts"].items()})
        self.created = value["created"]
        self._open = {trial.number: trial for trial in map(Trial.from_json, value["open"])}
        self._numbers = {trial.request_id: trial.number for trial in self._open.values()}
        # A snapshot of an older version does not tell.
        self.saved = dict(value.get("saved", ()))
        self.begins = begins
        self.wanted = {trial.attempt_id for trial in self if self._is_wanted(trial)}

    def _is_wanted(self, trial: Trial) -> bool:
        waits = trial.state is TrialState.PENDING and trial.validated < trial.length and self.begins
        return waits or trial.state is TrialState.RUNNING
