"""The experiment as a pure state machine: an event goes in, a turn comes out. No clock, no files, no engine.

After any event, the attempts that should run are known; whoever drives the machine makes the world agree.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from shadho_like.errors import MethodError
from shadho_like.events import AttemptFinished, AttemptLost, AttemptStarted, Event, RunStarted, RunStopping, event_from_json
from shadho_like.operations import LATEST_OF, Close, Create, ExitedReason, Operation, Progress, Shutdown, ValidateAfter, operation_from_json
from shadho_like.searcher.base import BuiltInMethod, SearcherState
from shadho_like.trial import (
    Failure,
    FailureKind,
    RequestId,
    Success,
    Trial,
    TrialState,
    trial_seed,
)
from shadho_like.trial_table import TrialTable
from shadho_like.turn import Draft, Turn

MAX_LOST_IN_A_ROW = 20
"""How many machines in a row may be lost under one trial before it is given up."""


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
        progress: how far the search is, 0 to 1, as far as its method knows.
        stopping: the event that ends the run under way, if one has come.
        searcher: what the method's handlers are shown.
    """

    def __init__(self, method: BuiltInMethod, *, experiment: str, seed: int, smaller_is_better: bool) -> None:
        self.turn = 0
        self.lost_attempts = 0
        self.best: Best | None = None
        self.progress = 0.0
        self.stopping: RunStopping | None = None
        self.searcher = SearcherState(experiment_id=experiment)
        self.method = method
        self._seed = seed
        self._smaller_is_better = smaller_is_better
        self._run: RunStarted | None = None
        self._trials = TrialTable()
        self._withheld: deque[Operation] = deque()
        self._withheld_ids: set[RequestId] = set()

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as plain data, for `restore`; its size goes with the open trials, not with all of them."""
        return {
            "turn": self.turn,
            **self._trials.to_json(),
            "lost_attempts": self.lost_attempts,
            "best": [self.best.trial, self.best.metric] if self.best else None,
            "progress": self.progress,
            "run": self._run.to_json() if self._run else None,
            "stopping": self.stopping.to_json() if self.stopping else None,
            "withheld": [operation.to_json() for operation in self._withheld],
            "searcher": self.searcher.to_json(),
            "method": self.method.state_to_json(),
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Become what `snapshot` gave; what is wanted follows from the trials."""
        self.turn = value["turn"]
        self._trials.restore(value)
        self.lost_attempts = value["lost_attempts"]
        self.best = Best(*value["best"]) if value["best"] else None
        self.progress = value["progress"]
        self._run = cast(RunStarted, event_from_json(value["run"])) if value["run"] else None
        self.stopping = cast(RunStopping, event_from_json(value["stopping"])) if value["stopping"] else None
        self._withheld = deque(map(operation_from_json, value["withheld"]))
        self._withheld_ids = {operation.request_id for operation in self._withheld if isinstance(operation, Create)}
        self.searcher = SearcherState.from_json(value["searcher"])
        self.method.load_state(value["method"])
        self._trials.wanted.update(trial.attempt_id for trial in self._trials if self._is_wanted(trial))

    @property
    def counts(self) -> Counter[TrialState]:
        """How many trials are in each state."""
        return self._trials.counts

    @property
    def finished(self) -> bool:
        """Whether nothing more can happen in this run: no attempt is wanted."""
        return not self._trials.wanted

    @property
    def ended(self) -> bool:
        """Whether the search itself is over, so that no later run would do anything either."""
        return self.searcher.experiment_completed or not (self._trials or self._withheld)

    def starting_points(self) -> set[int]:
        """Return the trials from whose checkpoints others begin that have none of their own yet."""
        begins = (trial.start_from for trial in self._trials if trial.validated == 0)
        return {int(start_from.partition(".")[0]) for start_from in begins if start_from is not None}

    def handle(self, event: Event) -> Turn:
        """Take one event in.

        Raises:
            InternalError: the event cannot be true now, for instance a result of an attempt that is not wanted.
            MethodError: the search method raised, or asked for something that cannot be.
        """
        self._trials.draft = draft = Draft(event.time_s)
        if isinstance(event, AttemptFinished):
            self._attempt_finished(event)
        elif isinstance(event, AttemptStarted):
            self._attempt_started(event)
        elif isinstance(event, AttemptLost):
            self._attempt_lost(event)
        elif isinstance(event, RunStarted):
            self._run_started(event)
        else:
            self._run_stopping(event)
        self.turn += 1
        return draft.turn(self.turn, event)

    def _run_started(self, event: RunStarted) -> None:
        self._run, self.stopping = event, None
        self._trials.wanted.clear()
        for trial in self._trials:
            if trial.state is TrialState.RUNNING:
                self._give_up_attempt(trial, "CANCELED", "its driver ended")
        if self.turn == 0:
            self._carry_out(self._ask(self.method.initial_operations))
        for trial in self._trials:
            self._want(trial)
        self._release_withheld()

    def _run_stopping(self, event: RunStopping) -> None:
        self.stopping = event
        for attempt_id in sorted(self._trials.wanted):
            trial = self._trials[attempt_id.trial]
            if trial.state is not TrialState.RUNNING:
                self._trials.unwant(attempt_id)
            elif not event.drain:
                self._trials.unwant(attempt_id)
                self._give_up_attempt(trial, "CANCELED", f"the run was stopped: {event.reason.value}")

    def _attempt_started(self, event: AttemptStarted) -> None:
        trial = self._trials.of_wanted(event.attempt)
        if trial.state is TrialState.RUNNING:
            # Told twice, or begun anew on another machine by a scheduler that knows better: it runs there.
            trial = self._trials.keep(replace(trial, host=event.host))
        else:
            trial = self._trials.move(trial, TrialState.RUNNING, started_s=trial.started_s or event.time_s, host=event.host)
        self._trials.record(trial, "RUNNING", event.time_s)

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
        self._want(self._give_up_attempt(replace(trial, lost=trial.lost + 1), "LOST", event.reason))

    def _attempt_finished(self, event: AttemptFinished) -> None:
        trial = self._trials.of_wanted(event.attempt)
        self._trials.wanted.discard(event.attempt)
        if trial.state is not TrialState.RUNNING:
            trial = self._trials.move(trial, TrialState.RUNNING, started_s=trial.started_s or event.started_s, host=event.host)
        if isinstance(event.outcome, Success):
            self._trials.record(trial, "COMPLETED", event.started_s)
            self._validated(trial, event.outcome)
        elif event.outcome.kind is FailureKind.PREEMPTED:
            self._want(self._give_up_attempt(trial, "PREEMPTED", event.outcome.message))
        else:
            self._trials.record(trial, "FAILED", event.started_s, event.outcome)
            self._failed(trial, event.outcome)

    def _validated(self, trial: Trial, outcome: Success) -> None:
        validated = replace(trial, metric=outcome.metric, metrics=outcome.metrics, validated=trial.length, lost=0)
        trial = self._trials.move(validated, TrialState.PAUSED)
        self._consider_best(trial.number, outcome.metric)
        self.searcher.trial_progress[trial.request_id] = trial.length
        answer = self._ask(self.method.on_validation_completed, trial.request_id, outcome.metric, trial.length)
        self._carry_out(answer)
        trial = self._trials.get(trial.number) or trial
        if trial.closing and trial.validated >= trial.length and self._trials.get(trial.number):
            self._complete(trial)

    def _failed(self, trial: Trial, failure: Failure) -> None:
        if failure.kind is FailureKind.INVALID_HP:
            self._exit_early(trial, failure, ExitedReason.INVALID_HP)
        elif self._run is not None and trial.restarts < self._run.max_restarts:
            again = replace(trial, restarts=trial.restarts + 1, attempt=trial.attempt + 1, lost=0)
            self._want(self._trials.move(again, TrialState.PENDING))
        else:
            self._exit_early(trial, failure, ExitedReason.ERRORED)

    def _give_up_attempt(self, trial: Trial, state: str, reason: str) -> Trial:
        """Put a running trial back to where its next attempt can begin."""
        self._trials.record(trial, state, None, Failure(FailureKind.LOST_WORKER, reason) if state == "LOST" else None)
        return self._trials.move(replace(trial, attempt=trial.attempt + 1), TrialState.PENDING)

    def _complete(self, trial: Trial) -> None:
        self._trials.move(trial, TrialState.COMPLETED, finished_s=self._trials.draft.time_s)
        self._closed(trial.request_id)

    def _exit_early(self, trial: Trial, failure: Failure, reason: ExitedReason) -> None:
        self._trials.move(trial, TrialState.FAILED, failure=failure, finished_s=self._trials.draft.time_s)
        self.searcher.failures.add(trial.request_id)
        self._carry_out(self._ask(self.method.on_trial_exited_early, trial.request_id, reason))
        self._closed(trial.request_id)

    def _closed(self, request_id: RequestId) -> None:
        self.searcher.trials_closed.add(request_id)
        self._carry_out(self._ask(self.method.on_trial_closed, request_id))

    def _ask(self, handler: Callable[..., list[Operation]], *args: Any) -> list[Operation]:
        """Call a handler of the search method and take down what it asks for."""
        self.searcher.last_event_id += 1
        where = f"{self.method.called}.{handler.__name__}"
        try:
            operations = handler(self.searcher, *args)
        except Exception as error:
            message = f"the search method's {where} raised {type(error).__name__}: {error}"
            raise MethodError(message) from error
        if not isinstance(operations, list) or not all(isinstance(operation, Operation) for operation in operations):
            message = f"the search method's {where} must return a list of operations, not {operations!r:.200}"
            raise MethodError(message)
        self._trials.draft.operations.extend(operations)
        return operations

    def _carry_out(self, operations: Iterable[Operation]) -> None:
        todo = deque(operations)
        while todo:
            operation = todo.popleft()
            if isinstance(operation, Create):
                todo.extend(self._create(operation))
            elif isinstance(operation, ValidateAfter | Close):
                self._direct(operation)
            elif isinstance(operation, Progress):
                self.progress = max(self.progress, operation.progress)
            else:
                self._shut_down(operation)

    def _create(self, operation: Create) -> list[Operation]:
        """Make a trial, or hold the wish back while the run's limit is reached."""
        request_id = operation.request_id
        if request_id in self.searcher.trials_created or request_id in self._withheld_ids:
            notice = f"the search method {self.method.called} created trial {request_id} twice; the second is refused"
            self._trials.draft.notices.append(notice)
            return []
        if self._run is not None and self._run.max_trials is not None and self._trials.created >= self._run.max_trials:
            self._withheld.append(operation)
            self._withheld_ids.add(request_id)
            return []
        number = self._trials.created
        self.searcher.trials_created.add(request_id)
        trial = Trial(number, request_id, operation.hparams, trial_seed(self._seed, number), self._trials.draft.time_s)
        self._trials.add(replace(trial, start_from=self._source(operation.checkpoint)))
        return self._ask(self.method.on_trial_created, request_id)

    def _source(self, checkpoint: str | None) -> str | None:
        """Return where a new trial starts from: a checkpoint's id, or the number of the trial whose newest it is."""
        if checkpoint is None or not checkpoint.startswith(LATEST_OF):
            return checkpoint
        number = self._trials.number_of(RequestId(checkpoint[len(LATEST_OF) :]))
        if number is None:
            message = f"the search method starts a trial from the checkpoint of one that is not open: {checkpoint}"
            raise MethodError(message)
        return str(number)

    def _release_withheld(self) -> None:
        """Carry out what was held back, as far as the limit of this run goes."""
        withheld, self._withheld, self._withheld_ids = self._withheld, deque(), set()
        self._carry_out(withheld)

    def _direct(self, operation: ValidateAfter | Close) -> None:
        """Apply an operation to an open trial; one on a trial that is over changes nothing."""
        request_id = operation.request_id
        if request_id in self._withheld_ids:
            self._withheld.append(operation)
            return
        number = self._trials.number_of(request_id)
        if number is None:
            if request_id in self.searcher.trials_created:
                return
            message = f"the search method asked for {type(operation).__name__} of a trial that it never created: {request_id}"
            raise MethodError(message)
        trial = self._trials[number]
        if isinstance(operation, ValidateAfter):
            self._want(self._trials.keep(replace(trial, length=operation.length)))
        elif operation.stop:
            self._stop(trial)
        elif trial.validated >= trial.length:
            self._complete(self._trials.move(trial, TrialState.RUNNING) if trial.state is TrialState.PENDING else trial)
        else:
            self._trials.keep(replace(trial, closing=True))

    def _stop(self, trial: Trial) -> None:
        self._trials.withdraw(trial)
        self._trials.move(trial, TrialState.STOPPED, finished_s=self._trials.draft.time_s)
        self._closed(trial.request_id)

    def _shut_down(self, operation: Shutdown) -> None:
        state = TrialState.CANCELED if operation.cancel else TrialState.STOPPED
        self._withheld.clear()
        self._withheld_ids.clear()
        for trial in self._trials:
            self._trials.withdraw(trial)
            self._trials.move(trial, state, finished_s=self._trials.draft.time_s)
            self.searcher.trials_closed.add(trial.request_id)
        self.searcher.experiment_completed = True
        self.searcher.experiment_failed = operation.failure

    def _want(self, trial: Trial) -> None:
        """See to it that a trial with training left has an attempt that is wanted."""
        if self.stopping is None and trial.validated < trial.length:
            self._trials.want(trial)

    def _is_wanted(self, trial: Trial) -> bool:
        waits = trial.state is TrialState.PENDING and trial.validated < trial.length and self.stopping is None
        return waits or trial.state is TrialState.RUNNING

    def _consider_best(self, trial: int, metric: float) -> None:
        if self.best is None or (metric < self.best.metric if self._smaller_is_better else metric > self.best.metric):
            self.best = Best(trial, metric)
