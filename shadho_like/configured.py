"""The search that a configuration describes, as `Shadho` runs it: what each key of the file means, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shadho_like.driver import Shadho
from shadho_like.errors import OptionError
from shadho_like.experiment_config import ExperimentConfig
from shadho_like.plain_text import variables_without_secrets
from shadho_like.searcher import SearchMethod

_PREEMPTION_TIMEOUT_S = 60.0
_SETTINGS = {
    "slots_per_trial": "gpus",
    "cores": "cores",
    "memory": "memory",
    "disk": "disk",
    "gpu_memory": "gpu_memory",
    "gpu_model": "gpu_model",
}


def search_of(
    config: ExperimentConfig,
    *,
    name: str | None = None,
    directory: str | Path | None = None,
    method: SearchMethod | None = None,
    engine: str | None = None,
    workers: int | None = None,
) -> Shadho:
    """Return the search, ready to be run once its input files are added.

    Args:
        config: what was read.
        name: what it is called where the configuration does not say.
        directory: where everything is kept; by default `./experiments/<name>`.
        method: a search method of your own, where `searcher.name` is custom.
        engine: where trials run; by default as the configuration says.
        workers: on this machine, how many run at once; by default as many as it has cores.

    Raises:
        OptionError: there is no entrypoint, or `searcher.name` is custom and no method is given.
    """
    if config.command is None:
        raise OptionError("entrypoint: is missing: the command that a trial runs, or module:function")
    wanted, resources = config.searcher, config.resources
    opt = Shadho(
        config.command,
        config.space,
        name=config.name or name,
        directory=directory,
        method=wanted.create(config.space, config.experiment_seed) if method is None else method,
        seed=config.experiment_seed,
        metric=wanted.metric,
        smaller_is_better=wanted.smaller_is_better,
        max_resubmissions=config.max_restarts,
        timeout=None,
        engine=engine or config.engine,
        workers=workers,
        preemption_timeout=_PREEMPTION_TIMEOUT_S if config.preemption_timeout is None else config.preemption_timeout,
        checkpoint_storage=config.checkpoint_storage,
        checkpoint_policy=config.checkpoint_policy,
        max_slots=resources.get("max_slots"),
        priority=resources.get("priority"),
        environment=config.environment_variables,
        min_checkpoint_period=config.min_checkpoint_period,
        min_validation_period=config.min_validation_period,
    )
    opt.about = {"description": config.description, "labels": list(config.labels), "config": _shown(config.source)}
    for key, setting in _SETTINGS.items():
        if key in resources:
            setattr(opt.config.workqueue, setting, resources[key])
    if config.name and opt.config.workqueue.name:
        # `.shadhorc` has one for all searches; the workers of this one ask for its own.
        opt.config.workqueue.name = config.name
    return opt


def _shown(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as the journal has it, which others may read: without secrets."""
    if "environment" not in source:
        return dict(source)
    return {**source, "environment": variables_without_secrets(source["environment"])}
