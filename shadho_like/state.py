"""The experiment as a pure state machine: an event goes in, a turn comes out. No clock, no files, no engine.

After any event, the attempts that should run are known; whoever drives the machine makes the world agree.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from shadho_like.events import (
    Action,
    AttemptFinished,
    AttemptLost,
    AttemptReported,
    AttemptStarted,
    Changed,
    Continued,
    Ending,
    Event,
    Requested,
    RunStarted,
    RunStopping,
    StopReason,
    event_from_json,
)
from shadho_like.operations import ExitedReason
from shadho_like.phase import Phase
from shadho_like.reports import Deleted, Lost, Report, Resumed, Saved
from shadho_like.search import Search
from shadho_like.searcher.base import BuiltInMethod, SearcherState
from shadho_like.trial import AttemptRecord, Failure, FailureKind, Success, Trial, TrialState
from shadho_like.trial_table import TrialTable
from shadho_like.turn import Draft, Turn

MAX_LOST_IN_A_ROW = 20
"""How many machines in a row may be lost under one trial before it is given up."""
LONGEST_WAIT_S = 60.0
"""After the second machine in a row that is lost under a trial it waits for a second, then for two, and at most for this long."""
MAX_FAILURES_ALIKE = 10
"""How many trials in a row may fail for the same reason before the first success."""

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Best:
    """The best completed trial so far."""

    trial: int
    metric: float


class ExperimentState:
    """All that is known of an experiment whose trials are not over; of those that are, only what is counted.

    Attributes:
        turn: the number of the last turn.
        lost_attempts: attempts that machines lost, in all.
        best: the best completed trial, if any.
        stopping: the event that ends the run under way, if one has come.
    """

    def __init__(self, method: BuiltInMethod, *, experiment: str, seed: int, smaller_is_better: bool) -> None:
        self.turn = 0
        self.lost_attempts = 0
        self.best: Best | None = None
        self.stopping: RunStopping | None = None
        self._smaller_is_better = smaller_is_better
        self._run: RunStarted | None = None
        self._trials = TrialTable()
        self._search = Search(method, self._trials, experiment=experiment, seed=seed)
        self._failures_alike: tuple[str, int] = ("", 0)

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as plain data, for `restore`; its size goes with the open trials, not with all of them."""
        return {
            "turn": self.turn,
            "lost_attempts": self.lost_attempts,
            "best": [self.best.trial, self.best.metric] if self.best else None,
            "run": self._run.to_json() if self._run else None,
            "stopping": self.stopping.to_json() if self.stopping else None,
            "failures_alike": self._failures_alike,
            **self._trials.to_json(),
            **self._search.to_json(),
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Become what `snapshot` gave; what is wanted follows from the trials."""
        self.turn = value["turn"]
        self.lost_attempts = value["lost_attempts"]
        self.best = Best(*value["best"]) if value["best"] else None
        self._run = cast(RunStarted, event_from_json(value["run"])) if value["run"] else None
        self.stopping = cast(RunStopping, event_from_json(value["stopping"])) if value["stopping"] else None
        reason, count = value.get("failures_alike", ("", 0))
        self._failures_alike = (reason, count)
        self._search.restore(value)
        self._trials.restore(value, begins=self._begins)

    @property
    def counts(self) -> Counter[TrialState]:
        """How many trials are in each state."""
        return self._trials.counts

    @property
    def searcher(self) -> SearcherState:
        """What the search method's handlers are shown."""
        return self._search.told

    @property
    def phase(self) -> Phase:
        """Where the experiment is in its life."""
        return self._search.phase

    @property
    def method(self) -> BuiltInMethod:
        """The search method."""
        return self._search.method

    @property
    def grown(self) -> Mapping[str, int]:
        """The search method's keys that grew since the beginning, with their values."""
        return self._search.grown

    def held_to(self) -> int | None:
        """Return how many trials the search method lets have work at once, where more would have some now but for that, or None."""
        return None if self.stopping is not None else self._search.held_to()

    @property
    def max_trials(self) -> int | None:
        """How many trials there may be in this run, those of earlier ones counted; None for no limit."""
        return self._search.max_trials

    @property
    def finished(self) -> bool:
        """Whether nothing more can happen in this run: no attempt is wanted, nor will one be when the user activates it."""
        return not self._trials.wanted and (self.phase is not Phase.PAUSED or self.stopping is not None)

    @property
    def ended(self) -> bool:
        """Whether the search itself is over, so that no later run would do anything either, unless it is continued."""
        return self.phase.over

    @property
    def asked(self) -> bool:
        """Whether something runs that was asked to take a checkpoint and end."""
        asks = self.phase in {Phase.PAUSED, Phase.CANCELING} or (self.stopping is not None and self.stopping.ending is Ending.ASK)
        return asks and bool(self._trials.wanted)

    def open_trials(self) -> list[int]:
        """Return the trials that are not over."""
        return [trial.number for trial in self._trials]

    def is_open(self, trial: int) -> bool:
        """Return whether a trial is not over."""
        return self._trials.get(trial) is not None

    def starting_points(self) -> set[int]:
        """Return the trials from whose checkpoints others begin that have none of their own yet."""
        begins = (trial.start_from for trial in self._trials if trial.validated == 0)
        return {_trial_of(start_from) for start_from in begins if start_from is not None}

    def takes_late(self, event: AttemptFinished) -> bool:
        """Return whether a result is still good whose attempt was given up as lost: no later attempt was faster."""
        trial = self._trials.get(event.attempt.trial)
        if trial is None or not isinstance(event.outcome, Success) or trial.validated >= trial.length:
            return False
        return trial.given_up == (event.attempt.attempt, trial.length)

    def handle(self, event: Event) -> Turn:
        """Take one event in.

        Raises:
            InternalError: the event cannot be true now, for instance a result of an attempt that is not wanted.
            MethodError: the search method raised, or asked for something that cannot be.
        """
        self._trials.draft = draft = Draft(event.time_s)
        phase = self.phase
        if isinstance(event, AttemptFinished):
            self._attempt_finished(event)
        elif isinstance(event, AttemptStarted):
            self._attempt_started(event)
        elif isinstance(event, AttemptLost):
            self._attempt_lost(event)
        elif isinstance(event, AttemptReported):
            self._attempt_reported(event)
        elif isinstance(event, RunStarted):
            self._run_started(event)
        elif isinstance(event, RunStopping):
            self._run_stopping(event)
        elif isinstance(event, Requested):
            self._requested(event)
        elif isinstance(event, Continued):
            self._continued(event)
        elif isinstance(event, Changed):
            self._search.limit(event.keys.get("max_trials", self.max_trials))
        else:
            self._call_off("it was asked to end, and did not in time")
        if self.phase is Phase.CANCELING and not self._trials.wanted:
            self._search.shut_down(cancel=True)
        if not (self.phase.over or self._search.has_work):
            self._search.phase = Phase.COMPLETED
        self.turn += 1
        return draft.turn(self.turn, event, self.phase if self.phase is not phase else None)

    @property
    def _begins(self) -> bool:
        """Whether attempts may begin."""
        return self.stopping is None and self.phase is Phase.ACTIVE

    def _run_started(self, event: RunStarted) -> None:
        self._run, self.stopping, self._failures_alike = event, None, ("", 0)
        self._search.max_trials = event.max_trials
        self._trials.begins = self._begins
        self._trials.wanted.clear()
        for trial in self._trials:
            if trial.state is TrialState.RUNNING:
                self._give_up_attempt(trial, "CANCELED", "its driver ended")
        if self.turn == 0:
            self._search.begin()
        self._trials.want_all()
        self._search.release_withheld()

    def _run_stopping(self, event: RunStopping) -> None:
        self.stopping = event
        self._halt(ask=event.ending is Ending.ASK)
        if event.ending is Ending.NOW:
            self._call_off(f"the run was stopped: {event.reason.value}")

    def _requested(self, event: Requested) -> None:
        if event.trial is not None:
            if (trial := self._trials.get(event.trial)) is not None:
                self._search.kill(trial)
        elif self.phase.over:
            return
        elif event.action is Action.PAUSE and self.phase is Phase.ACTIVE:
            self._search.phase = Phase.PAUSED
            self._halt(ask=True)
        elif event.action is Action.ACTIVATE and self.phase is Phase.PAUSED:
            self._search.phase = Phase.ACTIVE
            self._trials.begins = self._begins
            self._trials.want_all()
        elif event.action is Action.CANCEL:
            self._search.phase = Phase.CANCELING
            self._halt(ask=True)
        elif event.action is Action.KILL:
            self._search.shut_down(cancel=True)

    def _continued(self, event: Continued) -> None:
        if self.phase.over:
            self._search.phase = Phase.ACTIVE
            self._trials.begins = self._begins
        self._search.extend(event.keys, event.trials)

    def _halt(self, *, ask: bool) -> None:
        """Let no attempt begin; those that run may be asked to take a checkpoint and end."""
        self._trials.begins = False
        for attempt_id in sorted(self._trials.wanted):
            if self._trials[attempt_id.trial].state is not TrialState.RUNNING:
                self._trials.unwant(attempt_id)
            elif ask:
                self._trials.draft.asked.append(attempt_id)

    def _call_off(self, reason: str) -> None:
        """Have what runs run no more."""
        for attempt_id in sorted(self._trials.wanted):
            self._trials.unwant(attempt_id)
            if (trial := self._trials[attempt_id.trial]).state is TrialState.RUNNING:
                self._give_up_attempt(trial, "CANCELED", reason)

    def _attempt_started(self, event: AttemptStarted) -> None:
        trial = self._trials.of_wanted(event.attempt)
        if trial.state is TrialState.RUNNING:
            # Told twice, or begun anew on another machine by a scheduler that knows better: it runs there.
            trial = self._trials.keep(replace(trial, host=event.host))
        else:
            trial = self._trials.move(trial, TrialState.RUNNING, started_s=trial.started_s or event.time_s, host=event.host)
        self._trials.record(trial, "RUNNING", event.time_s)

    def _attempt_reported(self, event: AttemptReported) -> None:
        """Count a checkpoint as progress, and know the newest; all else that is reported is for people."""
        trial = self._trials.of_wanted(event.attempt)
        if trial.lost and any(isinstance(report, Saved) for report in event.reports):
            self._trials.keep(replace(trial, lost=0))
        for report in event.reports:
            self._note_checkpoint(trial.number, report)
            if isinstance(report, Lost):
                which = f"checkpoint {report.id}" if report.id else "a checkpoint"
                notice = f"{which} is lost, and trial {trial.number} goes on from the one before, if there is one: {report.reason}"
                self._trials.draft.notices.append(notice)

    def _note_checkpoint(self, trial: int, report: Report) -> None:
        """Know a trial's newest checkpoint."""
        saved = self._trials.saved
        if isinstance(report, Saved):
            saved[trial] = report.id
        elif isinstance(report, Deleted) and saved.get(trial) == report.id:
            del saved[trial]
        elif isinstance(report, Resumed):
            # All that is newer is lost, or was never heard of.
            saved.pop(trial, None)
            if report.checkpoint is not None and _trial_of(report.checkpoint.id) == trial:
                saved[trial] = report.checkpoint.id

    def _attempt_lost(self, event: AttemptLost) -> None:
        trial = self._trials.of_wanted(event.attempt)
        self.lost_attempts += 1
        self._trials.wanted.discard(event.attempt)
        if trial.state is not TrialState.RUNNING:
            trial = self._trials.move(trial, TrialState.RUNNING, host=event.host)
        if trial.lost >= MAX_LOST_IN_A_ROW:
            self._trials.record(trial, "LOST", None, Failure(FailureKind.LOST_WORKER, event.reason))
            message = f"lost {trial.lost + 1} machines in a row, the last one: {event.reason}"
            self._exit_early(trial, Failure(FailureKind.LOST_WORKER, message), ExitedReason.ERRORED)
            return
        lost = replace(trial, lost=trial.lost + 1, given_up=(event.attempt.attempt, trial.asked))
        wait_s = min(2.0 ** (trial.lost - 1), LONGEST_WAIT_S) if trial.lost else 0.0
        self._trials.want(self._give_up_attempt(lost, "LOST", event.reason), wait_s)

    def _attempt_finished(self, event: AttemptFinished) -> None:
        if event.attempt not in self._trials.wanted and self.takes_late(event):
            self._late(event)
            return
        trial = self._trials.of_wanted(event.attempt)
        self._trials.wanted.discard(event.attempt)
        if trial.state is not TrialState.RUNNING:
            trial = self._trials.move(trial, TrialState.RUNNING, started_s=trial.started_s or event.started_s, host=event.host)
        if isinstance(event.outcome, Success):
            self._trials.record(trial, "COMPLETED", event.started_s)
            self._validated(trial, event.outcome)
        elif event.outcome.kind is FailureKind.PREEMPTED:
            self._trials.want(self._give_up_attempt(trial, "PREEMPTED", event.outcome.message))
        else:
            self._trials.record(trial, "FAILED", event.started_s, event.outcome)
            self._failed(trial, event.outcome)

    def _late(self, event: AttemptFinished) -> None:
        """Take the result of an attempt that was given up as lost, in place of the attempt after it."""
        trial, outcome = self._trials[event.attempt.trial], event.outcome
        assert isinstance(outcome, Success)
        self._trials.withdraw(trial)
        record = AttemptRecord(event.attempt, "COMPLETED", event.host, event.started_s, event.time_s)
        self._trials.draft.attempts.append(record)
        self._validated(replace(trial, asked=trial.length, started_s=trial.started_s or event.started_s, host=event.host), outcome)

    def _validated(self, trial: Trial, outcome: Success) -> None:
        validated = replace(trial, metric=outcome.metric, metrics=outcome.metrics, validated=trial.asked, lost=0)
        trial = self._trials.move(validated, TrialState.PAUSED)
        if outcome.metric is not None:
            self._consider_best(trial.number, outcome.metric)
        if trial.validated < trial.length:
            # Only the newest length counts: the method asked for more meanwhile.
            self._trials.want(trial)
        else:
            self._search.validated(trial, outcome.told)

    def _consider_best(self, trial: int, metric: float) -> None:
        if self.best is None or (metric < self.best.metric if self._smaller_is_better else metric > self.best.metric):
            self.best = Best(trial, metric)

    def _failed(self, trial: Trial, failure: Failure) -> None:
        if failure.kind is FailureKind.INVALID_HP:
            self._exit_early(trial, failure, ExitedReason.INVALID_HP)
        elif self._run is not None and trial.restarts < self._run.max_restarts:
            again = replace(trial, restarts=trial.restarts + 1, attempt=trial.attempt + 1, lost=0, given_up=None)
            self._trials.want(self._trials.move(again, TrialState.PENDING))
        else:
            self._exit_early(trial, failure, ExitedReason.ERRORED)

    def _give_up_attempt(self, trial: Trial, state: str, reason: str) -> Trial:
        """Put a running trial back to where its next attempt can begin."""
        self._trials.record(trial, state, None, Failure(FailureKind.LOST_WORKER, reason) if state == "LOST" else None)
        if self.phase is Phase.PAUSED:
            return self._trials.move(trial, TrialState.PAUSED)
        return self._trials.move(replace(trial, attempt=trial.attempt + 1), TrialState.PENDING)

    def _exit_early(self, trial: Trial, failure: Failure, reason: ExitedReason) -> None:
        self._search.failed(trial, failure, reason)
        if reason is ExitedReason.ERRORED and not self.searcher.trial_progress:
            self._look_for_failures_alike(failure)

    def _look_for_failures_alike(self, failure: Failure) -> None:
        """End the run where nothing but one and the same failure was seen; what differs in numbers alone is the same."""
        reason = f"{failure.kind.value}: {_NUMBER.sub('#', failure.message)}"
        count = self._failures_alike[1] + 1 if self._failures_alike[0] == reason else 1
        self._failures_alike = (reason, count)
        if count < MAX_FAILURES_ALIKE or self.stopping is not None:
            return
        said = f"; the last lines that the last one printed:\n{failure.log_tail}" if failure.log_tail else ""
        notice = f"the search stops: {count} trials failed one after the other, and none succeeded: {failure.message}{said}"
        self._trials.draft.notices.append(notice)
        self._run_stopping(RunStopping(self._trials.draft.time_s, StopReason.FAILURES, Ending.NOW))


def _trial_of(checkpoint: str) -> int:
    """Return the trial of a checkpoint's id; of a trial's number, the trial itself."""
    return int(checkpoint.partition(".")[0])
