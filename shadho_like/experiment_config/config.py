"""A configuration in which everything is as it should be: frozen data, with fields named as the keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import shadho_worker

from shadho_like.batch.base import read_clock, read_memory
from shadho_like.checkpoint_policy import CheckpointPolicy
from shadho_like.checkpoint_storage import CheckpointStorage
from shadho_like.experiment_config.check import at, resources_of
from shadho_like.experiment_config.environment import PATH, variables_of
from shadho_like.experiment_config.searching import SearcherConfig, searcher_of
from shadho_like.experiment_config.values import amount_of, command_of
from shadho_like.space import Space

MAX_RESTARTS = 5
"""How often a trial is tried again, where nothing is said; as in Determined."""

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """The workers of a search in a batch system's queue: `slurm` or `pbs`.

    Attributes:
        workers: how many.
        gpus: of each.
        cores: of each.
        memory_mb: of each; None for what the batch system gives.
        time_s: how long each may stay; None for what it gives.
        options: what else the batch system is told, in its own words.
        gpu_type: the type of the GPUs, as the batch system calls it; None for any.
    """

    workers: int = 1
    gpus: int = 0
    cores: int = 1
    memory_mb: int | None = None
    time_s: int | None = None
    options: tuple[str, ...] = ()
    gpu_type: str | None = None


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """A configuration in which everything is as it should be.

    Attributes:
        name: the experiment's; None if it has none.
        entrypoint: a shell command or `module:function`; None if there is none.
        space: the hyperparameters.
        searcher: the search method and its metric.
        description: what people are told of it.
        labels: words by which people find it.
        max_restarts: how often a trial is tried again after its own code failed.
        min_checkpoint_period, min_validation_period: in the unit of the searcher's lengths; None for no such period.
        preemption_timeout: seconds that a trial has to take a checkpoint when it is asked to end; None where nothing is said.
        checkpoint_storage: where checkpoints are kept.
        checkpoint_policy: which of them.
        resources: what one trial needs and how much of it the search may have, as in the file.
        environment_variables: of every attempt.
        engine: where trials run.
        experiment_seed: None for one that is drawn.
        slurm, pbs: the workers of `shadho workers submit --config`; None where there is no such section.
        source: what the file holds, for the record.
    """

    name: str | None
    entrypoint: str | None
    space: Space
    searcher: SearcherConfig
    description: str = ""
    labels: tuple[str, ...] = ()
    max_restarts: int = MAX_RESTARTS
    min_checkpoint_period: int | None = None
    min_validation_period: int | None = None
    preemption_timeout: float | None = None
    checkpoint_storage: CheckpointStorage = field(default_factory=CheckpointStorage)
    checkpoint_policy: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    resources: Mapping[str, Any] = field(default_factory=dict)
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    engine: str = "auto"
    experiment_seed: int | None = None
    slurm: BatchConfig | None = None
    pbs: BatchConfig | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> str | None:
        """The shell command that a trial runs; None if there is no entrypoint."""
        if self.entrypoint is None or not self.names_function:
            return self.entrypoint
        return f'"${{SHADHO_PYTHON:-python}}" {shadho_worker.ENTRYPOINT_FILE} {self.entrypoint}'

    @property
    def worker_of_one_trial(self) -> BatchConfig:
        """What a worker needs to run one trial."""
        return batch_of({}, "", self.resources)

    @property
    def names_function(self) -> bool:
        """Whether the entrypoint is `module:function`."""
        return self.entrypoint is not None and _FUNCTION.fullmatch(self.entrypoint.strip()) is not None


def made(config: Mapping[str, Any], space: Space) -> ExperimentConfig:
    """Return the configuration of a mapping without faults."""
    resources = {key: value for key, value in (config.get("resources") or {}).items() if value is not None}
    entrypoint = config.get("entrypoint")
    storage, policy = config.get("checkpoint_storage"), dict(config.get("checkpoint_policy") or {})
    if storage is not None:
        policy |= {key: value for key, value in storage.items() if key.startswith("save_")}
        storage = {key: value for key, value in storage.items() if not key.startswith("save_") and value is not None}
    max_restarts = config.get("max_restarts")
    return ExperimentConfig(
        name=config.get("name"),
        entrypoint=None if entrypoint is None else command_of(entrypoint),
        space=space,
        searcher=searcher_of(config["searcher"]),
        description=config.get("description") or "",
        labels=tuple(config.get("labels") or ()),
        max_restarts=MAX_RESTARTS if max_restarts is None else max_restarts,
        min_checkpoint_period=amount_of(config.get("min_checkpoint_period")) or None,
        min_validation_period=amount_of(config.get("min_validation_period")) or None,
        preemption_timeout=config.get("preemption_timeout"),
        checkpoint_storage=CheckpointStorage.read(storage),
        checkpoint_policy=CheckpointPolicy(**{key: value for key, value in policy.items() if value is not None}),
        resources=resources,
        environment_variables=variables_of(at(config, PATH), gpus=bool(resources_of(resources).gpu_slots)),
        engine=config.get("engine") or "auto",
        experiment_seed=at(config, "reproducibility.experiment_seed"),
        slurm=None if (slurm := config.get("slurm")) is None else batch_of(slurm, "sbatch_args", resources),
        pbs=None if (pbs := config.get("pbs")) is None else batch_of(pbs, "pbsbatch_args", resources),
        source=config,
    )


def batch_of(given: Mapping[str, Any], options: str, resources: Mapping[str, Any]) -> BatchConfig:
    """Return the workers of a section. Unless it says otherwise, each has what the trials take that share its GPUs."""
    asked = resources_of(resources)
    said = {key: value for key, value in given.items() if value is not None}
    gpus, memory, time = said.get("slots_per_node", asked.gpu_slots or 0), said.get("memory"), said.get("time")
    trials = max(1, gpus * asked.jobs_per_gpu // (asked.gpu_slots or max(1, gpus)))
    memory_mb = asked.memory_mb and asked.memory_mb * trials
    return BatchConfig(
        workers=said.get("workers", 1),
        gpus=gpus,
        cores=said.get("cores", (asked.cores or 1) * trials),
        memory_mb=memory_mb if memory is None else read_memory(str(memory)),
        time_s=None if time is None else read_clock(str(time)),
        options=tuple(said.get(options, ())),
        gpu_type=said.get("gpu_type"),
    )
