"""Runners of a user's own search method over an experiment configuration, as code written for Determined has them: from a process
of one's own, or from inside a trial, whose checkpoints then hold the search.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shadho_like.configured import search_of
from shadho_like.driver import Shadho
from shadho_like.errors import OptionError
from shadho_like.experiment import Step
from shadho_like.experiment_config import CUSTOM, ExperimentConfig, read_config
from shadho_like.journal import copy_journal
from shadho_like.paths import ExperimentPaths
from shadho_like.searcher.base import SearcherState, SearchMethod
from shadho_like.trial import TrialState


class LocalSearchRunner:
    """Runs a search method of your own from this process; started again with the same folder, it carries on.

    Args:
        search_method: decides which trials there are.
        searcher_dir: where everything is kept; by default `./experiments/<name of the experiment>`.

    Attributes:
        state: what the search method is shown of the search.
        best_value: the best metric, once there is one.
    """

    def __init__(self, search_method: SearchMethod, searcher_dir: str | Path | None = None) -> None:
        self._search_method = search_method
        self._searcher_dir = searcher_dir
        self.state = SearcherState()
        self.best_value: float | None = None

    def run(
        self,
        exp_config: Mapping[str, Any] | str | Path,
        model_dir: str | Path | None = None,
        includes: Iterable[str | Path] | None = None,
    ) -> str:
        """Run the search to its end, and return the experiment's id.

        Args:
            exp_config: the experiment's configuration, or a YAML file with it: `entrypoint` (a command), `searcher` (its `name` is
                custom, `metric`, `smaller_is_better`), and, where wanted, `name`, `max_restarts`, `resources`, `hyperparameters`, `engine`.
            model_dir: a folder, in a copy of which the entrypoint is run.
            includes: more files and folders to put there.

        Raises:
            OptionError: something in the configuration is wrong.
            MethodError: the search method raised; everything before is kept.
        """
        config = _checked(exp_config)
        opt = search_of(config, name="custom", directory=self._searcher_dir, method=self._search_method)
        for path in (*_entries(model_dir), *(includes or ())):
            opt.add_input_file(path)
        opt.listeners.append(lambda step: self._on_step(opt, step))
        try:
            self.best_value = opt.run().best_value
        finally:
            self.state = opt.searcher_state
        return self.state.experiment_id

    def _on_step(self, opt: Shadho, step: Step) -> None:
        """Take note of where the search stands."""
        del step
        self.state = opt.searcher_state


class CoreSearchRunner(LocalSearchRunner):
    """Does the same from inside a trial: the search is kept in that trial's checkpoints, so that it survives its machine.

    Args:
        search_method: decides which trials there are.
        context: of the trial that runs the search, from `shadho_worker.init`.
    """

    def __init__(self, search_method: SearchMethod, context: Any) -> None:
        self._directory = Path("core_search").absolute()
        super().__init__(search_method, self._directory)
        self._context = context
        self._saved: Mapping[TrialState, int] = {}

    def run(
        self,
        exp_config: Mapping[str, Any] | str | Path,
        model_dir: str | Path | None = None,
        includes: Iterable[str | Path] | None = None,
    ) -> str:
        """Run the search to its end, from where the latest checkpoint has it, and complete the trial with the best metric.

        Where its trials reported no numbers, with 0.

        Raises:
            OptionError, MethodError: as `LocalSearchRunner.run`.
        """
        if self._context.latest_checkpoint is not None and not self._directory.exists():
            with self._context.latest_checkpoint as path:
                shutil.copytree(path, self._directory)
        experiment_id = super().run(exp_config, model_dir, includes)
        numberless = self.best_value is None and self.state.trial_progress
        for operation in self._context.searcher.operations():
            operation.report_completed(0.0 if numberless else self.best_value)
        return experiment_id

    def _on_step(self, opt: Shadho, step: Step) -> None:
        """Keep the search in a checkpoint whenever a trial got further."""
        super()._on_step(opt, step)
        if step.counts == self._saved:
            return
        self._saved = dict(step.counts)
        paths = ExperimentPaths(self._directory)
        with self._context.checkpoint.save_path() as path:
            kept = ExperimentPaths(Path(path))
            copy_journal(paths.journal, kept.journal)
            if paths.checkpoints.is_dir():
                shutil.copytree(paths.checkpoints, kept.checkpoints, ignore=shutil.ignore_patterns(".partial-*"))


RemoteSearchRunner = CoreSearchRunner


def _entries(model_dir: str | Path | None) -> list[Path]:
    if model_dir is None:
        return []
    folder = Path(model_dir)
    if not folder.is_dir():
        message = f"model_dir: there is no folder {str(model_dir)!r} in {os.getcwd()}"
        raise OptionError(message)
    return sorted(path for path in folder.iterdir() if path.name != "__pycache__")


def _checked(exp_config: Mapping[str, Any] | str | Path) -> ExperimentConfig:
    """Return the configuration, which names a search method of the user's own."""
    config = read_config(exp_config)
    if config.searcher.name != CUSTOM:
        message = f"searcher.name must be custom for a search method of your own, not {config.searcher.name!r}"
        raise OptionError(message)
    return config
