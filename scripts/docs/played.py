"""A search played on the simulated engine, with what each attempt did written down. Nothing is drawn here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shadho_like.control import RunOptions
from shadho_like.engine.base import Launch, Update
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.events import AttemptFinished, AttemptLost, AttemptStarted
from shadho_like.experiment import Experiment
from shadho_like.journal import Journal
from shadho_like.paths import ExperimentPaths
from shadho_like.searcher import BuiltInMethod
from shadho_like.trial import Attempt, AttemptId, Hyperparameters, Success


@dataclass(slots=True)
class Run:
    """What became of an attempt.

    Attributes:
        trial: its number.
        hparams: its trial's.
        trained: the length that the trial had been trained to before.
        length: the one that it was to reach.
        parent: the trial from whose checkpoint it began, where that is another.
        began_s, ended_s: in the world's seconds.
        metric: what it reported; None if it was lost, failed or was stopped.
        lost: whether its worker went away.
    """

    trial: int
    hparams: Hyperparameters
    trained: int
    length: int
    parent: int | None
    began_s: float
    ended_s: float = 0.0
    metric: float | None = None
    lost: bool = False


@dataclass
class Played:
    """All attempts in the order in which they began."""

    runs: list[Run] = field(default_factory=list)

    @property
    def took_s(self) -> float:
        """When the last attempt ended."""
        return max(run.ended_s for run in self.runs)

    @property
    def trials(self) -> int:
        """How many trials began."""
        return 1 + max(run.trial for run in self.runs)

    @property
    def best(self) -> Run:
        """The attempt with the least metric, of those that trained longest."""
        return min((run for run in self.runs if run.metric is not None), key=lambda run: (-run.length, run.metric))


class RecordingEngine(SimulatedEngine):
    """The simulated engine, which writes down what it does."""

    def __init__(self, world: World) -> None:
        super().__init__(world, 0.0)
        self.played = Played()
        self._attempts: dict[AttemptId, Attempt] = {}
        self._open: dict[AttemptId, Run] = {}

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Start attempts."""
        self._attempts |= {attempt.id: attempt for attempt in attempts}
        super().submit(attempts)

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Stop attempts."""
        for attempt in attempts:
            self._end(attempt)
        super().cancel(attempts)

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        """Return what happens next."""
        updates = super().wait(timeout_s, wake_fd)
        for update in updates:
            if isinstance(update, AttemptStarted):
                self._begin(self._attempts[update.attempt], update.time_s)
            elif isinstance(update, AttemptFinished):
                self._end(update.attempt, metric=update.outcome.metric if isinstance(update.outcome, Success) else None)
            elif isinstance(update, AttemptLost):
                self._end(update.attempt, lost=True)
        return updates

    def _begin(self, attempt: Attempt, time_s: float) -> None:
        parent = int(attempt.start_from) if attempt.start_from is not None and not attempt.trained else None
        run = Run(attempt.id.trial, attempt.hparams, self.trained(attempt), attempt.length, parent, float(time_s))
        self.played.runs.append(run)
        self._open[attempt.id] = run

    def _end(self, attempt: AttemptId, *, metric: float | None = None, lost: bool = False) -> None:
        run = self._open.pop(attempt, None)
        if run is not None:
            run.ended_s, run.metric, run.lost = float(self.now()), metric, lost


def play(method: BuiltInMethod, world: World, after_each: Callable[[float], None] = lambda _: None) -> Played:
    """Play a search to its end.

    Args:
        method: in its initial state.
        world: where.
        after_each: called with the time, in seconds, after each step of the search.
    """
    engine = RecordingEngine(world)
    with tempfile.TemporaryDirectory() as folder:
        paths = ExperimentPaths(Path(folder))
        journal = Journal(paths, {"name": "played", "metric": "loss", "seed": 0, "smaller_is_better": True, "method": {"keys": {}}})
        try:
            launch = Launch("played", paths, other_metrics=tuple(method.metrics)[1:])
            for _ in Experiment(journal, method).run(engine, launch, RunOptions()):
                after_each(engine.now())
        finally:
            journal.close()
    return engine.played
