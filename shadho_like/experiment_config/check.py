"""Everything that is wrong with a configuration: each key by itself, then what does not go together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from shadho_like.errors import OptionError, nearest
from shadho_like.experiment_config.environment import environment_faults
from shadho_like.experiment_config.keys import KEYS, SECTIONS, Key, keys_in
from shadho_like.experiment_config.plain import Fault, beneath
from shadho_like.experiment_config.refused import REFUSED, REFUSED_VALUES
from shadho_like.experiment_config.values import is_in_unit
from shadho_like.resources import Resources

LENGTHS = ("searcher.max_length", "searcher.length_per_round", "min_checkpoint_period", "min_validation_period")
_SAVES = ("save_experiment_best", "save_trial_best", "save_trial_latest")


def faults_of(config: Mapping[str, Any]) -> list[Fault]:
    """Return what is wrong, but for the hyperparameters and the search method's own keys."""
    return [*_section_faults("", config), *environment_faults(config), *_units(config), *_storage(config), *_slots(config)]


def _section_faults(section: str, value: Any) -> Iterator[Fault]:
    if not isinstance(value, Mapping):
        yield Fault(section, f"must be a mapping, not {value!r:.80}")
        return
    known = {key.name: key for key in keys_in(section)}
    for name, item in value.items():
        path = beneath(section, name)
        if path in REFUSED:
            yield Fault(path, f"is not taken: {REFUSED[path]}")
        elif name in known:
            yield from _key_faults(known[name], item)
        elif section != "searcher":
            yield Fault(path, f"there is no such key: {_nearest(section, name, known)}")
    for key in known.values():
        if key.needed and key.name not in value:
            yield Fault(key.path, f"is missing: {key.says.lower().rstrip('.')}")


def _nearest(section: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence that helps with an unknown key; it says where a key of that name stands, if that is elsewhere."""
    elsewhere = [key.path for key in KEYS if key.name == name and key.section != section]
    return f"it stands in {elsewhere[0]}" if elsewhere else nearest(name, known)


def _key_faults(key: Key, value: Any) -> Iterator[Fault]:
    reasons = REFUSED_VALUES.get(key.path, {})
    if isinstance(value, str) and value in reasons:
        yield Fault(key.path, f"{value} is not taken: {reasons[value]}")
    elif value is None and not key.needed:
        return
    elif key.path in SECTIONS:
        yield from _section_faults(key.path, value)
    elif (fault := key.check(value)) is not None:
        yield Fault(key.path, fault)


def at(config: Any, path: str) -> Any:
    """Return the value at a path of names; None where there is none."""
    for name in path.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


def _units(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Find lengths of different units: nothing is converted."""
    named = at(config, "searcher.unit")
    units = {"searcher.unit": named} if isinstance(named, str) else {}
    units |= {path: next(iter(value)) for path in LENGTHS if is_in_unit(value := at(config, path))}
    first = next(iter(units), "")
    for path, unit in units.items():
        if unit != units[first]:
            yield Fault(path, f"is in {unit}, and {first} is in {units[first]}: give both in one unit, as lengths are not converted")


def _storage(config: Mapping[str, Any]) -> Iterator[Fault]:
    storage, policy = config.get("checkpoint_storage"), config.get("checkpoint_policy")
    if not isinstance(storage, Mapping):
        return
    if storage.get("type") == "shared_fs" and storage.get("path") is None and "host_path" not in storage:
        yield Fault("checkpoint_storage.path", "is missing: the folder of shared_fs, an absolute path that is the same on all machines")
    if storage.get("type") == "transfer" and storage.get("path") is not None:
        yield Fault("checkpoint_storage.path", "is for type: shared_fs; with transfer, checkpoints come back to the experiment's directory")
    for name in _SAVES:
        if isinstance(policy, Mapping) and name in policy and name in storage:
            yield Fault(f"checkpoint_storage.{name}", "is in checkpoint_policy too: leave one of them out")


def _slots(config: Mapping[str, Any]) -> Iterator[Fault]:
    given, wanted = config.get("resources"), {key.name: key for key in keys_in("resources")}
    if not isinstance(given, Mapping):
        return
    sound = {name: value for name, value in given.items() if name in wanted and value is not None and not wanted[name].check(value)}
    try:
        resources = resources_of(sound)
    except OptionError:
        yield Fault("resources.slots_per_trial", "is 0, and gpu_memory or gpu_model is there: leave out one of them")
        return
    with suppress(KeyError):
        try:
            resources.trials_in(sound["max_slots"])
        except OptionError:
            yield Fault("resources.max_slots", f"is {sound['max_slots']}, and each trial takes {resources.gpu_slots}: none could ever run")


def resources_of(given: Mapping[str, Any]) -> Resources:
    """Return what one trial needs.

    Raises:
        OptionError: it contradicts itself.
    """
    amounts = (given.get(name) for name in ("cores", "memory", "disk", "slots_per_trial", "gpu_memory", "gpu_model"))
    return Resources(*amounts)
