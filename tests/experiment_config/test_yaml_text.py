"""The text of an experiment's YAML: what it is read as, and that whatever is wrong with it is said with its line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadho_like.errors import OptionError
from shadho_like.experiment_config import read_config, read_text
from shadho_like.experiment_config.yaml_text import LARGEST_TEXT, read_yaml, write_yaml

VALID = """\
name: digits
description: What it is.
labels: [a, b]
entrypoint: python train.py
hyperparameters:
  lr: {type: log, minval: -4, maxval: -1}
  layers: [1, {type: int, minval: 1, maxval: 3}]
  act: {type: categorical, vals: [relu, tanh]}
  nested: &nested
    width: {type: int, minval: 1, maxval: 100, count: 4}
    deep: {type: const, val: [1, 2]}
  same: {<<: *nested, width: 3}
searcher:
  name: async_halving
  metric: loss
  max_length: {epochs: 9}
  num_rungs: 2
  max_trials: 8
min_checkpoint_period: {epochs: 2}
checkpoint_storage: {type: shared_fs, path: /scratch}
resources: {slots_per_trial: 1, cores: 2, priority: 3, max_slots: 4}
environment: {environment_variables: [A=1, B=2]}
slurm: {workers: 4, time: 4:00:00, sbatch_args: [--partition=gpu]}
"""
PIECES = (
    *("&a ", "*nested", "<<: *nested", "{", "}", "[", "]", ":", " ", "\n", "  ", "- ", "? ", "null", "-1", "1e400", "9" * 30, ".nan", "'", '"'),
    *("|", ">", "%", "@", "`", "\t", "\0", "é", "type: int", "searcher", "hyperparameters:", "!x ", "!!set ", "---\n", "#", "exclusive: true"),
    *("optional: true", "count: 3", '"\\ud800": ', '"\\n": 1'),
)
edits = st.lists(st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "val", "minval", "name"]) | st.text(max_size=5), inner),
    max_leaves=12,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.from_regex(r"[-+.0-9eExo_~:<=]{1,6}", fullmatch=True)
written_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    [
        *("hyperparameters", "searcher", "name", "resources", "max_restarts", "engine", "entrypoint", "odd", "checkpoint_policy", "labels"),
        *("checkpoint_storage", "environment", "slurm", "pbs", "min_checkpoint_period", "bind_mounts", "reproducibility", "description"),
    ]
)


def value_of(text: str) -> Any:
    document = read_yaml(text)
    assert document.faults == []
    return document.value


def faults(text: str) -> list[str]:
    with pytest.raises(OptionError) as caught:
        read_text(text, "exp.yaml")
    return str(caught.value).splitlines()


def test_scalars_are_what_yaml_1_2_says() -> None:
    said = value_of("a: [1e-3, 1_0, 0o17, 0x1F, 010, +3, .5, 4:00:00, yes, on, True, ~, null, 2020-01-01, '1', \"2\", !!str 3, !!float 4, =]")
    assert said == {"a": [0.001, "1_0", 15, 31, 10, 3, 0.5, "4:00:00", "yes", "on", True, None, None, "2020-01-01", "1", "2", "3", 4.0, "="]}


def test_aliases_and_merges_are_copied_out() -> None:
    text = "base: &b {x: 1, y: 2}\nother: &c {y: 3, z: 4}\na: {<<: *b, y: 5}\nb: {<<: [*c, *b]}\nc: [*b, *b]\nd: {'<<': 1}"
    assert value_of(text) == {
        "base": {"x": 1, "y": 2},
        "other": {"y": 3, "z": 4},
        "a": {"x": 1, "y": 5},
        "b": {"x": 1, "y": 3, "z": 4},
        "c": [{"x": 1, "y": 2}, {"x": 1, "y": 2}],
        "d": {"<<": 1},
    }


@pytest.mark.parametrize("text", ["1e-3", "1e5", "12E4", "0o17", "+1e3", "1e400", "08", "+.INF", ".nan", "0x1F", "~", "", "Null", "yes", "<<", "="])
def test_a_text_that_could_be_a_number_is_written_as_a_text(text: str) -> None:
    assert value_of(write_yaml({text: [text]})) == {text: [text]}


@settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
@given(written_values)
def test_what_is_written_is_read_as_the_same(value: Any) -> None:
    assert value_of(write_yaml(value)) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "exp.yaml:3: a: is there twice: first in line 1"),
        ("a:\n  b: 1\n  'b': 2", "exp.yaml:3: a.b: is there twice: first in line 2"),
        ("a: &x\n  - *x", "exp.yaml:1: a[0]: holds itself"),
        ("a: 1\n1: 2", "exp.yaml:2: the key 1 is no text: put it in quotes"),
        ("? [a]\n: 1", "exp.yaml:1: the key a list or mapping is no text: put it in quotes"),
        ("a: !!python/object:os.system x", "exp.yaml:1: a: the tag !!python/object:os.system is not taken for 'x': leave it out"),
        ("a: !mine {}", "exp.yaml:1: a: the tag !mine is not taken: leave it out"),
        ("a: 1\n<<: 3", "exp.yaml:2: << takes a mapping or a list of mappings"),
        ("name: a\nlabels: [.nan]", "exp.yaml:2: labels[0]: must be a finite number, not nan"),
        (f"name: {'9' * 5000}", f"exp.yaml:1: name: the number {'9' * 20}... is too long"),
        ("a: [" * 400, "exp.yaml:1: is nested more than 50 deep"),
        ("a: " + "[" * 60 + "]" * 60, "exp.yaml:1: a" + "[0]" * 50 + ": is nested more than 50 deep"),
        ("- 1", "exp.yaml:1: must be a mapping, not [1]"),
        ("", "exp.yaml:1: must be a mapping, not None"),
        ("x" * (LARGEST_TEXT + 1), f"exp.yaml:1: is larger than {LARGEST_TEXT} characters"),
        ("name: a\nb: {", "exp.yaml:2: is no YAML: while parsing a flow node, expected the node content, but found '<stream end>'"),
        ("name: a\n---\nname: b", "exp.yaml:2: is no YAML: expected a single document in the stream, but found another document"),
        ('"a\\nb": 1', "exp.yaml:1: a\\nb: there is no such key: Known: "),
    ],
)
def test_what_is_wrong_with_a_text_is_said_with_its_line(text: str, said: str) -> None:
    assert any(fault.startswith(said) for fault in faults(text)), faults(text)


def test_a_billion_laughs_are_not_laughed() -> None:
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert faults(laughs) == ["exp.yaml:1: has more than 100000 values once its aliases are copied out"]
    shared: list[Any] = ["x"] * 10
    for _ in range(12):
        shared = [shared] * 10
    with pytest.raises(OptionError, match="has more than 100000 values"):
        read_config({"hyperparameters": {"a": shared}})


def test_what_only_a_program_can_give_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    odd: dict[Any, Any] = {"hyperparameters": endless, "name": object(), "labels": {1}, 3: 4}
    with pytest.raises(OptionError) as caught:
        read_config(odd)
    said = str(caught.value)
    assert "is nested more than 50 deep" in said
    assert "name: is a object, which a configuration cannot hold" in said


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(OptionError) as caught:
            read_config(path)
        assert str(caught.value) == f"{path}: cannot be read: {reason}"
    (tmp_path / "odd.yaml").write_bytes(b"a: \xff")
    with pytest.raises(OptionError, match="no text in UTF-8"):
        read_config(tmp_path / "odd.yaml")


def is_a_message(text: str) -> None:
    try:
        read_text(text, "exp.yaml")
    except OptionError as error:
        lines = str(error).splitlines()
        assert lines
        assert all(line.startswith("exp.yaml:") and line.isprintable() for line in lines)


@given(st.text())
def test_any_text_gives_a_message_with_a_path(text: str) -> None:
    is_a_message(text)


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(edits)
def test_a_mutated_file_gives_a_message_with_a_path(changes: list[tuple[int, int, str]]) -> None:
    read_text(VALID)
    text = VALID
    for place, length, piece in changes:
        text = text[:place] + piece + text[place + length :]
    is_a_message(text)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys, json_values) | json_values)
def test_no_configuration_gives_anything_but_a_message(config: Any) -> None:
    with suppress(OptionError):
        read_config(config)
