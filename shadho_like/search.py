"""The search method's part of an experiment's state: asks it what to do, and carries that out on the trials. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shadho_like.errors import MethodError
from shadho_like.operations import LATEST_OF, Close, Create, ExitedReason, Operation, Progress, Shutdown, ValidateAfter, operation_from_json
from shadho_like.phase import Phase
from shadho_like.searcher.base import BuiltInMethod, SearcherState
from shadho_like.trial import Failure, Json, RequestId, Trial, TrialState, trial_seed
from shadho_like.trial_table import TrialTable


class Search:
    """A search method at work.

    Args:
        method: decides.
        trials: what it decides about.
        experiment: the experiment's id.
        seed: the experiment's.

    Attributes:
        told: what the method's handlers are shown.
        phase: where the experiment is in its life.
        progress: how far the search is, 0 to 1, as far as its method says so by itself.
        max_trials: how many trials there may be in this run, those of earlier ones counted; None for no limit.
        grown: the method's keys that grew since the beginning, with their values.
    """

    def __init__(self, method: BuiltInMethod, trials: TrialTable, *, experiment: str, seed: int) -> None:
        self.method = method
        self.told = SearcherState(experiment_id=experiment)
        self.phase = Phase.ACTIVE
        self.progress = 0.0
        self.max_trials: int | None = None
        self.grown: dict[str, int] = {}
        self._trials = trials
        self._seed = seed
        self._withheld: deque[Operation] = deque()
        self._withheld_ids: set[RequestId] = set()
        self._over: dict[RequestId, Trial] = {}
        # None where an earlier version called some off, and did not write down which.
        self._called_off: set[RequestId] | None = set()

    def to_json(self) -> dict[str, Any]:
        """Return the plain form."""
        return {
            "phase": self.phase.value,
            "progress": self.progress,
            "max_trials": self.max_trials,
            "grown": self.grown,
            "withheld": [operation.to_json() for operation in self._withheld],
            "over": [trial.to_json() for trial in self._over.values()],
            "called_off": None if self._called_off is None else sorted(map(str, self._called_off)),
            "searcher": self.told.to_json(),
            "method": self.method.state_to_json(),
        }

    def restore(self, value: Mapping[str, Any]) -> None:
        """Become what `to_json` gave."""
        self.phase = Phase(value.get("phase", Phase.ACTIVE))
        self.progress = value["progress"]
        self.max_trials = value.get("max_trials")
        self.grown = dict(value.get("grown", {}))
        self._withheld = deque(map(operation_from_json, value["withheld"]))
        self._withheld_ids = {operation.request_id for operation in self._withheld if isinstance(operation, Create)}
        self._over = {trial.request_id: trial for trial in map(Trial.from_json, value.get("over", ()))}
        called_off = value.get("called_off", None if self.phase in {Phase.CANCELED, Phase.FAILED} else ())
        self._called_off = None if called_off is None else set(map(RequestId, called_off))
        self.told = SearcherState.from_json(value["searcher"])
        self.method.load_state(value["method"])

    @property
    def has_work(self) -> bool:
        """Whether there is a trial that is not over, or the wish for one."""
        return bool(self._trials or self._withheld)

    def begin(self) -> None:
        """Ask for the first trials."""
        self._carry_out(self._ask(self.method.initial_operations))

    def validated(self, trial: Trial, metric: Json) -> None:
        """Tell the method of a trial's metric, or of what it takes instead, at the length that it reached, and do what it says."""
        self.told.trial_progress[trial.request_id] = trial.validated
        self._carry_out(self._ask(self.method.on_validation_completed, trial.request_id, metric, trial.validated))
        now = self._trials.get(trial.number)
        if now is not None and now.closing and now.validated >= now.length:
            self._complete(now)

    def failed(self, trial: Trial, failure: Failure, reason: ExitedReason) -> None:
        """End a trial that failed for good."""
        self._trials.end(trial, TrialState.FAILED, failure=failure)
        self.told.failures.add(trial.request_id)
        answer = self._ask(self.method.on_trial_exited_early, trial.request_id, reason)
        # One that never trained is no reason for its stand-in to start elsewhere than it did, whatever its parent has saved since.
        began = trial.start_from if reason is ExitedReason.INVALID_HP and trial.validated == 0 else None
        self._carry_out(answer, stand_in_from=began)
        self._closed(trial.request_id)

    def kill(self, trial: Trial) -> None:
        """End a trial at the user's wish."""
        self._trials.withdraw(trial)
        self._trials.end(trial, TrialState.CANCELED)
        self._carry_out(self._ask(self.method.on_trial_exited_early, trial.request_id, ExitedReason.USER_CANCELED))
        self._closed(trial.request_id)

    def release_withheld(self) -> None:
        """Carry out what was held back, as far as the limit of this run goes."""
        withheld, self._withheld, self._withheld_ids = self._withheld, deque(), set()
        self._carry_out(withheld)

    def held_to(self) -> int | None:
        """Return how many trials the method lets have work at once, where more would have some now but for that; None where none would."""
        full = self.max_trials is not None and self._trials.created >= self.max_trials
        return None if full or self.phase is not Phase.ACTIVE else self.method.held_to()

    def limit(self, max_trials: int | None) -> None:
        """Have another limit, and carry out what was held back as far as it goes."""
        self.max_trials = max_trials
        self.release_withheld()

    def shut_down(self, *, cancel: bool = False, failure: bool = False) -> None:
        """End the experiment, with all that is open."""
        state = TrialState.CANCELED if cancel else TrialState.STOPPED
        self._withheld.clear()
        self._withheld_ids.clear()
        for trial in self._trials:
            self._trials.withdraw(trial)
            self._trials.end(trial, state)
            self.told.trials_closed.add(trial.request_id)
            if cancel and self._called_off is not None:
                self._called_off.add(trial.request_id)
        self.told.experiment_completed = True
        self.told.experiment_failed = failure
        self.phase = Phase.FAILED if failure else Phase.CANCELED if cancel else Phase.COMPLETED

    def extend(self, keys: Mapping[str, int], over: Sequence[Trial]) -> None:
        """Have more to do: what was called off is open again, and the method is asked what else it wants.

        A trial that the user killed stays over: the method was told so.

        Args:
            keys: the method's keys that grow, with their new values.
            over: the trials that may be taken up again, as they ended.
        """
        self.told.experiment_completed = self.told.experiment_failed = False
        self.grown |= keys
        self._over = {trial.request_id: trial for trial in over if trial.state is not TrialState.CANCELED}
        for trial in self._were_called_off(over):
            self.told.trials_closed.discard(trial.request_id)
            self._trials.reopen(trial)
        self._called_off = set()
        if keys:
            self._carry_out(self._ask(self.method.extend, keys, tuple(self._over.values())))

    def _were_called_off(self, over: Sequence[Trial]) -> list[Trial]:
        """Return the trials that ended because the whole experiment was canceled."""
        canceled = [trial for trial in over if trial.state is TrialState.CANCELED]
        if self._called_off is not None:
            return [trial for trial in canceled if trial.request_id in self._called_off]
        # They ended together, and after them none did.
        last_s = max((trial.finished_s or 0.0 for trial in over), default=0.0)
        return [trial for trial in canceled if (trial.finished_s or 0.0) == last_s]

    def _ask(self, handler: Callable[..., list[Operation]], *args: Any) -> list[Operation]:
        """Call a handler of the search method and take down what it asks for."""
        self.told.last_event_id += 1
        where = f"{self.method.called}.{handler.__name__}"
        try:
            operations = handler(self.told, *args)
        except Exception as error:
            message = f"the search method's {where} raised {type(error).__name__}: {error}"
            raise MethodError(message) from error
        if not isinstance(operations, list) or not all(isinstance(operation, Operation) for operation in operations):
            message = f"the search method's {where} must return a list of operations, not {operations!r:.200}"
            raise MethodError(message)
        self._trials.draft.operations.extend(operations)
        return operations

    def _carry_out(self, operations: Iterable[Operation], *, stand_in_from: str | None = None) -> None:
        """Do what the method asks for; see `_source`."""
        todo = deque(operations)
        while todo:
            operation = todo.popleft()
            if isinstance(operation, Create):
                todo.extend(self._create(operation, stand_in_from))
            elif isinstance(operation, ValidateAfter | Close):
                self._direct(operation)
            elif isinstance(operation, Progress):
                self.progress = max(self.progress, operation.progress)
            elif isinstance(operation, Shutdown):
                self.shut_down(cancel=operation.cancel, failure=operation.failure)

    def _create(self, operation: Create, stand_in_from: str | None) -> list[Operation]:
        """Make a trial, or hold the wish back while the run's limit is reached."""
        request_id = operation.request_id
        if request_id in self.told.trials_created or request_id in self._withheld_ids:
            notice = f"the search method {self.method.called} created trial {request_id} twice; the second is refused"
            self._trials.draft.notices.append(notice)
            return []
        if self.max_trials is not None and self._trials.created >= self.max_trials:
            self._withheld.append(operation)
            self._withheld_ids.add(request_id)
            return []
        number = self._trials.created
        self.told.trials_created.add(request_id)
        trial = Trial(number, request_id, operation.hparams, trial_seed(self._seed, number), self._trials.draft.time_s)
        self._trials.add(replace(trial, start_from=self._source(operation.checkpoint, stand_in_from)))
        return self._ask(self.method.on_trial_created, request_id)

    def _source(self, checkpoint: str | None, stand_in_from: str | None) -> str | None:
        """Return where a new trial starts from: a checkpoint's id.

        Of a trial whose checkpoints were not heard of it is the trial's number, for the newest that is found.

        Args:
            checkpoint: as the method named it.
            stand_in_from: where the trial began in whose place the new one comes, if that is why; of the same trial, it is taken.
        """
        if checkpoint is None or not checkpoint.startswith(LATEST_OF):
            return checkpoint
        number = self._trials.number_of(RequestId(checkpoint[len(LATEST_OF) :]))
        if number is None:
            message = f"the search method starts a trial from the checkpoint of one that is not open: {checkpoint}"
            raise MethodError(message)
        if stand_in_from is not None and int(stand_in_from.partition(".")[0]) == number:
            return stand_in_from
        return self._trials.saved.get(number, str(number))

    def _direct(self, operation: ValidateAfter | Close) -> None:
        """Apply an operation to an open trial; one on a trial that is over changes nothing, unless it may be taken up again."""
        request_id = operation.request_id
        if request_id in self._withheld_ids:
            self._withheld.append(operation)
            return
        if isinstance(operation, ValidateAfter) and request_id in self._over:
            self.told.trials_closed.discard(request_id)
            self._trials.reopen(self._over.pop(request_id))
        number = self._trials.number_of(request_id)
        if number is None:
            if request_id in self.told.trials_created:
                return
            message = f"the search method asked for {type(operation).__name__} of a trial that it never created: {request_id}"
            raise MethodError(message)
        trial = self._trials[number]
        if isinstance(operation, ValidateAfter):
            self._trials.want(self._trials.keep(replace(trial, length=operation.length)))
        elif operation.stop:
            self._trials.withdraw(trial)
            self._trials.end(trial, TrialState.STOPPED)
            self._closed(request_id)
        elif trial.validated >= trial.length:
            self._complete(self._trials.move(trial, TrialState.RUNNING) if trial.state is TrialState.PENDING else trial)
        else:
            self._trials.keep(replace(trial, closing=True))

    def _complete(self, trial: Trial) -> None:
        self._trials.end(trial, TrialState.COMPLETED)
        self._closed(trial.request_id)

    def _closed(self, request_id: RequestId) -> None:
        self.told.trials_closed.add(request_id)
        self._carry_out(self._ask(self.method.on_trial_closed, request_id))
