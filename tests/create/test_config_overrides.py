"""`--config key=value`."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadho_like.errors import OptionError
from shadho_like.overrides import overridden

CONFIG: dict[str, Any] = {"name": "a", "searcher": {"max_length": {"epochs": 3}}, "hyperparameters": {"list": [{"val": 1}, {"val": 2}]}, "labels": None}


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("name=b", ["name"], "b"),
        ("searcher.max_length.epochs=9", ["searcher", "max_length", "epochs"], 9),
        ("searcher.max_length={batches: 7}", ["searcher", "max_length"], {"batches": 7}),
        ("hyperparameters.list[1].val=1e-3", ["hyperparameters", "list", 1, "val"], 0.001),
        ("hyperparameters.list.0=x", ["hyperparameters", "list", 0], "x"),
        ("resources.slots_per_trial=2", ["resources", "slots_per_trial"], 2),
        ("labels.new=yes", ["labels", "new"], "yes"),
        ("description=a=b", ["description"], "a=b"),
        ("name=", ["name"], None),
    ],
)
def test_what_is_set(override: str, path: list[Any], value: Any) -> None:
    before = copy.deepcopy(CONFIG)
    found = overridden(CONFIG, [override])
    for key in path:
        found = found[key]
    assert found == value
    assert before == CONFIG


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("name", "--config name: give key=value, as in --config searcher.max_trials=20 (the value is YAML)"),
        ("=3", "--config =3: give key=value, as in --config searcher.max_trials=20 (the value is YAML)"),
        ("name.first=x", "--config name.first: name is 'a', which has no 'first' to set"),
        ("name.first.letter=x", "--config name.first.letter: name is 'a', which has no 'first' to set"),
        ("hyperparameters.list[2].val=x", "--config hyperparameters.list[2].val: hyperparameters.list is a list of 2: its items are hyperparameters.list[0] to hyperparameters.list[1], not '2'"),
    ],
)
def test_what_cannot_be_set(override: str, said: str) -> None:
    with pytest.raises(OptionError) as caught:
        overridden(CONFIG, [override])
    assert str(caught.value) == said


def test_a_value_that_is_no_yaml() -> None:
    with pytest.raises(OptionError, match="the value is no YAML"):
        overridden(CONFIG, ["name=[a"])


@given(st.lists(st.text("ab.[]0123={}:, \n\0é", max_size=12), max_size=4))
def test_any_text_is_set_or_refused(overrides: list[str]) -> None:
    try:
        overridden(CONFIG, overrides)
    except OptionError:
        return
