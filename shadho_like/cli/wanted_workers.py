"""Which workers `shadho workers submit` is to put into the queue, where an experiment's configuration says some of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shadho_like.errors import OptionError
from shadho_like.experiment_config import BatchConfig, ExperimentConfig, read_config


@dataclass(frozen=True, slots=True)
class WantedWorkers:
    """What is known before the command line's other options.

    Attributes:
        system: the batch system.
        search: the name that workers ask for.
        kind: what each of them is.
    """

    system: str
    search: str
    kind: BatchConfig


def wanted_of(path: Path | None, system: str | None, search: str | None) -> WantedWorkers:
    """Return what a configuration says of its workers; what the command line says goes first.

    Raises:
        OptionError: the batch system or the name is said nowhere, or something in the file is wrong.
    """
    config = None if path is None else read_config(path)
    system = system or (_system_of(path, config) if config is not None else None)
    search = search or (None if config is None or path is None else config.name or path.stem)
    missing = [option for option, value in (("--batch", system), ("--name", search)) if value is None]
    if system is None or search is None:
        message = f"{' and '.join(missing)}: give it, or --config with an experiment's YAML that says it"
        raise OptionError(message)
    section = {"slurm": config.slurm, "pbs": config.pbs}.get(system) if config is not None else None
    return WantedWorkers(system, search, section or _trials_kind(config))


def _system_of(path: Path | None, config: ExperimentConfig) -> str:
    """Return the batch system whose section a configuration has.

    Raises:
        OptionError: it has none, or both.
    """
    found = [name for name, section in (("slurm", config.slurm), ("pbs", config.pbs)) if section is not None]
    if len(found) != 1:
        there = "both slurm and pbs" if found else "neither slurm nor pbs"
        message = f"{path} has {there}: say which batch system it is, as in --batch slurm"
        raise OptionError(message)
    return found[0]


def _trials_kind(config: ExperimentConfig | None) -> BatchConfig:
    """Return workers of which each has what one trial asks for."""
    return BatchConfig() if config is None else config.worker_of_one_trial
