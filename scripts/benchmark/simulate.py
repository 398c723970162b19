"""Plays a search method against a simulated world, without a journal: what it found when, and what it cost. No method is chosen here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from shadho_like.dispatch import WaitingAttempts
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.events import AttemptFinished, RunStarted
from shadho_like.searcher import BuiltInMethod
from shadho_like.state import ExperimentState
from shadho_like.trial import AttemptId, Success
from shadho_like.turn import Turn

_DECISIONS = ("on_validation_completed", "on_trial_exited_early")
_PATIENCE_S = 1e9


@dataclass
class Played:
    """What came of a search.

    Attributes:
        reached_s: when the goal was reached, in the world's seconds from the start; infinity if it was not.
        ended_s: when the search ended.
        busy: the share of their time that all workers worked while there were trials to start.
        decision_s: the seconds of processor time that the method takes to decide what follows from a result: the new points that it
            draws included, and what Python collects of garbage meanwhile.
        results: how many results there were.
    """

    reached_s: float = math.inf
    ended_s: float = 0.0
    busy: float = 0.0
    decision_s: float = 0.0
    results: int = 0
    best: float = math.inf
    spent_s: float = field(default=0.0, repr=False)


def play(
    method: BuiltInMethod, world: World, *, max_length: int, goal: float, until_s: float = math.inf, most_results: int = 10**9
) -> Played:
    """Run a search until it ends, reaches a metric at most `goal` at `max_length`, or its time is up."""
    played = Played()
    _time_decisions(method, played)
    state = ExperimentState(method, experiment="simulated", seed=0, smaller_is_better=True)
    engine, waiting, running = SimulatedEngine(world, 0.0), WaitingAttempts(), set[AttemptId]()
    turn = state.handle(RunStarted(0.0, "run", "here", 1, None, 3))
    waiting.add(turn.wanted)
    while not state.finished and engine.now() < until_s and played.results < most_results:
        attempts = waiting.take(max(0, engine.room()), engine.now())
        running.update(attempt.id for attempt in attempts)
        engine.submit(attempts)
        for update in engine.wait(_PATIENCE_S):
            attempt = getattr(update, "attempt", None)
            if attempt not in running:
                continue
            turn = state.handle(update)  # type: ignore[arg-type]
            if isinstance(update, AttemptFinished):
                played.results += 1
                _note(played, update, turn, max_length)
            waiting.add(turn.wanted)
            gone = [each for each in turn.unwanted if not waiting.discard(each)]
            running.difference_update(gone)
            engine.cancel(gone)
        if played.best <= goal:
            played.reached_s = engine.now()
            break
    played.ended_s = engine.now()
    played.busy = engine.busy_s / (world.workers * max(played.ended_s, 1e-9))
    played.decision_s = played.spent_s / max(played.results, 1)
    return played


def _note(played: Played, update: AttemptFinished, turn: Turn, max_length: int) -> None:
    metric = update.outcome.metric if isinstance(update.outcome, Success) else None
    if metric is not None and metric < played.best:
        trained = next(trial.validated for trial in turn.trials if trial.number == update.attempt.trial)
        if trained == max_length:
            played.best = metric


def _time_decisions(method: BuiltInMethod, played: Played) -> None:
    def timed(handler: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(handler)
        def call(*arguments: Any) -> Any:
            began_s = time.thread_time()
            try:
                return handler(*arguments)
            finally:
                played.spent_s += time.thread_time() - began_s

        return call

    for name in _DECISIONS:
        setattr(method, name, timed(getattr(method, name)))
