"""A real experiment whose engine does what a test says, step by step, beside a model of it in a dict.

What it drives is real: the loop, the journal, the search method, the checkpoints. The model knows only what was told and confirmed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import promises

from shadho_like import checkpoint, requests
from shadho_like.control import RunOptions
from shadho_like.engine.base import EngineStatus, Launch, Update
from shadho_like.errors import JournalError
from shadho_like.events import Action, AttemptFinished, AttemptLost, AttemptStarted, EngineEvent
from shadho_like.experiment import Experiment, Step
from shadho_like.journal import Journal
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Capacity
from shadho_like.searcher.base import BuiltInMethod
from shadho_like.state import MAX_LOST_IN_A_ROW
from shadho_like.trial import Attempt, AttemptId, FailureKind, Success

CONFIG = {"name": "puppet", "seed": 5, "smaller_is_better": True, "metric": "loss"}


@dataclass
class Known:
    """What the model knows of a trial.

    Attributes:
        results: the metric of each length that was confirmed.
        restarts: failures of its own code.
        lost: machines lost in a row.
        length: the length that was last asked for.
        given_up: the last attempt that was lost.
        failed: whether it must be FAILED.
    """

    results: dict[int, float] = field(default_factory=dict)
    restarts: int = 0
    lost: int = 0
    length: int = 0
    given_up: int = 0
    failed: bool = False

    @property
    def trained(self) -> int:
        """The length that it has reached."""
        return max(self.results, default=0)

    def takes_late(self, event: EngineEvent, state: str) -> bool:
        """Return whether a result counts whose attempt was given up as lost: its trial is not over, and nothing was faster."""
        good = isinstance(event, AttemptFinished) and isinstance(event.outcome, Success)
        waits = state in {"PENDING", "RUNNING", "PAUSED"} and self.trained < self.length
        return good and waits and event.attempt.attempt == self.given_up

    def take(self, event: EngineEvent, length: int, max_restarts: int) -> None:
        """Count an event that was confirmed."""
        if isinstance(event, AttemptLost):
            self.lost += 1
            self.failed = self.lost > MAX_LOST_IN_A_ROW
            self.given_up = event.attempt.attempt
        elif isinstance(event, AttemptFinished) and isinstance(event.outcome, Success):
            assert event.outcome.metric is not None
            self.results[length] = event.outcome.metric
            self.lost = 0
        elif isinstance(event, AttemptFinished) and event.outcome.kind is FailureKind.INVALID_HP:  # type: ignore[union-attr]
            self.failed = True
        elif isinstance(event, AttemptFinished) and event.outcome.kind is not FailureKind.PREEMPTED:  # type: ignore[union-attr]
            self.failed = self.restarts >= max_restarts
            self.restarts += not self.failed
            self.lost = 0


@dataclass
class Puppet:
    """An engine of a few slots that says what it is told to say.

    Attributes:
        slots: how many attempts it takes.
        has: the attempts that run.
        says: what the next wait returns.
        submitted: attempts that were submitted and not looked at yet.
    """

    asks: ClassVar[bool] = True

    slots: int
    has: dict[AttemptId, Attempt] = field(default_factory=dict)
    says: list[Update] = field(default_factory=list)
    clock_s: float = 1e9
    submitted: list[Attempt] = field(default_factory=list)

    def open(self, launch: Launch) -> None:
        pass

    def now(self) -> float:
        return self.clock_s

    def room(self) -> int:
        return self.slots - len(self.has)

    def classes(self) -> Sequence[Capacity]:
        return ()

    def submit(self, attempts: Sequence[Attempt]) -> None:
        self.submitted += attempts
        self.has |= {attempt.id: attempt for attempt in attempts}

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        pass

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        for attempt in attempts:
            del self.has[attempt]

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        said, self.says = self.says, []
        self.clock_s += 0.0 if said else timeout_s
        return said

    def status(self) -> EngineStatus:
        return EngineStatus(1, self.slots)

    def close(self) -> None:
        self.has.clear()


class Play:
    """The experiment and its model.

    Args:
        folder: for the experiment's directory, and for each copy that a dead driver leaves.
        fresh: makes the search method.
        slots: of the engine.
        max_restarts, max_trials: see `RunOptions`.

    Attributes:
        engine: what runs.
        model: what is known of each trial.
        told: attempts of which the engine has said something.
        running: whether a driver runs.
    """

    def __init__(self, folder: Path, fresh: Callable[[], BuiltInMethod], slots: int, max_restarts: int, max_trials: int | None) -> None:
        self._folder = folder
        self._fresh = fresh
        self._slots = slots
        self.max_restarts = max_restarts
        self._max_trials = max_trials
        self._lives = 0
        self.model: dict[int, Known] = {}
        self.told: set[AttemptId] = set()
        self.running = False
        self.start()

    @property
    def root(self) -> Path:
        """The experiment's directory now."""
        return self._folder / str(self._lives)

    @property
    def checkpoints(self) -> str:
        """The folder of checkpoints."""
        return str(ExperimentPaths(self.root).checkpoints)

    def start(self, timeout_s: float | None = None, *, drain: bool = False) -> None:
        """Start a driver."""
        paths = ExperimentPaths(self.root)
        checkpoint.make_root(paths.checkpoints)
        self.engine = Puppet(self._slots)
        self._journal = Journal(paths, CONFIG)
        self.experiment = Experiment(self._journal, self._fresh())
        options = RunOptions(timeout_s, self._max_trials, self.max_restarts, drain)
        self._steps: Iterator[Step] = self.experiment.run(self.engine, Launch("puppet", paths, command="true"), options)
        self.running = True
        self.step()

    def step(self) -> None:
        """Let the loop go on by one pass; a driver whose run is over closes its journal."""
        if next(self._steps, None) is None:
            self._journal.close()
            self.running = False
        for attempt in self.engine.submitted:
            known = self.model.setdefault(attempt.id.trial, Known())
            promises.keep([f"{attempt} is run again"] if attempt.id in self.told else [])
            promises.keep([f"{attempt} is run for nothing"] if not known.trained < attempt.length or known.failed else [])
            known.length = attempt.length
            promises.keep([f"{attempt} begins at another length than {known}"] if attempt.trained != known.trained else [])
        self.engine.submitted.clear()

    def tell(self, *events: EngineEvent) -> None:
        """Have the engine say something, and the loop take it in."""
        self.engine.clock_s += 1
        self.engine.says += events
        for event in events:
            known = self.model[event.attempt.trial]
            if event.attempt in self.engine.has and not isinstance(event, AttemptStarted):
                # The engine has it no more; one that is told of again is no news.
                known.take(event, self.engine.has.pop(event.attempt).length, self.max_restarts)
            elif known.takes_late(event, promises.told(self.root)[event.attempt.trial][2]):
                known.take(event, known.length, self.max_restarts)
            self.told.add(event.attempt)
        self.step()
        if self.running:
            # What became wanted is submitted before the next wait.
            self.step()

    def wish(self, action: Action) -> None:
        """Have the user ask for something from another terminal, and the loop hear of it."""
        requests.leave(ExperimentPaths(self.root).requests, action)
        self.step()

    def tell_full_disk(self, event: EngineEvent) -> None:
        """Have the engine say something that the journal cannot take: the driver ends, and it was never said."""
        self._journal._db.execute("PRAGMA query_only = ON")
        self.engine.says.append(event)
        with suppress(JournalError):
            next(self._steps)
            raise AssertionError
        self._journal.close()
        self.running = False

    def die(self) -> None:
        """Kill the driver: what is on the disk at this instant is all that is left."""
        before = self.root
        self._lives += 1
        shutil.copytree(before, self.root)
        self._steps.close()  # type: ignore[attr-defined]
        self._journal.close()
        shutil.rmtree(before)
        self.running = False

    def end(self) -> None:
        """Stop whatever runs, without any check."""
        if self.running:
            self._steps.close()  # type: ignore[attr-defined]
            self._journal.close()

    def check(self) -> None:
        """Compare the journal with the model."""
        told: dict[int, Any] = dict(promises.told(self.root))
        for number, known in self.model.items():
            _, _, state, _, validated, metric, restarts = told[number]
            expected = (known.trained, known.results.get(known.trained), known.restarts)
            if (validated, metric, restarts) != expected or (state == "FAILED") != known.failed:
                promises.keep([f"trial {number} is {told[number]}, and should be {known}"])
