"""Configs from the command line: overrides, --help, --show, --config, and mistakes that end with one line."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from configs.classes import SGD, Adam, Layer, Mode, Train, train
from hypothesis import given
from hypothesis import strategies as st

from shadho_like.configs import ConfigError, apply_overrides
from shadho_like.configs.literals import evaluate

PROGRAM = """
from configs.classes import Train
from shadho_like.configs import main

@main(Train)
def program(config: Train) -> None:
    print(config.steps, config.optimizer, config.layers)

program()
"""

floats = st.floats(allow_nan=False)
names = st.text(max_size=8)
optimizers = st.one_of(st.builds(Adam, name=names, lr=floats, betas=st.tuples(floats, floats)), st.builds(SGD, lr=floats))
configs = st.builds(
    Train,
    steps=st.integers(),
    seed=st.integers(),
    optimizer=optimizers,
    layers=st.lists(st.builds(Layer, size=st.integers(), dropout=st.none() | floats), min_size=2, max_size=2),
    tags=st.dictionaries(names, st.integers(), max_size=3),
    mode=st.sampled_from(Mode),
    loss=st.sampled_from(["l1", "l2"]),
    verbose=st.booleans(),
    note=st.none() | names,
    extra=st.recursive(st.none() | st.booleans() | st.integers() | floats | names, lambda one: st.lists(one) | st.dictionaries(names, one)),
)


def overrides_of(config: Any) -> list[str]:
    """Write a config as overrides of the default one, each value as a Python literal."""
    optimizer, made = config.optimizer, [f"optimizer={type(config.optimizer).__name__}"]
    made += [f"--optimizer.{name}={getattr(optimizer, name)!r}" for name in type(optimizer).__dataclass_fields__ if name != "base_dir"]
    made += [f"layers[{at}].{name}={getattr(config.layers[at], name)!r}" for at in (0, 1) for name in ("size", "dropout")]
    made += [f"mode={config.mode.value}"]
    return made + [f"{name}={getattr(config, name)!r}" for name in ("steps", "seed", "tags", "loss", "verbose", "note", "extra")]


@given(configs)
def test_overrides_round_trip(config: Any) -> None:
    made = Train()  # type: ignore[call-arg]
    apply_overrides(made, overrides_of(config))  # type: ignore[arg-type]
    assert made == config
    assert made.digest() == config.digest()  # type: ignore[attr-defined]


@given(configs)
def test_plain_data_round_trip(config: Any) -> None:
    assert Train.from_dict(config.to_dict()) == config  # type: ignore[attr-defined]


@given(st.text() | st.lists(st.sampled_from("(['{0a*-+/%:,.}])\"= ")).map("".join))
def test_no_text_does_more_than_fail(text: str) -> None:
    config = train()
    for name in ("extra", "steps", "tags", "optimizer"):
        with suppress(ConfigError):
            apply_overrides(config, [f"{name}={text}"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2**4", 16),
        ("-1e-3", -1e-3),
        ("1/4 + 3 % 2", 1.25),
        ("7 // 2", 3),
        ("[a, 'b', 3]", ["a", "b", 3]),
        ("{a: [1, 2], 'b': (None, true)}", {"a": [1, 2], "b": (None, True)}),
        ("inf", float("inf")),
        ("{1, 2}", {1, 2}),
    ],
)
def test_literals(text: str, value: Any) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize(
    "text", ["9**9**9", "__import__('os')", "open('x')", "a.b", "f'{1}'", "[0]*9", "1/0", "(-1)**0.5", "lambda: 1", ""]
)
def test_no_literals(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        evaluate(text)


def test_texts_stay_texts_where_text_is_declared() -> None:
    config = train()
    apply_overrides(config, ["note=7", "data=a/b", "tags.new=3", "tags={x: 1}", "tags[y]=2", "layers[-1].size=2*3", "optimizer.name=None"])
    assert (config.note, config.data, config.tags, config.layers[1].size) == ("7", Path("a/b"), {"x": 1, "y": 2}, 6)
    assert config.optimizer.name == "None"
    apply_overrides(config, ["note=None", "optimizer=SGD", "optimizer.momentum=1"])
    assert (config.note, config.optimizer) == (None, SGD(momentum=1))


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("stps=3", "config.stps: Train has no field 'stps': did you mean 'steps'? Known: base_dir, data, extra, layers, loss, mode, note, optimizer, seed, steps, tags, verbose, warmup."),
        ("--optimizer.lrr=3", "config.optimizer.lrr: Adam has no field 'lrr': did you mean 'lr'? Known: base_dir, betas, lr, name."),
        ("steps=ten", "config.steps: Train declares steps: int, which does not take 'ten' (str): input should be a valid integer"),
        ("steps=10.5", "config.steps: Train declares steps: int, which does not take 10.5 (float): input should be a valid integer"),
        ("optimizer=SDG", "config.optimizer: there is no config class 'SDG' for it: did you mean 'SGD'? Known: Adam, SGD."),
        ("layers[2].size=1", "config.layers: it has 2 elements, counted from 0, and no '2' among them"),
        ("note.x=1", "config.note: it is None, which has no part 'x': give it a value as a whole first"),
        ("tags.a.b=1", "config.tags: it has no key 'a'; there are none"),
        ("--verbose", "config: '--verbose' is no override: write name=value, as in lr=0.1 or optimizer.name=sgd"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(override: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(train(), [override])
    assert str(caught.value) == text
    done = program(override, "steps=1", "seed=1") if override.startswith("stps") else program("steps=1", "seed=1", override)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {text}\n")


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    folder = Path(__file__).parent.parent
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_a_program() -> None:
    done = program("steps=2**4", "seed=1", "--optimizer=SGD", "optimizer.lr=1e-2", "layers=[]")
    assert (done.stdout, done.stderr, done.returncode) == ("16 SGD(lr=0.01, momentum=0.0) []\n", "", 0)
    done = program("steps=1")
    assert (done.returncode, done.stderr) == (2, "error: config: Train needs a value for seed\n")


def test_help_and_show(tmp_path: Path) -> None:
    said = program("--help").stdout
    lines = [" ".join(line.split()) for line in said.splitlines()]
    fields = (
        "steps: int (required) how long",
        "seed: int (required)",
        "optimizer: Adam | SGD = Adam",
        "optimizer.name: str = 'adam' what the log calls it",
        "optimizer.lr: float = 0.001",
        "optimizer.betas: tuple[float, float] = (0.9, 0.99) First and second moment.",
    )
    start = lines.index("fields of Train:") + 1
    assert tuple(lines[start : start + len(fields)]) == fields
    path = tmp_path / "config.yaml"
    shown = program("--show", "steps=10", "seed=3", "optimizer=SGD")
    path.write_text(shown.stdout, encoding="utf-8")
    again = program("--config", str(path), "--show")
    assert again.stdout == shown.stdout
    assert "warmup: 1\n" in shown.stdout
    assert program(f"--config={path}", "steps=11").stdout.startswith("11 SGD(lr=0.1")
    assert program("--config").stderr == "error: config: --config needs the name of a YAML file\n"
