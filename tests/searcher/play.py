"""Plays a search method without a loop: the experiment's own state machine, and an adversary or a plan that finishes trials."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from shadho_like import searcher
from shadho_like.events import AttemptFinished, Continued, Event, RunStarted
from shadho_like.searcher.base import BuiltInMethod
from shadho_like.state import ExperimentState
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Outcome, Success, Trial, TrialState
from shadho_like.turn import Turn

INVALID = Failure(FailureKind.INVALID_HP, "too large")
ERROR = Failure(FailureKind.EXIT_CODE, "exit status 3")


@dataclass
class Play:
    """An experiment of one method, and what happened in it.

    Attributes:
        fresh: makes the method.
        reload: whether to do so after every event, and to go on with it from the state that was saved.
    """

    fresh: Callable[[], BuiltInMethod]
    reload: bool = False
    turns: list[Turn] = field(default_factory=list)
    wanted: dict[AttemptId, Attempt] = field(default_factory=dict)
    trials: dict[int, Trial] = field(default_factory=dict)
    lengths: dict[int, list[int]] = field(default_factory=dict)
    progress: list[float] = field(default_factory=list)
    busiest: int = 0
    held: set[tuple[int, int]] = field(default_factory=set)
    """Where the method had more to give out than it may: to how many trials it keeps, and how many had work."""

    def __post_init__(self) -> None:
        self._begin()
        self.progress.append(self.state.method.progress(self.state.searcher))
        self.handle(RunStarted(0.0, "run", "head", 1, None, 0))

    def _begin(self) -> None:
        self.state = ExperimentState(self.fresh(), experiment="e", seed=7, smaller_is_better=True)

    def handle(self, event: Event) -> None:
        turn = self.state.handle(event)
        self.turns.append(turn)
        self.trials |= {trial.number: trial for trial in turn.trials}
        if isinstance(event, AttemptFinished):
            del self.wanted[event.attempt]
        for attempt_id in turn.unwanted:
            del self.wanted[attempt_id]
        for attempt in turn.wanted:
            self.wanted[attempt.id] = attempt
            self.lengths.setdefault(attempt.id.trial, []).append(attempt.length)
        self.busiest = max(self.busiest, len(self.wanted))
        self.progress.append(self.state.method.progress(self.state.searcher))
        if (most := self.state.held_to()) is not None:
            self.held.add((most, len(self.wanted)))
        if self.reload:
            json.dumps(self.state.method.state_to_json(), allow_nan=False)
            saved = json.dumps(self.state.snapshot(), sort_keys=True)
            self._begin()
            self.state.restore(json.loads(saved))
            assert json.dumps(self.state.snapshot(), sort_keys=True) == saved

    def finish(self, attempt: AttemptId, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            # Failures that are all alike end a run.
            outcome = replace(outcome, message=f"{outcome.message} {'ab'[len(self.turns) % 2]}")
        self.handle(AttemptFinished(float(len(self.turns)), attempt, 0.0, "node", outcome))

    def to_the_end(self, outcome: Callable[[Attempt], Outcome], choose: Callable[[list[AttemptId]], AttemptId] = min, most: int = 10**5) -> None:
        """Finish one attempt after the other until nothing is left to do."""
        for _ in range(most):
            if not self.wanted:
                return
            attempt = choose(sorted(self.wanted))
            self.finish(attempt, outcome(self.wanted[attempt]))
        raise AssertionError(f"it goes on after {most} results")

    def extend(self, **keys: int) -> None:
        """Have more to do, as the loop does it."""
        assert not self.state.method.extension_fault(keys)
        ended = [self.trials[number] for number in sorted(self.trials) if self.trials[number].state.final]
        over = [trial for trial in ended if trial.state is not TrialState.FAILED]
        self.handle(Continued(float(len(self.turns)), keys, tuple(over)))

    def longest(self) -> dict[int, int]:
        """Return the length that each trial was trained to."""
        return {trial: max(lengths) for trial, lengths in self.lengths.items()}


def made(name: str, space: Any, seed: int = 3, **keys: Any) -> Callable[[], BuiltInMethod]:
    """Return what makes the method."""
    return lambda: searcher.create(name, space, seed=seed, **keys)


def adversary(seed: int, *, errors: float = 0.1, invalid: float = 0.1, nan: float = 0.1, ties: int = 0) -> Callable[[Attempt], Outcome]:
    """Return what decides how an attempt ends: by the trial and the length, so that it is the same in another order."""

    def outcome(attempt: Attempt) -> Outcome:
        rng = random.Random(f"{seed} {attempt.id.trial} {attempt.length}")
        draw = rng.random()
        if draw < errors:
            return ERROR
        if draw < errors + invalid:
            return INVALID
        if draw < errors + invalid + nan:
            return Success(math.nan)
        return Success(float(rng.randrange(ties)) if ties else rng.random())

    return outcome


def any_order(seed: int) -> Callable[[list[AttemptId]], AttemptId]:
    """Return what chooses the attempt that ends next."""
    return random.Random(seed).choice
