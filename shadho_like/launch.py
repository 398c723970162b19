"""What every attempt of an experiment runs, and the files that travel with it. Frozen data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shadho_rendezvous

from shadho_like.checkpoint_policy import CheckpointPolicy
from shadho_like.errors import OptionError
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import ComputeClass, Resources

USUAL_PRIORITY = shadho_rendezvous.USUAL_PRIORITY
"""The priority of a search of which nothing is said, as in Determined."""

MOST_PRIORITY = 99
"""The greatest number of a priority, which is the last to be served."""

# 43 to 99 in 19 steps.
_PRIORITIES_PER_NICE = 3


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that travels with every attempt.

    Attributes:
        local: where it is here, absolute.
        remote: its relative POSIX path in the sandbox.
        cache: whether a worker may keep it between attempts.
    """

    local: Path
    remote: str
    cache: bool = True


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that comes back from every attempt, to the trial's folder.

    Attributes:
        local: its relative POSIX path in the trial's folder.
        remote: its relative POSIX path in the sandbox.
        cache: whether a worker may keep it.
    """

    local: str
    remote: str
    cache: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """What every attempt of an experiment runs, and how. Either `command` or `objective` is given.

    Attributes:
        experiment: the experiment's name.
        paths: its directory.
        command: a command line for a POSIX shell, run in the sandbox.
        objective: a Python callable, evaluated as `shadho_worker.run` would.
        input_files, output_files: what travels besides the files of the wire format.
        metric: the name of the searched metric.
        other_metrics: the names of what must be a number in each result besides, for a search method of several metrics.
        any_json: whether the search method takes any JSON value in the metric's place.
        evaluations: how often each sample is evaluated; the metric is the mean.
        checkpoints: the folder of the checkpoints, if workers see it too; None if checkpoints travel with the attempts.
        checkpoint_policy: which of them are kept.
        trials_per_task: how many trials share one task, each with a result of its own.
        resources: what one task needs.
        most_running: how many trials may run at once; None for as many as there is room for.
        priority: 1 to 99, the smaller the sooner; None where nothing is said.
        environment: variables of each attempt's environment.
        min_checkpoint_period, min_validation_period: training after which a trial is to save a checkpoint, to validate; None for no such.
        compute_classes: kinds of workers that the user has named.
        slice_s, slice_length: an attempt that takes checkpoints ends after this time, or this much training; None for no such end.
        trial_timeout_s: an attempt that runs longer is killed, process group and all; None for no limit.
        preemption_timeout_s: how long an attempt that was asked to end may take.
    """

    experiment: str
    paths: ExperimentPaths
    command: str | None = None
    objective: Callable[..., Any] | None = None
    input_files: tuple[InputFile, ...] = ()
    output_files: tuple[OutputFile, ...] = ()
    metric: str = "loss"
    other_metrics: tuple[str, ...] = ()
    any_json: bool = False
    evaluations: int = 1
    checkpoints: Path | None = None
    checkpoint_policy: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    trials_per_task: int = 1
    resources: Resources = field(default_factory=Resources)
    most_running: int | None = None
    priority: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    min_checkpoint_period: int | None = None
    min_validation_period: int | None = None
    compute_classes: tuple[ComputeClass, ...] = ()
    slice_s: float | None = None
    slice_length: int | None = None
    trial_timeout_s: float | None = None
    preemption_timeout_s: float = 60.0

    def most_running_in(self, slots: int) -> int:
        """Return how many trials may run at once where they may have so many GPUs together.

        Raises:
            OptionError: not even one, or several share a task.
        """
        if self.trials_per_task > 1:
            message = "max_slots counts trials that run at once, which with hyperparameters_per_task are not told apart"
            raise OptionError(message)
        return self.resources.trials_in(slots)

    @property
    def nice(self) -> int:
        """By how much trials yield this machine's processors to others: not at all up to the usual priority, 19 at the last."""
        return max(0, ((self.priority or USUAL_PRIORITY) - USUAL_PRIORITY) // _PRIORITIES_PER_NICE)
