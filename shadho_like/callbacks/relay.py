"""Tells callbacks what the loop committed, and keeps what goes wrong in them away from the search."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from shadho_like.callbacks.base import Callback, Search
from shadho_like.events import AttemptFinished, AttemptReported
from shadho_like.experiment import Step
from shadho_like.journal import JournalReader
from shadho_like.paths import ExperimentPaths
from shadho_like.plain_text import harmless, without_secrets
from shadho_like.reports import Measured
from shadho_like.trial import Success, Trial
from shadho_like.turn import Turn

if TYPE_CHECKING:
    from typing_extensions import Self

_MOST_FAULTS = 5
_LONGEST = 300
_READ = 4000

Call = tuple[str, tuple[Any, ...]]
"""The name of a method of `Callback`, and its arguments."""


class Relay:
    """The way from the loop to callbacks, for one run of the driver. A context manager.

    Args:
        callbacks: who is told.
        paths: the experiment's.
        notice: prints a line.
    """

    def __init__(self, callbacks: Sequence[Callback], paths: ExperimentPaths, notice: Callable[[str], None]) -> None:
        self._callbacks = list(callbacks)
        self._faults = Counter[tuple[int, str]]()
        self._directory = paths.root
        self._notice = notice
        self._trials: dict[int, Trial] = {}
        self._search: Search | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        del kind, error, trace
        if self._search is not None:
            self._tell("end")

    def take(self, step: Step) -> None:
        """Tell what a pass of the loop committed."""
        if not self._callbacks:
            return
        if self._search is None:
            self._search = _search(self._directory)
            self._tell("begin", self._search)
        for turn in step.turns:
            for method, arguments in self._calls(turn):
                self._tell(method, *arguments)

    def _calls(self, turn: Turn) -> Iterator[Call]:
        self._trials.update((trial.number, trial) for trial in turn.trials)
        event = turn.event
        if isinstance(event, AttemptReported):
            trial = self._trial(event.attempt.trial)
            for report in event.reports:
                if isinstance(report, Measured):
                    yield "measured", (trial, "validation" if report.validation else "training", report.steps, report.metrics)
        elif isinstance(event, AttemptFinished) and isinstance(event.outcome, Success):
            trial = self._trial(event.attempt.trial)
            numbers = {name: value for name, value in trial.metrics.items() if type(value) in {int, float}}
            metric = {} if trial.metric is None else {self._metric: trial.metric}
            yield "measured", (trial, "result", trial.validated, {**numbers, **metric})
        for trial in turn.trials:
            if trial.state.final:
                self._trials.pop(trial.number, None)
                yield "ended", (trial,)

    @property
    def _metric(self) -> str:
        assert self._search is not None
        return self._search.metric

    def _trial(self, number: int) -> Trial:
        """Return a trial; one that an earlier driver began may not have changed since."""
        if number not in self._trials:
            with JournalReader(self._directory) as journal:
                self._trials[number] = journal.trial(number)
        return self._trials[number]

    def _tell(self, method: str, *arguments: Any) -> None:
        """Call all callbacks; whatever a library raises is no reason to end a search."""
        for callback in list(self._callbacks):
            try:
                getattr(callback, method)(*arguments)
            except Exception as error:
                self._failed(callback, method, error)
            else:
                self._faults.pop((id(callback), method), None)

    def _failed(self, callback: Callback, method: str, error: Exception) -> None:
        self._faults[id(callback), method] += 1
        faults = self._faults[id(callback), method]
        name = type(callback).__name__
        what = harmless(without_secrets(f"{type(error).__name__}: {error}"[:_READ]), _LONGEST)
        last = faults >= _MOST_FAULTS
        self._notice(f"callback {name}: {what}" + (f"; that was the {faults}th time in a row, and it is not called again" if last else ""))
        if last:
            self._callbacks.remove(callback)


def _search(directory: Path) -> Search:
    with JournalReader(directory) as journal:
        config, first = journal.config, next(journal.records())
        _, _, run, *_ = json.loads(first.event)
        # What the first run was called is in copies of the experiment too, which have ids of their own.
        experiment_id = journal.id or str(run)[:12]
        starts = len(journal.gaps()) + 1
    return Search(
        id=experiment_id,
        name=config["name"],
        directory=directory,
        metric=config["metric"],
        smaller_is_better=config["smaller_is_better"],
        method=config["method"]["name"],
        resumed=starts > 1,
    )
