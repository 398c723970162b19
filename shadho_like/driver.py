"""`Shadho`: what a user's `driver.py` makes and runs. Options in, calls out; the search itself is the experiment's."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shadho_like import requests, searcher
from shadho_like.arguments import (
    check_metrics,
    check_numbers,
    check_shared_tasks,
    checked_environment,
    checked_priority,
    positional,
    slice_of,
)
from shadho_like.callbacks.base import Callback
from shadho_like.callbacks.relay import Relay
from shadho_like.checkpoint_policy import CheckpointPolicy
from shadho_like.checkpoint_storage import CheckpointStorage
from shadho_like.compute_classes import assignment, check_new, unused
from shadho_like.context_command import in_context
from shadho_like.control import RunOptions
from shadho_like.dispatch import Assignment
from shadho_like.engine import ENGINES
from shadho_like.engine.base import Engine, InputFile, Launch, OutputFile
from shadho_like.errors import OptionError
from shadho_like.events import Action
from shadho_like.experiment import Experiment, Step
from shadho_like.identity import check_unchanged, grown_keys
from shadho_like.input_files import input_file, output_file, warn_of_missing
from shadho_like.interrupts import SignalInterrupts
from shadho_like.journal import Journal
from shadho_like.known_experiments import remember
from shadho_like.paths import ExperimentPaths
from shadho_like.progress import Progress, print_result
from shadho_like.recipes import kept_concurrency, recipe_of
from shadho_like.registry import lookup
from shadho_like.resources import ComputeClass
from shadho_like.result import Result
from shadho_like.searcher import BuiltInMethod, SearcherState, SearchMethod
from shadho_like.settings import Settings
from shadho_like.shared_checkpoints import claim, shared_root
from shadho_like.space import Space, TrialGenerator, as_space, first_generator

_QUEUED_TASKS = 100


class Shadho:
    """A search: what to evaluate, over which space, and where.

    Called as `Shadho(cmd, space, ...)` or `Shadho(exp_key, cmd, space, ...)`.

    Args:
        cmd: a shell command, run in a folder of its own that holds the input files, or a Python callable of one argument.
        space: the search space: a nested dict of domains (`rand`), scopes (`spaces`), lists (a choice) and constants.
        exp_key: the experiment's name, the same as `name`.
        method: the search method's name, one made by `searcher.create`, or a SearchMethod of your own.
        timeout: seconds after which the search ends; None for no limit.
        max_tasks: how many trials there may be in total, those of earlier runs counted; None for no limit.
        max_queued_tasks: how many tasks may be open at once, waiting or running.
        await_pending: at the end of the time, let running trials finish.
        max_evals: how often each sample is evaluated; its metric is the mean.
        max_resubmissions: how often a trial is tried again after its own code failed. A lost machine costs none of these.
        hyperparameters_per_task: how many trials share one task on a worker.
        seed: the same seed gives the same trials; by default one is drawn and kept with the experiment.
        files: input files, as `add_input_file` takes them.
        name: the experiment's name.
        directory: where everything is kept, by default `./experiments/<name>`.
        engine: "local", "workqueue", an Engine (a `SimulatedEngine`, for one), or "auto": Work Queue where `config.workqueue.name`
            is set, else local.
        workers: on the local engine, how many trials run at once (by default as many as cores); 0 evaluates in this process.
        trial_timeout: seconds after which one trial is killed.
        preemption_timeout: seconds that a trial has to take a checkpoint when it is asked to end; then it is killed.
        slice: after so many seconds, or so much training ("3 units"), a trial that takes checkpoints ends, to go on in another
            attempt: on Work Queue, where nothing reaches a running trial, this is what a pause waits for. None for no slices.
        checkpoint_storage: where checkpoints are kept: `{"type": "shared_fs", "path": "/a/folder/that/all/machines/see"}`, or
            `{"type": "transfer"}`, the default: they come back to the experiment's directory with the trials.
        checkpoint_policy: how many are kept, by default `{"save_experiment_best": 0, "save_trial_best": 1, "save_trial_latest": 1}`.
        max_slots: how many GPUs the running trials may have together; where a trial asks for none it counts as one. None for no limit.
        priority: 1 to 99: of several searches of one name in `$SHADHO_HOME`, workers go to the smallest first; above 42, trials on this
            machine yield its processors to others.
        environment: environment variables of every trial, by name.
        min_checkpoint_period, min_validation_period: training after which `context` asks a trial's loop to save a checkpoint, to validate.
        metric: the name of the searched metric where the objective returns several; where all of them are searched, of the one to show.
        smaller_is_better: whether the metric is minimised.
        use_complexity, use_priority: give trials to compute classes by SHADHO's ranks of their leaf spaces, not by measured run times.
        use_uncertainty: the same as `use_priority`.
        resume: whether to carry on where the directory holds this experiment; False refuses to.

    Attributes:
        config: settings of the cluster, `.shadhorc` read: `config.workqueue.name = "x"`.
        about: what is kept with the experiment for people and programs, any JSON: its description, its labels, its configuration.
        callbacks: told of what trials report and how they end, see `shadho_like.callbacks`: `opt.callbacks.append(TensorBoard("runs"))`.
        listeners: called after each pass of the loop with where the search stands; all that it counts is on the disk.
        searcher_state: what the search method is shown of the search; of no meaning before `run`.

    Raises:
        UserError: anything that is wrong in the arguments, with what to do about it.
    """

    def __init__(
        self,
        *experiment: Any,
        method: str | SearchMethod = "random",
        timeout: float | None = 600,
        max_tasks: int | None = None,
        max_queued_tasks: int | None = None,
        await_pending: bool = False,
        max_evals: int = 1,
        max_resubmissions: int = 0,
        hyperparameters_per_task: int = 1,
        seed: int | None = None,
        files: Iterable[str | Path] = (),
        name: str | None = None,
        directory: str | Path | None = None,
        engine: str | Engine = "auto",
        workers: int | None = None,
        trial_timeout: float | None = None,
        preemption_timeout: float = 60,
        slice: float | str | None = None,  # noqa: A002 - the option's name
        checkpoint_storage: Mapping[str, Any] | CheckpointStorage | None = None,
        checkpoint_policy: Mapping[str, int] | CheckpointPolicy | None = None,
        max_slots: int | None = None,
        priority: int | None = None,
        environment: Mapping[str, str] | None = None,
        min_checkpoint_period: int | None = None,
        min_validation_period: int | None = None,
        metric: str = "loss",
        smaller_is_better: bool = True,
        use_complexity: bool = False,
        use_priority: bool = False,
        use_uncertainty: bool = False,
        resume: bool = True,
        **other: Any,
    ) -> None:
        exp_key, self._cmd, space = positional(experiment, other, _OPTIONS)
        self._space: Space = as_space(space)
        self._name, self._directory = name or exp_key, directory
        check_numbers(timeout=timeout, trial_timeout=trial_timeout, preemption_timeout=preemption_timeout, max_tasks=max_tasks)
        check_numbers(hyperparameters_per_task=hyperparameters_per_task, max_slots=max_slots, priority=priority, max_evals=max_evals)
        check_numbers(min_checkpoint_period=min_checkpoint_period, min_validation_period=min_validation_period)
        check_numbers(minimum=0, max_resubmissions=max_resubmissions, seed=seed, workers=workers)
        check_numbers(max_queued_tasks=max_queued_tasks)
        concurrency = (max_queued_tasks or _QUEUED_TASKS) * hyperparameters_per_task
        self._custom = method if isinstance(method, SearchMethod) and not isinstance(method, BuiltInMethod) else None
        self._recipe = recipe_of(method, concurrency, smaller_is_better=smaller_is_better)
        seed = self._recipe.seed if seed is None else seed
        self._options = RunOptions(timeout, max_tasks, max_resubmissions, await_pending, preemption_timeout, slice is not None)
        self._slice_s, self._slice_length = slice_of(slice)
        self._checkpoint_storage = CheckpointStorage.read(checkpoint_storage)
        self._checkpoint_policy = CheckpointPolicy.read(checkpoint_policy)
        self._max_slots = max_slots
        self._of_trials: dict[str, Any] = {
            "trial_timeout_s": trial_timeout,
            "preemption_timeout_s": preemption_timeout,
            "priority": checked_priority(priority),
            "environment": checked_environment(environment),
            "min_checkpoint_period": min_checkpoint_period,
            "min_validation_period": min_validation_period,
        }
        self._seed = seed
        self._engine, self._workers = engine, workers
        self._evaluations = max_evals
        self._trials_per_task = hyperparameters_per_task
        self._metric = metric
        self._smaller_is_better = smaller_is_better
        self._use_complexity, self._use_priority = use_complexity, use_priority or use_uncertainty
        self._resume = resume
        self._inputs: list[InputFile] = []
        self._outputs: list[OutputFile] = []
        self.compute_classes: list[ComputeClass] = []
        self.config = Settings.load()
        self.about: Mapping[str, Any] = {}
        self.searcher_state = SearcherState()
        self.listeners: list[Callable[[Step], None]] = []
        self.callbacks: list[Callback] = []
        made = self._made_method(self._recipe.name, self._recipe.keys, 0)
        self._metrics = made.metrics if isinstance(made, BuiltInMethod) else {}
        check_metrics(self._metrics, metric, smaller_is_better=smaller_is_better, max_evals=max_evals)
        if hyperparameters_per_task > 1:
            check_shared_tasks(self._cmd, max_slots)
        for file in files:
            self.add_input_file(file)

    def add_input_file(self, localpath: str | Path, remotepath: str | None = None, cache: bool = True) -> None:
        """Send a file or folder with every trial, as `remotepath` (by default its name) in the trial's folder.

        Args:
            localpath: a file here.
            remotepath: a relative path there.
            cache: whether workers may keep it between trials.

        Raises:
            OptionError: there is no such file, or the remote path is taken or leaves the trial's folder.
        """
        self._inputs.append(input_file(localpath, remotepath, cache=cache, taken=self._inputs))

    def add_output_file(self, localpath: str | Path, remotepath: str | None = None, cache: bool = False) -> None:
        """Bring a file back from every trial, into the trial's folder of the experiment's directory.

        Args:
            localpath: a relative path in the trial's folder here.
            remotepath: a relative path there, by default the file's name.
            cache: whether workers may keep it.

        Raises:
            OptionError: a path is taken or leaves its folder.
        """
        self._outputs.append(output_file(localpath, remotepath, cache=cache, taken=self._outputs))

    def add_compute_class(self, name: str, resource: str, value: str | float, max_queued_tasks: int = 100) -> None:
        """Name a set of workers with the same hardware. Each trial then runs in one of the classes, where it pays most.

        Args:
            name: how to call it.
            resource: what a trial needs of a worker: an amount of `cores`, `gpus`, `memory`, `disk` or `gpu_memory` (MiB), a `gpu_model`,
                or any other feature that they advertise: "site" with the value "x" is `wq_worker --feature site=x`.
            value: the value of that resource.
            max_queued_tasks: how many tasks may wait for it.

        Raises:
            OptionError: the name or the workers are another class's, or a number cannot be.
        """
        declared = ComputeClass(name, resource, value, max_queued_tasks)
        check_new(declared, self.compute_classes)
        self.compute_classes.append(declared)

    @property
    def name(self) -> str:
        """The experiment's name: as given, else Work Queue's, else the objective's or the script's."""
        given = self._name or self.config.workqueue.name
        callable_name = getattr(self._cmd, "__name__", "")
        return given or (callable_name if callable_name.isidentifier() else "") or Path(sys.argv[0]).stem or "search"

    @property
    def directory(self) -> Path:
        """Where everything of this experiment is kept."""
        if self._directory is not None:
            return Path(self._directory).absolute()
        if Path(self.name).name != self.name or self.name in {"", ".", ".."}:
            message = f"name {self.name!r} cannot name a folder; give another, or a directory="
            raise OptionError(message)
        return Path("experiments", self.name).absolute()

    def run(self) -> Result:
        """Run to the end of the time, of `max_tasks` or of the search method; print and return what was found.

        The same driver run again carries on: `max_tasks` counts the trials already there, and the time starts again.

        Raises:
            ExperimentChanged: the directory holds an experiment with another space, command, method, metric or seed.
            WorldError: another driver works on it, the disk is full, Work Queue is missing, ... All finished trials are kept.
        """
        engine = self._made_engine()
        launch = self._launch()
        journal = Journal(launch.paths, self._described(self._seed if self._seed is not None else secrets.randbits(31)))
        try:
            return self._search(journal, engine, launch)
        finally:
            journal.close()

    def pause(self) -> None:
        """Have running trials take a checkpoint and stop, and start none until `activate`; may be called from any thread."""
        self._leave(Action.PAUSE)

    def activate(self) -> None:
        """Go on after a pause."""
        self._leave(Action.ACTIVATE)

    def cancel(self) -> None:
        """Have running trials take a checkpoint and stop, and end the experiment."""
        self._leave(Action.CANCEL)

    def kill(self, trial: int | None = None) -> None:
        """End the experiment, or one trial of it, at once."""
        self._leave(Action.KILL, trial)

    def _leave(self, action: Action, trial: int | None = None) -> None:
        requests.leave(ExperimentPaths(self.directory).requests, action, trial=trial)

    @property
    def _engine_name(self) -> str:
        if self._engine == "auto":
            return "workqueue" if self.config.workqueue.name else "local"
        return self._engine if isinstance(self._engine, str) else ""

    def _made_engine(self) -> Engine:
        if not isinstance(self._engine, str):
            return self._engine
        name = self._engine_name
        if name == "simulated":
            message = "a simulated search needs a model of its trials: engine=SimulatedEngine(World(duration, metric, workers=500))"
            raise OptionError(message)
        made: Engine
        if name == "local" and self._workers == 0:
            if not callable(self._cmd):
                message = "workers=0 evaluates in this process, which a shell command cannot: leave workers out"
                raise OptionError(message)
            made = lookup("engine", "inprocess", ENGINES)()
        elif name == "workqueue":
            made = lookup("engine", name, ENGINES)(self.config.workqueue.engine_options(self.name))
        else:
            made = lookup("engine", name, ENGINES)(self._workers)
        return made

    def _search(self, journal: Journal, engine: Engine, launch: Launch) -> Result:
        config = journal.config
        self._space.generator = first_generator if journal.draws_as_first else TrialGenerator
        method, asked = self._made_method(**config["method"], seed=config["seed"]), self._described(config["seed"])
        grown = grown_keys(config, asked, method.extensible if isinstance(method, BuiltInMethod) else ())
        check_unchanged(config, asked if self._seed is None else self._described(self._seed), launch.paths.root, grown)
        if not self._resume and not journal.new:
            message = f"{launch.paths.root} holds this experiment already, and resume is False: give another name= or directory="
            raise OptionError(message)
        launch = replace(launch, checkpoints=shared_root(journal, self._checkpoint_storage, launch.paths.root))
        experiment = Experiment(journal, method, self._assignment())
        self.searcher_state = experiment.state.searcher
        running, shown = 0, (self._metric, self._options.timeout_s, self._options.max_trials, os.path.relpath(launch.paths.root))
        journal.keep("command", {"argv": sys.orig_argv, "cwd": str(Path.cwd())})
        if self.about:
            journal.keep("about", self.about)
        # With workers=0 the objective runs here, and the terminal may be its own.
        interrupts = SignalInterrupts(key=self._workers != 0)
        progress = Progress(*shown, lambda: interrupts.listens)
        with interrupts, progress, Relay(self.callbacks, launch.paths, progress.notice) as relay:
            kept = kept_concurrency(config["method"]["keys"], self._recipe.keys)
            missing, idle = warn_of_missing(self._cmd, self._inputs), unused(self.compute_classes, self._engine_name)
            found = (*remember(journal, launch.paths.root), *claim(journal, launch.checkpoints, launch.paths.root))
            for notice in (*found, *missing, *kept, *idle):
                progress.notice(notice)
            for step in experiment.run(engine, launch, replace(self._options, grown=grown), interrupts):
                running = step.stopped
                progress.update(step)
                for listener in (*self.listeners, relay.take):
                    listener(step)
        result = Result(launch.paths.root, running=running)
        print_result(result)
        return result

    def _assignment(self) -> Assignment:
        ranks = {"use_complexity": self._use_complexity, "use_priority": self._use_priority}
        return assignment(self._space, self.compute_classes, **ranks)

    def _made_method(self, name: str, keys: Mapping[str, Any], seed: int) -> SearchMethod:
        """Return the search method in its initial state; a user's own is brought to what the journal holds later."""
        if self._custom is not None:
            return self._custom
        return searcher.create(name, self._space, seed=seed, smaller_is_better=self._smaller_is_better, **keys)

    def _launch(self) -> Launch:
        command, objective = (None, self._cmd) if callable(self._cmd) else (in_context(self._cmd, self._inputs), None)
        resources = self.config.workqueue.resources()
        return Launch(
            experiment=self.name,
            paths=ExperimentPaths(self.directory),
            command=command,
            objective=objective,
            input_files=tuple(self._inputs),
            output_files=tuple(self._outputs),
            metric=self._metric,
            other_metrics=tuple(name for name in self._metrics if name != self._metric),
            # The mean of several evaluations is that of numbers.
            any_json=self._custom is not None and self._evaluations == 1,
            evaluations=self._evaluations,
            trials_per_task=self._trials_per_task,
            resources=resources,
            most_running=None if self._max_slots is None else resources.trials_in(self._max_slots),
            **self._of_trials,
            compute_classes=tuple(self.compute_classes),
            checkpoint_policy=self._checkpoint_policy,
            slice_s=self._slice_s,
            slice_length=self._slice_length,
        )

    def _described(self, seed: int) -> dict[str, Any]:
        """Return what makes this experiment the one that it is, as the journal keeps it."""
        return {
            "name": self.name,
            "command": None if callable(self._cmd) else self._cmd,
            "objective": getattr(self._cmd, "__qualname__", type(self._cmd).__name__) if callable(self._cmd) else None,
            "space": self._space.to_json(),
            "method": {"name": self._recipe.name, "keys": dict(self._recipe.keys)},
            "metric": self._metric,
            "smaller_is_better": self._smaller_is_better,
            "evaluations": self._evaluations,
            "seed": seed,
        }


_OPTIONS = [name for name in Shadho.__init__.__annotations__ if name not in {"experiment", "other", "return"}]
