"""A world for the state machine: an adversary that decides what happens to the attempts that are wanted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hypothesis import strategies as st

from shadho_like.events import (
    Action,
    AttemptFinished,
    AttemptLost,
    AttemptReported,
    AttemptStarted,
    Ending,
    Event,
    Requested,
    RunStarted,
    RunStopping,
    StopReason,
    event_from_json,
)
from shadho_like.reports import Measured, Progressed, Resumed, Saved
from shadho_like.searcher.random import RandomSearch
from shadho_like.searcher.samplers import RandomSampler
from shadho_like.space import Space
from shadho_like.state import ExperimentState
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Hyperparameters, Outcome, Success, Trial
from shadho_like.turn import Turn


class NumberSampler(RandomSampler):
    """Points that say which trial they belong to."""

    def __init__(self) -> None:
        super().__init__(Space({}), seed=0)

    def sample(self, number: int) -> Hyperparameters:
        return {"x": number / 7, "nested": {"n": number}}


def new_state(concurrent: int = 3, *, max_trials: int | None = None) -> ExperimentState:
    method = RandomSearch(NumberSampler(), max_concurrent_trials=concurrent, max_trials=max_trials)
    return ExperimentState(method, experiment="e", seed=7, smaller_is_better=True)


@dataclass
class World:
    """Feeds events to a state and keeps what a driver would: the turns, and which attempts are wanted."""

    state: ExperimentState
    turns: list[Turn] = field(default_factory=list)
    wanted: dict[AttemptId, Attempt] = field(default_factory=dict)
    trials: dict[int, Trial] = field(default_factory=dict)
    time_s: float = 1000.0

    def handle(self, event: Event) -> Turn:
        turn = self.state.handle(event)
        self.turns.append(turn)
        attempt = getattr(event, "attempt", None)
        if attempt is not None and not isinstance(event, AttemptStarted | AttemptReported):
            del self.wanted[attempt]
        if isinstance(event, RunStarted):
            self.wanted.clear()
        for unwanted in turn.unwanted:
            del self.wanted[unwanted]
        for wanted in turn.wanted:
            assert wanted.id not in self.wanted
            self.wanted[wanted.id] = wanted
        self.trials |= {trial.number: trial for trial in turn.trials}
        return turn

    def start(self, *, max_trials: int | None = None, max_restarts: int = 0) -> None:
        self.time_s += 1
        self.handle(RunStarted(self.time_s, "run", "head", 1, max_trials, max_restarts))

    def finish(self, attempt: AttemptId, outcome: Outcome | None = None) -> None:
        self.time_s += 1
        metric = float(self.wanted[attempt].hparams["nested"]["n"])
        self.handle(AttemptFinished(self.time_s, attempt, self.time_s - 1, "node", outcome or Success(metric, {"extra": 1})))

    def act(self, data: st.DataObject, *, may_stop: bool = True) -> None:
        """Let one thing happen."""
        self.time_s += 1
        attempt = data.draw(st.sampled_from(sorted(self.wanted)), label="attempt")
        kinds = ["finish", "finish", "start", "report", "lose", "fail", "restart"] + (["stop", "pause", "kill"] if may_stop else [])
        match data.draw(st.sampled_from(kinds), label="kind"):
            case "finish":
                self.finish(attempt)
            case "start" if self.trials[attempt.trial].state.value == "PENDING":
                self.handle(AttemptStarted(self.time_s, attempt, "node"))
            case "report":
                saved = Saved(1, f"{attempt}.1", 1.0, 10, "ab", {"note": "n"})
                measured = Measured(2, data.draw(st.booleans(), label="validation"), 1.0, {"loss": 0.5})
                self.handle(AttemptReported(self.time_s, attempt, (Resumed(0), saved, measured, Progressed(3, 1.0))))
            case "lose":
                self.handle(AttemptLost(self.time_s, attempt, "node", "the worker went away"))
            case "fail":
                self.finish(attempt, Failure(FailureKind.EXIT_CODE, "exit status 3", "log"))
            case "restart":
                self.start(max_trials=20, max_restarts=1)
            case "stop":
                self.handle(RunStopping(self.time_s, StopReason.TIMEOUT, data.draw(st.sampled_from(Ending), label="ending")))
            case "pause":
                self.handle(Requested(self.time_s, Action.PAUSE))
            case "kill":
                self.handle(Requested(self.time_s, Action.KILL, attempt.trial))
            case _:
                pass


def replayed(turns: list[Turn], state: ExperimentState) -> ExperimentState:
    """Fold the events of `turns` into a fresh state, through JSON, as a restarted driver does."""
    for turn in turns:
        again = state.handle(event_from_json(json.loads(json.dumps(turn.event.to_json()))))
        assert again == turn
    return state
