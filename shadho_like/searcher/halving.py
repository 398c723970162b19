"""What the methods of the halving family share: trials on one ladder or several, free slots given out, results passed on."""

from __future__ import annotations

import math
import uuid
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shadho_like.operations import Close, Create, ExitedReason, Operation, ValidateAfter
from shadho_like.searcher.base import BuiltInMethod, SearcherState
from shadho_like.searcher.ladder import Ladder
from shadho_like.searcher.samplers import Sampler
from shadho_like.trial import Hyperparameters, Json, RequestId, Trial

MAX_INVALID_IN_A_ROW = 1000
"""So many invalid trials are replaced with no valid result between them; further ones count as failed, so that a search
whose every point is invalid ends."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A trial that is not over: the ladder that it is on, and its point."""

    ladder: int
    hparams: Hyperparameters


class HalvingSearch(BuiltInMethod):
    """Runs trials on ladders.

    A slot that a result frees goes to a trial that can climb, of the same ladder first, else to a new one. A trial stays open
    while it may still climb.

    Args:
        sampler: chooses the points.
        total: how many trials all ladders start together.
        side_by_side: how many ladders share the slots from the start; a further one is opened when these cannot use a slot.
        max_concurrent_trials: how many trials may have work at once.
        smaller_is_better: whether the metric is minimised.
    """

    def __init__(self, sampler: Sampler, *, total: int, side_by_side: int = 1, max_concurrent_trials: int, smaller_is_better: bool) -> None:
        self._sampler = sampler
        self._total = total
        self._side_by_side = side_by_side
        self._max_concurrent_trials = max_concurrent_trials
        self._smaller_is_better = smaller_is_better
        self._ladders: dict[int, Ladder] = {}
        self._climbable: set[int] = set()
        self._startable: set[int] = set()
        self._opened = 0
        self._trials: dict[int, _Open] = {}
        self._created = 0
        self._working = 0
        self._reported = 0
        self._ended = 0
        self._invalid_in_a_row = 0
        self._progress = 0.0
        self._points: dict[int, Hyperparameters] = {}

    @abstractmethod
    def _ladder(self, index: int) -> Ladder | None:
        """Return a new ladder, the `index`-th, or None where there are no more."""

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """Give each of the first ladders its share of the slots."""
        while self._opened < self._side_by_side and self._open_ladder() is not None:
            pass
        operations: list[Operation] = []
        homes = sorted(self._ladders)
        for slot in range(self._max_concurrent_trials):
            started = self._start(homes[slot % len(homes)])
            if not started:
                break
            operations += started
        return operations

    def held_to(self) -> int | None:
        """Return `max_concurrent_trials`, while a trial could start or climb that does not."""
        more = self._opened < self._side_by_side or any(ladder.wants_new or ladder.can_climb for ladder in self._ladders.values())
        return self._max_concurrent_trials if more and self._working >= self._max_concurrent_trials else None

    def on_trial_created(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Nothing: all was asked for with the creation."""
        return []

    def on_validation_completed(self, state: SearcherState, request_id: RequestId, metric: Any, train_length: int) -> list[Operation]:
        """Rank the trial, and give its slot to the one that should have it."""
        number = request_id.int
        trial = self._trials[number]
        value = float(metric)
        self._sampler.observe(number, trial.hparams, train_length, value if math.isfinite(value) else None)
        self._invalid_in_a_row = 0
        ladder = self._ladders[trial.ladder]
        self._reported -= ladder.reported
        length = ladder.report(number, self._badness(value))
        self._reported += ladder.reported
        if length is not None:
            return [ValidateAfter(request_id, length)]
        self._working -= 1
        return self._go_on(trial.ladder)

    def on_trial_closed(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Nothing: it was closed because nothing more was wanted of it, or it exited early before."""
        return []

    def on_trial_exited_early(self, state: SearcherState, request_id: RequestId, exited_reason: ExitedReason) -> list[Operation]:
        """Count a failed trial as the worst of its rung; take one with invalid hyperparameters out, to start another for it."""
        number = request_id.int
        trial = self._trials.pop(number)
        self._sampler.observe(number, trial.hparams, int(state.trial_progress.get(request_id, 0)), None)
        ladder = self._ladders[trial.ladder]
        self._reported -= ladder.reported
        self._working -= ladder.runs(number)
        if exited_reason is ExitedReason.INVALID_HP and self._invalid_in_a_row < MAX_INVALID_IN_A_ROW:
            self._invalid_in_a_row += 1
            ladder.withdraw(number)
        else:
            self._ended += 1
            ladder.fail(number)
        self._reported += ladder.reported
        return self._go_on(trial.ladder)

    def progress(self, state: SearcherState) -> float:
        """Return how many of all trials have their first result, with a last tenth for those that are over."""
        return self._progress

    def state_to_json(self) -> Json:
        """Return the ladders in use, the open trials and what is counted."""
        return {
            "opened": self._opened,
            "ladders": [[index, ladder.state_to_json()] for index, ladder in self._ladders.items()],
            "trials": [[number, trial.ladder, trial.hparams] for number, trial in self._trials.items()],
            "counts": [self._created, self._working, self._reported, self._ended, self._invalid_in_a_row],
            "progress": self._progress,
            "points": list(map(list, self._points.items())),
            "sampler": self._sampler.state_to_json(),
        }

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        self._opened = value["opened"]
        self._ladders = {}
        for index, state in value["ladders"]:
            ladder = self._ladder(index)
            if ladder is not None:
                ladder.load_state(state)
                self._ladders[index] = ladder
        self._climbable = {index for index, ladder in self._ladders.items() if ladder.can_climb}
        self._startable = {index for index, ladder in self._ladders.items() if ladder.wants_new}
        self._trials = {number: _Open(ladder, hparams) for number, ladder, hparams in value["trials"]}
        self._created, self._working, self._reported, self._ended, self._invalid_in_a_row = value["counts"]
        self._progress = value["progress"]
        self._points = dict(value.get("points", ()))
        self._sampler.load_state(value["sampler"])

    def _extend(self, lengths: Sequence[int], over: Sequence[Trial]) -> list[Operation]:
        """Have the one ladder grow, and use its slots."""
        self._points = {trial.request_id.int: trial.hparams for trial in over}
        results = [(trial.request_id.int, trial.validated, self._badness(trial.metric)) for trial in over]
        self._ladders[0].extend(lengths, self._total, results)
        self._progress = 0.0
        self._climbable |= {0} if self._ladders[0].can_climb else set()
        self._startable |= {0} if self._ladders[0].wants_new else set()
        operations: list[Operation] = []
        for choose in (self._climb, self._start):
            while self._working < self._max_concurrent_trials and (chosen := choose(0)):
                operations += chosen
        return operations

    def _badness(self, metric: float | None) -> float:
        if metric is None or not math.isfinite(metric):
            return math.inf
        return metric if self._smaller_is_better else -metric

    def _go_on(self, home: int) -> list[Operation]:
        """Fill the free slots after an event on the ladder `home`, and close what is over."""
        ladder = self._ladders[home]
        if ladder.can_climb:
            self._climbable.add(home)
        if ladder.wants_new:
            self._startable.add(home)
        operations: list[Operation] = []
        while self._working < self._max_concurrent_trials and (climbing := self._climb(home)):
            operations += climbing
            if not ladder.at_once:
                break
        while self._working < self._max_concurrent_trials and (started := self._start(home)):
            operations += started
        over = ladder.take_over()
        if ladder.finished:
            over += ladder.take_all()
            self._climbable.discard(home)
            if not self.extensible:
                del self._ladders[home]
        operations += self._close(over)
        self._progress = max(self._progress, (9 * self._reported + self._ended) / (10 * self._total))
        return operations

    def _climb(self, home: int) -> list[Operation]:
        """Let a trial of the ladder `home` climb, or of another."""
        while self._climbable:
            index = home if home in self._climbable else min(self._climbable)
            climbing = self._ladders[index].climb()
            if climbing is not None:
                self._working += 1
                number, length = climbing
                if number not in self._trials:
                    self._trials[number] = _Open(index, self._points.pop(number))
                    self._ended -= 1
                return [ValidateAfter(uuid.UUID(int=number), length)]
            self._climbable.discard(index)
        return []

    def _start(self, home: int) -> list[Operation]:
        """Start a new trial on the ladder `home`, on another, or on one opened for it."""
        if not self._startable and self._open_ladder() is None:
            return []
        index = home if home in self._startable else min(self._startable)
        ladder = self._ladders[index]
        number = self._created
        self._created += 1
        self._working += 1
        request_id = uuid.UUID(int=number)
        hparams = self._sampler.sample(number)
        self._trials[number] = _Open(index, hparams)
        operations: list[Operation] = [Create(request_id, hparams), ValidateAfter(request_id, ladder.start(number))]
        if not ladder.wants_new:
            self._startable.discard(index)
        return operations

    def _open_ladder(self) -> int | None:
        ladder = self._ladder(self._opened)
        if ladder is None:
            return None
        index = self._opened
        self._ladders[index] = ladder
        self._startable.add(index)
        self._opened += 1
        return index

    def _close(self, numbers: list[int]) -> list[Operation]:
        going = [number for number in numbers if self._trials.pop(number, None) is not None]
        self._ended += len(going)
        return [Close(uuid.UUID(int=number)) for number in going]
