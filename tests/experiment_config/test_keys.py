"""The keys of an experiment's YAML: what each refuses, what it becomes, and that those nobody here could honour are refused with a reason."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadho_like import searcher
from shadho_like.errors import OptionError
from shadho_like.experiment_config import KEYS, BatchConfig, ExperimentConfig, read_config, read_text
from shadho_like.experiment_config.keys import SECTIONS
from shadho_like.experiment_config.refused import REFUSED, REFUSED_VALUES

SEARCHER = {"name": "random", "metric": "loss", "max_trials": 3}


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return the shortest configuration with a value at a path."""
    config: dict[str, Any] = {"searcher": dict(SEARCHER)}
    *sections, name = path.split(".")
    inner = config
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[name] = value
    if sections == ["checkpoint_storage"] and name not in {"type", "path"}:
        inner["type"] = "transfer"
    return config


def faults(config: Any) -> list[str]:
    with pytest.raises(OptionError) as caught:
        read_config(config)
    return str(caught.value).splitlines()


def read(**config: Any) -> ExperimentConfig:
    return read_config({"searcher": SEARCHER, **config})


@pytest.mark.parametrize("path", REFUSED)
def test_a_key_that_nobody_could_honour_is_refused_by_name_with_the_reason(path: str) -> None:
    [said] = faults(nested(path, "any"))
    assert said == f"{path}: is not taken: {REFUSED[path]}"
    assert path not in {key.path for key in KEYS}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in REFUSED_VALUES.items() for value in values])
def test_a_value_that_nobody_could_honour_is_refused_with_the_reason(path: str, value: str) -> None:
    assert f"{path}: {value} is not taken: {REFUSED_VALUES[path][value]}" in faults(nested(path, value))


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_is_described_and_refuses_what_it_cannot_take(key: Any) -> None:
    assert key.type
    assert re.fullmatch(r"[A-Z].*\.", key.says)
    section = key.path if key.path in SECTIONS or key.path == "hyperparameters" else None
    odd: Any = 5 if section or key.type.startswith(("text", "list", "command", "auto", "shared", "search", "absolute", "minutes")) else "odd"
    odd = {"x": [1]} if key.path in {"slurm.time", "pbs.time"} else odd
    assert any(fault.startswith(f"{key.path}") for fault in faults(nested(key.path, odd)))


@pytest.mark.parametrize("key", [key.path for key in KEYS if key.path not in {"searcher", "searcher.name", "searcher.metric"}])
def test_a_key_without_a_value_is_as_good_as_none(key: str) -> None:
    if key != "checkpoint_storage.type":
        assert read_config({**nested(key, None), "checkpoint_storage": None}).searcher.name == "random"


@pytest.mark.parametrize("path", [key.path for key in KEYS if key.path.count(".") == 0])
def test_a_misspelt_key_is_told_the_nearest(path: str) -> None:
    [said] = faults({"searcher": SEARCHER, f"{path[:-1]}_": 1})
    assert said.startswith(f"{path[:-1]}_: there is no such key: did you mean {path!r}?") or len(path) < 5


def test_a_key_in_the_wrong_place_is_told_the_right_one() -> None:
    assert faults(nested("max_slots", 3)) == ["max_slots: there is no such key: it stands in resources.max_slots"]
    assert faults(nested("searcher.max_restarts", 3))[0].startswith("searcher.max_restarts: the search method random has no such key: ")


@pytest.mark.parametrize("method", searcher.METHODS)
def test_a_search_method_by_its_own_keys(method: str) -> None:
    values: dict[str, Any] = {"max_length": {"epochs": 8}, "length_per_round": {"epochs": 2}, "max_trials": 4, "num_rungs": 2}
    values |= {"population_size": 4, "num_rounds": 2, "prop": "x", "range": [1, 16], "precision": 1}
    own = {key: value for key, value in values.items() if key in searcher.own_keys(method)}
    space = {"x": {"type": "int", "minval": 1, "maxval": 4}} if method not in {"single", "binary"} else {"x": 1}
    if method == "cmaes":
        pytest.importorskip("cmaes")
    config = read_config({"hyperparameters": space, "searcher": {"name": method, "metric": "loss", **own}})
    assert config.searcher.create(config.space, 1) is not None
    assert config.searcher.unit == ("epochs" if {"max_length", "length_per_round"} & own.keys() else None)
    for key in own:
        misspelt = {f"{key}x" if name == key else name: value for name, value in own.items()}
        said = faults({"hyperparameters": space, "searcher": {"name": method, "metric": "loss", **misspelt}})
        assert any(fault.startswith(f"searcher.{key}x: the search method {method} has no such key: did you mean {key!r}?") for fault in said)
        assert not searcher.own_keys(method)[key] or f"searcher.{key}: is missing: the search method {method} needs it" in said


def test_every_fault_of_a_search_method_is_found_at_once() -> None:
    wanted = {"name": "adaptive_asha", "metric": "loss", "max_length": 0, "max_trials": "x", "mode": "odd", "stop_once": 3, "divisor": 1}
    said = faults({"searcher": wanted})
    assert [fault.partition(":")[0] for fault in said] == ["searcher.max_length", "searcher.max_trials", "searcher.stop_once"]
    said = faults({"searcher": {**wanted, "max_length": 3, "max_trials": 3, "stop_once": True}})
    assert [fault.partition(":")[0] for fault in said] == ["searcher.mode", "searcher.divisor"]
    assert faults({"searcher": {"name": "grid", "metric": "loss"}, "hyperparameters": {"x": {"type": "double", "minval": 0, "maxval": 1}}})
    several = {"name": "nsgaii", "metric": "speed", "max_trials": 3, "metrics": {"loss": "minimize", "accuracy": "maximize"}}
    assert "is none of the search method's metrics" in faults({"searcher": several})[0]


odd_values = st.sampled_from(
    [None, True, 0, 1, 3, -1, 0.5, 1e300, 10**30, "x", "", "tpe", [], [1], [1, 2], [1, "a"], [[1], [2]], {}, {"x": 1}, {"x": "minimize"}]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(searcher.METHODS)))
def test_no_value_of_a_method_gives_anything_but_a_message(data: st.DataObject, method: str) -> None:
    sound = {"max_length": 8, "max_trials": 4, "num_rungs": 2, "population_size": 4, "num_rounds": 2, "prop": "x", "range": [1, 9], "precision": 1}
    keys = {key: data.draw(odd_values | st.just(sound.get(key)), key) for key in searcher.own_keys(method)}
    space = {"x": {"type": "int", "minval": 1, "maxval": 4}} if method not in {"single", "binary"} else {"x": 1}
    with suppress(OptionError):
        read_config({"hyperparameters": space, "searcher": {"name": method, "metric": "loss", **keys}})


def test_lengths_are_in_one_unit() -> None:
    said = faults({"searcher": {**SEARCHER, "max_length": {"epochs": 4}}, "min_checkpoint_period": {"batches": 10}})
    assert said == [
        "min_checkpoint_period: is in batches, and searcher.max_length is in epochs: give both in one unit, as lengths are not converted"
    ]
    custom = {"name": "custom", "metric": "loss", "unit": "batches"}
    assert read_config({"searcher": custom}).searcher.unit == "batches"
    assert faults({"searcher": custom, "min_checkpoint_period": {"epochs": 1}})[0].startswith("min_checkpoint_period: is in epochs, and searcher.unit is in")
    assert faults({"searcher": {**custom, "unit": "epoch"}})[0].startswith("searcher.unit: there is no 'epoch': did you mean 'epochs'?")
    config = read(min_checkpoint_period={"epochs": 3}, min_validation_period=0)
    assert (config.min_checkpoint_period, config.min_validation_period) == (3, None)


def test_resources_that_contradict_each_other() -> None:
    assert faults({"searcher": SEARCHER, "resources": {"slots_per_trial": 4, "max_slots": 3}}) == [
        "resources.max_slots: is 3, and each trial takes 4: none could ever run"
    ]
    assert faults({"searcher": SEARCHER, "resources": {"slots_per_trial": 0, "gpu_model": "A100"}}) == [
        "resources.slots_per_trial: is 0, and gpu_memory or gpu_model is there: leave out one of them"
    ]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ("A=1", ": must be a list of NAME=VALUE, or a mapping, not 'A=1'"),
        (["A"], "[0]: must be NAME=VALUE, not 'A'"),
        (["A=1", "A=2"], "[1]: A is there twice"),
        (["1=2"], "[0]: '1' is no name of a variable: letters, digits and underscores make one"),
        ({"A": [1]}, ".A: A must have a text as its value, not [1]"),
        ({"A": True}, ".A: A must have a text as its value, not True"),
        ({"cpu": ["SHADHO_HOME=/x"]}, ".cpu[0]: SHADHO_HOME is one of this package's own: variables that begin with SHADHO_ are set by it"),
        (
            ["CUDA_VISIBLE_DEVICES=1"],
            "[0]: CUDA_VISIBLE_DEVICES is set for each trial to the GPUs that it gets: ask for a number of them (gpus, slots_per_trial)",
        ),
    ],
)
def test_environment_variables_that_cannot_be(variables: Any, said: str) -> None:
    assert faults(nested("environment.environment_variables", variables)) == [f"environment.environment_variables{said}"]


@pytest.mark.parametrize(
    ("variables", "gpus", "expected"),
    [
        (["A=1", "B=x=y", "C="], 0, {"A": "1", "B": "x=y", "C": ""}),
        ({"A": 1, "B": 0.5, "C": "x"}, 0, {"A": "1", "B": "0.5", "C": "x"}),
        ({"cpu": ["A=1"], "cuda": ["A=2"]}, 0, {"A": "1"}),
        ({"cpu": ["A=1"], "cuda": {"A": "2"}}, 1, {"A": "2"}),
        ({"cpu": "x"}, 0, {"cpu": "x"}),
    ],
)
def test_environment_variables_as_determined_takes_them(variables: Any, gpus: int, expected: dict[str, str]) -> None:
    config = read(environment={"environment_variables": variables}, resources={"slots_per_trial": gpus})
    assert config.environment_variables == expected


def test_where_checkpoints_are_kept_and_which() -> None:
    config = read(checkpoint_storage={"type": "shared_fs", "path": "/scratch", "save_trial_latest": 3}, checkpoint_policy={"save_trial_best": 2})
    assert config.checkpoint_storage.path == "/scratch"
    assert config.checkpoint_policy.to_json() == {"save_experiment_best": 0, "save_trial_best": 2, "save_trial_latest": 3}
    assert read(checkpoint_storage={"type": "transfer"}).checkpoint_storage.path is None


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ({"type": "shared-fs"}, "checkpoint_storage.type: there is no 'shared-fs': did you mean 'shared_fs'? Known: shared_fs, transfer."),
        ({}, "checkpoint_storage.type: is missing: a folder that all machines see, or the experiment's own directory"),
        (
            {"type": "shared_fs"},
            "checkpoint_storage.path: is missing: the folder of shared_fs, an absolute path that is the same on all machines",
        ),
        (
            {"type": "shared_fs", "path": "here"},
            "checkpoint_storage.path: must be an absolute path, the same on all machines, not 'here'",
        ),
        (
            {"type": "transfer", "path": "/x"},
            "checkpoint_storage.path: is for type: shared_fs; with transfer, checkpoints come back to the experiment's directory",
        ),
        ({"type": "transfer", "save_trial_best": 1}, "checkpoint_storage.save_trial_best: is in checkpoint_policy too: leave one of them out"),
        ("/scratch", "checkpoint_storage: must be a mapping, not '/scratch'"),
    ],
)
def test_a_storage_that_cannot_be_is_said_with_everything_else(storage: Any, said: str) -> None:
    found = faults({"searcher": SEARCHER, "checkpoint_storage": storage, "checkpoint_policy": {"save_trial_best": 1, "save": 1}, "odd": 1})
    assert said in found
    assert any(fault.startswith("checkpoint_policy.save: there is no such key") for fault in found)
    assert any(fault.startswith("odd: there is no such key") for fault in found)


def test_the_workers_of_a_batch_system() -> None:
    trials = {"slots_per_trial": 1, "cores": 4, "memory": 8000}
    config = read(resources=trials, slurm={"workers": 3, "slots_per_node": 2, "time": "1:00:00", "gpu_type": "a100", "sbatch_args": ["-p gpu"]})
    assert config.slurm == BatchConfig(3, 2, 8, 16000, 3600, ("-p gpu",), "a100")
    assert config.pbs is None
    assert read(resources=trials, pbs={"time": 90, "memory": "16G"}).pbs == BatchConfig(1, 1, 4, 16384, 5400)
    assert read(resources={"slots_per_trial": 0.5, "cores": 4}, pbs={}).pbs == BatchConfig(1, 1, 8)
    assert read(slurm={}).slurm == BatchConfig()
    said = faults({"searcher": SEARCHER, "slurm": {"time": "soon", "memory": "much"}, "pbs": {"gpu_type": "a"}})
    assert [fault.partition(":")[0] for fault in said] == ["slurm.time", "slurm.memory", "pbs.gpu_type"]


def test_every_fault_has_its_line() -> None:
    text = """\
name: a/b
bind_mounts: []
searcher:
  name: async_halving
  metric: loss
  num_rungs: 0
  divisr: 3
  max_length: 3
hyperparameters:
  list:
    - 1
    - type: int
      minval: 3
      maxval: 1
    - type: double
      minval: 0
      maxval: 1
      count: 0
resources:
  priority: 100
"""
    with pytest.raises(OptionError) as caught:
        read_text(text, "exp.yaml")
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["exp.yaml:1", "name"],
        ["exp.yaml:2", "bind_mounts"],
        ["exp.yaml:3", "searcher.max_trials"],
        ["exp.yaml:6", "searcher.num_rungs"],
        ["exp.yaml:7", "searcher.divisr"],
        ["exp.yaml:13", "hyperparameters.list[1].minval"],
        ["exp.yaml:18", "hyperparameters.list[2].count"],
        ["exp.yaml:20", "resources.priority"],
    ]
