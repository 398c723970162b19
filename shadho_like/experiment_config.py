"""An experiment's configuration as a YAML file has it: read, checked, and everything that is wrong said at once, each with its path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shadho_like import searcher
from shadho_like.checkpoint_policy import CheckpointPolicy
from shadho_like.checkpoint_storage import CheckpointStorage
from shadho_like.errors import OptionError, SpaceError, nearest
from shadho_like.searcher import BuiltInMethod
from shadho_like.space import Space
from shadho_like.space.yaml_form import tree_from_yaml

RESOURCES: Mapping[str, str] = {
    "slots_per_trial": "gpus",
    "cores": "cores",
    "memory": "memory",
    "disk": "disk",
    "gpu_memory": "gpu_memory",
    "gpu_model": "gpu_model",
}
"""The keys of `resources`, and what each is called in `config.workqueue`."""

CUSTOM = "custom"
"""The searcher whose method the user's own program brings."""

_KEYS = (
    *("checkpoint_policy", "checkpoint_storage", "description", "engine", "entrypoint", "hyperparameters", "labels", "max_restarts"),
    *("name", "resources", "searcher"),
)
_SEARCHER_KEYS = ("metric", "name", "smaller_is_better")
_UNITS = ("batches", "epochs", "records")
_LENGTHS = ("max_length",)


@dataclass(frozen=True, slots=True)
class SearcherConfig:
    """The `searcher` of a configuration.

    Attributes:
        name: a search method's, or custom.
        metric: the searched metric.
        smaller_is_better: whether it is minimised.
        keys: the method's own.
    """

    name: str
    metric: str
    smaller_is_better: bool
    keys: Mapping[str, Any]

    def create(self, space: Space, seed: int | None = None) -> BuiltInMethod:
        """Return the search method.

        Raises:
            OptionError: it cannot be made over this space; or the method is custom.
        """
        if self.name == CUSTOM:
            raise OptionError("searcher.name is custom: that search method is in a program of its own, which makes and runs it")
        return searcher.create(self.name, space, seed=seed, smaller_is_better=self.smaller_is_better, **self.keys)


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """A configuration in which everything is as it should be.

    Attributes:
        name: the experiment's; None if it has none.
        entrypoint: a shell command; None if there is none.
        space: the hyperparameters.
        searcher: the search method and its metric.
        max_restarts: how often a trial is tried again after its own code failed; None if nothing is said.
        engine: where trials run.
        resources: what one trial needs, as in the file.
        checkpoint_storage: where checkpoints are kept.
        checkpoint_policy: which of them.
    """

    name: str | None
    entrypoint: str | None
    space: Space
    searcher: SearcherConfig
    max_restarts: int | None = None
    engine: str = "auto"
    resources: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_storage: CheckpointStorage = field(default_factory=CheckpointStorage)
    checkpoint_policy: CheckpointPolicy = field(default_factory=CheckpointPolicy)


def read_config(source: Mapping[str, Any] | str | Path) -> ExperimentConfig:
    """Read a configuration from a YAML file, or from what one would hold.

    Raises:
        OptionError: everything that is wrong, a line each, with its path (`hyperparameters.lr.maxval`).
    """
    value = _load(source) if isinstance(source, str | Path) else source
    where = f"{source}: " if isinstance(source, str | Path) else ""
    if not isinstance(value, Mapping):
        message = f"{where}the configuration must be a mapping, not {value!r:.80}"
        raise OptionError(message)
    tree, space_faults = tree_from_yaml(value.get("hyperparameters") or {})
    of_space = [f"hyperparameters.{fault}" for fault in space_faults]
    faults = [*_faults(value), *of_space]
    if faults == of_space:
        try:
            config = _made(value, Space({} if faults else tree))
        except SpaceError as error:
            faults.append(f"hyperparameters.{error}")
        except OptionError as error:
            faults.append(f"searcher: {error}")
        else:
            if not faults:
                return config
    raise OptionError("\n".join(where + fault for fault in faults))


def _load(path: str | Path) -> Any:
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        message = f"{path} cannot be read: {' '.join(str(error).split())}"
        raise OptionError(message) from error


def _faults(config: Mapping[str, Any]) -> Iterator[str]:
    yield from _key_faults("", config, _KEYS, ("searcher",))
    if not isinstance(config.get("hyperparameters") or {}, Mapping):
        yield f"hyperparameters must be a mapping, not {config['hyperparameters']!r:.80}"
    for key, kind in (("name", str), ("entrypoint", str), ("engine", str), ("max_restarts", int)):
        value = config.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            yield f"{key} must be {'a whole number' if kind is int else 'a string'}, not {value!r:.80}"
    yield from _key_faults("resources.", config.get("resources") or {}, tuple(RESOURCES), ())
    readers: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("checkpoint_storage", CheckpointStorage.read),
        ("checkpoint_policy", CheckpointPolicy.read),
    )
    for key, read in readers:
        try:
            read(config.get(key))
        except OptionError as error:
            yield str(error)
    wanted = config.get("searcher", {})
    needed = _key_faults("searcher.", wanted, _SEARCHER_KEYS if _is_custom(wanted) else None, ("name", "metric"))
    yield from needed
    if isinstance(wanted, Mapping):
        yield from _searcher_faults(wanted)


def _is_custom(wanted: Any) -> bool:
    return isinstance(wanted, Mapping) and wanted.get("name") == CUSTOM


def _searcher_faults(wanted: Mapping[str, Any]) -> Iterator[str]:
    name = wanted.get("name", CUSTOM)
    known = (*searcher.METHODS, CUSTOM)
    if name not in known:
        yield f"searcher.name: there is no search method {name!r}: {nearest(str(name), known)}"
    if not isinstance(wanted.get("smaller_is_better", True), bool):
        yield f"searcher.smaller_is_better must be true or false, not {wanted['smaller_is_better']!r:.80}"
    if not isinstance(wanted.get("metric", ""), str):
        yield f"searcher.metric must be the name of a metric, not {wanted['metric']!r:.80}"
    for key in _LENGTHS:
        length = wanted.get(key)
        if isinstance(length, Mapping) and not (len(length) == 1 and next(iter(length)) in _UNITS):
            yield f"searcher.{key} must be a whole number, or one of {', '.join(_UNITS)} with one, not {dict(length)!r:.80}"


def _key_faults(where: str, value: Any, known: tuple[str, ...] | None, needed: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where.rstrip('.')} must be a mapping, not {value!r:.80}"
        return
    for key in value:
        if not isinstance(key, str) or (known is not None and key not in known):
            yield f"{where}{key} is no key of the configuration: {nearest(str(key), known or ())}"
    for key in needed:
        if key not in value:
            yield f"the configuration lacks {where}{key}"


def _made(config: Mapping[str, Any], space: Space) -> ExperimentConfig:
    wanted = config["searcher"]
    keys = {key: _length(value) if key in _LENGTHS else value for key, value in wanted.items() if key not in _SEARCHER_KEYS}
    chosen = SearcherConfig(wanted["name"], wanted["metric"], wanted.get("smaller_is_better", True), keys)
    if chosen.name != CUSTOM:
        chosen.create(space, seed=0)
    return ExperimentConfig(
        config.get("name"),
        config.get("entrypoint"),
        space,
        chosen,
        config.get("max_restarts"),
        config.get("engine") or "auto",
        config.get("resources") or {},
        CheckpointStorage.read(config.get("checkpoint_storage")),
        CheckpointPolicy.read(config.get("checkpoint_policy")),
    )


def _length(value: Any) -> Any:
    return next(iter(value.values())) if isinstance(value, Mapping) else value
