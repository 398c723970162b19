"""An experiment's YAML: what each form of a hyperparameter draws, and that whatever is wrong is said with its path, all of it at once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadho_like.errors import OptionError
from shadho_like.experiment_config import read_config

SEARCHER = {"name": "random", "metric": "loss", "max_trials": 3}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "val", "minval", "name"]) | st.text(max_size=5), inner),
    max_leaves=12,
)
keys = st.sampled_from(["hyperparameters", "searcher", "name", "resources", "max_restarts", "engine", "entrypoint", "odd", "checkpoint_policy", "checkpoint_storage"])


def drawn(hyperparameters: dict[str, Any], number: int = 200) -> list[dict[str, Any]]:
    space = read_config({"hyperparameters": hyperparameters, "searcher": SEARCHER}).space
    return [space.sample(np.random.default_rng(seed)) for seed in range(number)]


def faults(config: Any) -> list[str]:
    with pytest.raises(OptionError) as caught:
        read_config(config)
    return str(caught.value).splitlines()


def test_every_form_of_a_hyperparameter() -> None:
    samples = drawn(
        {
            "fixed": {"type": "const", "val": [1, 2]},
            "whole": {"type": "int", "minval": 1, "maxval": 3},
            "real": {"type": "double", "minval": -1, "maxval": 1},
            "exponent": {"type": "log", "minval": -3, "maxval": 0, "base": 2},
            "kind": {"type": "categorical", "vals": ["a", "b"]},
            "ours": {"type": "lograndint", "lo": 1, "hi": 100},
            "nested": {"deeper": {"type": "int", "minval": 7, "maxval": 7}, "bare": "text"},
            "several": [{"type": "int", "minval": 0, "maxval": 1}, "bare"],
        }
    )
    assert {sample["whole"] for sample in samples} == {1, 2, 3}
    assert {sample["kind"] for sample in samples} == {"a", "b"}
    assert all(-1 <= sample["real"] <= 1 and 0.125 <= sample["exponent"] <= 1 and 1 <= sample["ours"] < 100 for sample in samples)
    assert all(sample["fixed"] == [1, 2] and sample["nested"] == {"deeper": 7, "bare": "text"} for sample in samples)
    assert all(sample["several"] in ([0, "bare"], [1, "bare"]) for sample in samples)


def test_one_of_several_branches() -> None:
    branches = {"exclusive": True, "linear": {"c": {"type": "double", "minval": 0, "maxval": 1}}, "rbf": {"gamma": 2}}
    assert {*map(tuple, (sample["kernel"] for sample in drawn({"kernel": branches})))} == {("linear",), ("rbf",)}


def test_everything_wrong_is_said_at_once_with_its_path() -> None:
    found = faults(
        {
            "serchr": 1,
            "max_restarts": "many",
            "resources": {"gpu": 1},
            "hyperparameters": {
                "lr": {"type": "log", "minvl": -3, "maxval": -1},
                "list": [1, {"type": "int", "minval": 3, "maxval": 1}, {"type": "double", "minval": 0, "maxval": 1, "count": 0}],
                "act": {"type": "categoricl", "vals": [1]},
            },
            "searcher": {"name": "rndom", "smaller_is_better": "yes", "max_length": {"steps": 3}},
        }
    )
    paths = [fault.partition(" ")[0].rstrip(":") for fault in found]
    assert paths == [
        "serchr",
        "max_restarts",
        "resources.gpu",
        "the",
        "searcher.name",
        "searcher.smaller_is_better",
        "searcher.max_length",
        "hyperparameters.lr.minvl",
        "hyperparameters.lr",
        "hyperparameters.list[1]",
        "hyperparameters.list[2]",
        "hyperparameters.act.type",
    ]
    assert "did you mean 'searcher'?" in found[0]
    assert found[3] == "the configuration lacks searcher.metric"
    assert "did you mean 'random'?" in found[4]


def test_a_key_that_the_method_does_not_have() -> None:
    wanted = {"name": "async_halving", "metric": "loss", "max_length": {"epochs": 9}, "max_trials": 9, "num_rungs": 2, "divisr": 3}
    [fault] = faults({"hyperparameters": {}, "searcher": wanted})
    assert fault.startswith("searcher: the search method 'async_halving' has no key 'divisr': did you mean 'divisor'?")


@given(st.dictionaries(keys, json_values) | json_values)
def test_no_configuration_gives_anything_but_a_message(config: Any) -> None:
    with suppress(OptionError):
        read_config(config)


def test_where_checkpoints_are_kept_and_which() -> None:
    wanted = {"searcher": SEARCHER, "checkpoint_storage": {"type": "shared_fs", "path": "/scratch"}, "checkpoint_policy": {"save_trial_best": 2}}
    config = read_config(wanted)
    assert config.checkpoint_storage.path == "/scratch"
    assert config.checkpoint_policy.to_json() == {"save_experiment_best": 0, "save_trial_best": 2, "save_trial_latest": 1}
    assert read_config({"searcher": SEARCHER, "checkpoint_storage": {"type": "transfer"}}).checkpoint_storage.path is None


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ({"type": "s3"}, "checkpoint_storage.type: there is no 's3': Known: shared_fs, transfer."),
        ({"type": "shared-fs"}, "checkpoint_storage.type: there is no 'shared-fs': did you mean 'shared_fs'? Known: shared_fs, transfer."),
        ({"type": "shared_fs"}, "checkpoint_storage.path must be an absolute path, the same on all machines, not None"),
        ({"type": "shared_fs", "path": "here"}, "checkpoint_storage.path must be an absolute path, the same on all machines, not 'here'"),
        ({"type": "transfer", "path": "/x"}, "checkpoint_storage has no key 'path' where its type is transfer: Known: type."),
        ("/scratch", "checkpoint_storage must be a mapping with a type, shared_fs or transfer, not '/scratch'"),
    ],
)
def test_a_storage_that_cannot_be_is_said_with_everything_else(storage: Any, message: str) -> None:
    found = faults({"searcher": SEARCHER, "checkpoint_storage": storage, "checkpoint_policy": {"save": 1}, "odd": 1})
    assert message in found
    assert any(fault.startswith("checkpoint_policy has no key 'save'") for fault in found)
    assert any(fault.startswith("odd is no key of the configuration") for fault in found)
