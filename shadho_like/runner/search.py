"""What the runner knows of one search, whichever kind it is: its points, their verdicts, and what it all comes to in the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shadho_worker

from shadho_like.errors import UserError
from shadho_like.runner.jobs import ExperimentJob, GPUJobResult
from shadho_like.runner.plan import Plan
from shadho_like.searcher import BuiltInMethod
from shadho_like.trial import Hyperparameters, Outcome, Trial

Kept = Callable[[ExperimentJob], GPUJobResult | None]
"""Returns what became of a job in this run or an earlier one, None if that is not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search comes to.

    Attributes:
        returned: what the user's call returns.
        filed: what its file holds, besides times.
        lines: what is said of it.
    """

    returned: Any
    filed: dict[str, Any]
    lines: tuple[str, ...]


class Search(ABC):
    """One search. A trial of its experiment is a point; a point's jobs make up one attempt.

    Args:
        plan: its points.

    Attributes:
        plan: its points.
        base_dir: its folder.
    """

    kind: str
    """What it is called in the names of its files."""
    independent: bool
    """Whether each of its points is wanted whatever becomes of the others."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.base_dir = Path(plan.search.base_dir)

    @property
    def directory(self) -> Path:
        """Where its journal is."""
        return (self.base_dir / self.kind).absolute()

    @abstractmethod
    def method(self, slots: int) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Return the name, the space and the keys of its search method, for so many jobs at once."""

    @abstractmethod
    def points(self, hparams: Hyperparameters) -> list[dict[str, Any]]:
        """Return the values of each of a trial's jobs, in the order of the sweep."""

    def jobs(self, hparams: Hyperparameters) -> list[ExperimentJob]:
        """Return a trial's jobs.

        Raises:
            OptionError: the search's config cannot make one.
        """
        return [self.plan.job(values) for values in self.points(hparams)]

    def kept_results(self, hparams: Hyperparameters, kept: Kept) -> list[GPUJobResult] | None:
        """Return the results of a trial's jobs, None if one is not known."""
        results = [result for job in self.jobs(hparams) if (result := kept(job)) is not None]
        return results if len(results) == len(self.points(hparams)) else None

    @abstractmethod
    def outcome(self, hparams: Hyperparameters, results: list[GPUJobResult]) -> Outcome:
        """Return what the results of a trial's jobs come to.

        Raises:
            UserError: `agg_results` failed.
        """

    @abstractmethod
    def next_point(self, waiting: Sequence[Hyperparameters], running: Sequence[Hyperparameters]) -> int:
        """Return the place of the trial that is to begin next."""

    @abstractmethod
    def is_outdated(self, trials: Iterable[Trial], kept: Kept) -> bool:
        """Return whether a journal's trials say something else than their jobs' results do now.

        Raises:
            UserError: `agg_results` failed.
        """

    @abstractmethod
    def answer(self, method: BuiltInMethod, trials: Iterable[Trial], kept: Kept) -> Answer | None:
        """Return what the search comes to, with all of it done; None if a job's result is not known.

        Raises:
            UserError: `agg_results` failed.
        """

    @abstractmethod
    def standing(self, method: BuiltInMethod) -> str:
        """Return in a few words how far it is."""

    @abstractmethod
    def left_s(self, method: BuiltInMethod, done: int, job_s: float, slots: float) -> float:
        """Return about how long it will still take, with so many jobs done, if one takes `job_s` seconds and so many run at once."""

    def aggregated(self, results: list[GPUJobResult], where: str) -> Any:
        """Return what the user makes of results.

        Raises:
            UserError: the user's method failed.
        """
        try:
            return self.plan.search.agg_results(results)
        except Exception as error:
            raise self.aggregation_error(f"failed{where}: {shadho_worker.describe(error)[0]}") from error

    def aggregation_error(self, text: str) -> UserError:
        """Return the error that says what `agg_results` did wrong."""
        kind = type(self.plan.search).__name__
        way_out = "all finished jobs are kept: correct it and start again"
        return UserError(f"{self.plan.called}: {kind}.agg_results {text}; {way_out}")
