"""The hyperparameters of an experiment's YAML: what each form draws, and that whatever is wrong is said with its path, all of it at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shadho_like.errors import OptionError
from shadho_like.experiment_config import read_config

SEARCHER = {"name": "random", "metric": "loss", "max_trials": 3}

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
    said = {fault.partition(": ")[0]: fault.partition(": ")[2] for fault in found}
    assert list(said) == [
        "hyperparameters.lr.minvl",
        "hyperparameters.lr",
        "hyperparameters.list[1].minval",
        "hyperparameters.list[2].count",
        "hyperparameters.act.type",
        "serchr",
        "max_restarts",
        "resources.gpu",
        "searcher.smaller_is_better",
        "searcher.metric",
        "searcher.name",
    ]
    assert said["serchr"].startswith("there is no such key: did you mean 'searcher'?")
    assert said["searcher.metric"] == "is missing: the name of the searched metric"
    assert said["searcher.name"].startswith("there is no search method 'rndom': did you mean 'random'?")
    assert said["hyperparameters.list[1].minval"] == "minval must not be above maxval, as 3 is above 1"
    assert said["hyperparameters.list[2].count"] == "count must be a whole number of at least 1, not 0"
