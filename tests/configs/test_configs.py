"""Strict configs: names and types are checked whenever they are set, messages say what and where, final ones stay as they are."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from configs.classes import SGD, Adam, Layer, Mode, Train, train

from shadho_like.configs import REQUIRED, Config, pydraclass
from shadho_like.errors import ConfigError, UserError

TRAIN = "Known: base_dir, data, extra, layers, loss, mode, note, optimizer, seed, steps, tags, verbose, warmup."


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        action()
    assert isinstance(caught.value, UserError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.path) == (str(caught.value), caught.value.path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names() -> None:
    config = train()
    assert refused(lambda: setattr(config, "stepps", 3)) == f"config.stepps: Train has no field 'stepps': did you mean 'steps'? {TRAIN}"
    assert refused(lambda: train(stepps=3)) == f"config.stepps: Train has no field 'stepps': did you mean 'steps'? {TRAIN}"
    text = "config.optimizer.lrr: Adam has no field 'lrr': did you mean 'lr'? Known: base_dir, betas, lr, name."
    assert refused(lambda: setattr(config.optimizer, "lrr", 3)) == text
    assert refused(lambda: Train.from_dict({"optimizer": {"class": "Adam", "lrr": 3}})) == text  # type: ignore[attr-defined]
    text = "config.layers[1].sise: Layer has no field 'sise': did you mean 'size'? Known: base_dir, dropout, size."
    assert refused(lambda: setattr(config.layers[1], "sise", 3)) == text
    assert refused(lambda: delattr(config, "steps")) == "config.steps: fields of a config cannot be deleted"


def test_types() -> None:
    config = train()
    for whole in (55.0, np.int64(55), np.float32(55)):
        config.steps = whole
        assert (config.steps, type(config.steps)) == (55, int)
    for wrong, kind in (("7", "str"), (True, "bool"), (10.5, "float"), (None, "NoneType")):
        text = f"config.steps: Train declares steps: int, which does not take {wrong!r} ({kind}): input should be a valid integer"
        assert refused(partial(setattr, config, "steps", wrong)) == text
        assert refused(partial(train, steps=wrong)) == text
    config.optimizer.lr = 1
    assert (config.optimizer.lr, type(config.optimizer.lr)) == (1.0, float)
    config.optimizer.betas = [0, 1]
    assert config.optimizer.betas == (0.0, 1.0)
    text = (
        "config.optimizer.betas[1]: Adam declares betas: tuple[float, float], which does not take 'x' (str): input should be a valid number"
    )
    assert refused(lambda: setattr(config.optimizer, "betas", (0.9, "x"))) == text
    text = "config.verbose: Train declares verbose: bool, which does not take 'yes' (str): input should be a valid boolean"
    assert refused(lambda: setattr(config, "verbose", "yes")) == text
    text = "config.optimizer: Train declares optimizer: Adam | SGD, which does not take 3 (int)"
    assert refused(lambda: setattr(config, "optimizer", 3)) == text
    text = "config.loss: Train declares loss: Literal['l1', 'l2'], which does not take 'l3' (str): input should be 'l1' or 'l2'"
    assert refused(lambda: setattr(config, "loss", "l3")) == text
    text = "config.layers[0].size: Layer declares size: int, which does not take 'big' (str): input should be a valid integer"
    assert refused(lambda: Train.from_dict({"layers": [{"size": "big"}]})) == text  # type: ignore[attr-defined]
    assert config == train(steps=55, optimizer=Adam(lr=1.0, betas=(0.0, 1.0)))


def test_ints_and_floats_stay_what_they_are_where_both_may_be() -> None:
    @pydraclass
    class Search:
        range: tuple[int | float, int | float] = (1, 2)

    assert [type(end) for made in (Search(range=(10, 100)), Search(range=(10.0, 0.5))) for end in made.range] == [int, int, float, float]


def test_a_default_that_can_change_belongs_to_each_config() -> None:
    first, second = train(), train()
    first.tags["a"] = 1
    first.optimizer.lr = 0.5
    assert (second.tags, second.optimizer.lr) == ({}, 1e-3)


def test_a_default_of_the_wrong_type_is_found() -> None:
    @pydraclass
    class Wrong:
        size: int = "big"  # type: ignore[assignment]

    assert refused(Wrong) == "config.size: Wrong declares size: int, which does not take 'big' (str): input should be a valid integer"


def test_every_config_has_a_base_dir() -> None:
    config = train()
    before = config.digest()
    assert config.base_dir is None
    assert "base_dir" not in config.to_dict()
    config.base_dir = "results"
    assert train(base_dir="results") == config
    assert (config.to_dict()["base_dir"], config.digest() != before) == ("results", True)


def test_inheritance_and_super() -> None:
    class Plain:
        def twice(self) -> int:
            return 2

    @pydraclass
    class Base(Plain):
        size: int = 1

        def custom_finalize(self) -> None:
            self.size += 1

    @pydraclass
    class Derived(Base):
        depth: int

        def custom_finalize(self) -> None:
            super().custom_finalize()
            self.depth *= self.twice()

    made = Derived(depth=3)
    made.finalize()  # type: ignore[attr-defined]
    assert (made.size, made.depth) == (2, 6)
    assert isinstance(made, Config)
    assert isinstance(made, Base)

    class Undecorated(Base):
        more: int = 3

    assert refused(Undecorated) == "config: Undecorated declares fields of its own, so it needs @pydraclass as well"


def test_names_that_configs_need_for_themselves() -> None:
    def with_finalize() -> None:
        @pydraclass
        class Mine:
            def finalize(self) -> None:
                pass

    def with_digest() -> None:
        @pydraclass
        class Mine:
            digest: str = ""

    assert refused(with_finalize) == "config: Mine defines finalize, which configs have already: rename it to custom_finalize"
    assert refused(with_digest) == "config.digest: Mine declares a field by the name of a method that configs have: rename it"


def test_what_is_required_is_listed_at_once() -> None:
    @pydraclass
    class Inner:
        size: int

    @pydraclass
    class Outer:
        lr: float = REQUIRED
        inner: Inner = Inner()  # type: ignore[call-arg]
        more: dict[str, Inner] = {}  # noqa: RUF012

    config: Any = Outer(more={"x": Inner()})  # type: ignore[call-arg]
    text = "config: Outer needs a value for lr, inner.size, more['x'].size"
    assert refused(config.finalize) == text
    assert not config.finalized


def test_finalize_is_children_first_each_once() -> None:
    order: list[str] = []

    @pydraclass
    class Node:
        name: str
        below: Any = None

        def custom_finalize(self) -> None:
            order.append(self.name)

    shared = Node(name="shared")
    root: Any = Node(name="root", below=[Node(name="list", below=(shared,)), {"k": Node(name="dict", below=shared)}])
    root.finalize()
    root.finalize()
    assert order == ["shared", "list", "dict", "root"]


def test_cycles_are_named() -> None:
    @pydraclass
    class Node:
        below: Any = None

    root: Any = Node()
    root.below = [Node(below={"up": root})]
    assert refused(root.finalize) == "config.below[0].below['up']: this is config again: no config can hold itself"
    knot: list[Any] = []
    knot.append(knot)
    assert refused(lambda: Node(below=knot)) == "config.below[0]: a list that holds itself cannot be part of a config"


def test_a_final_config_is_frozen_and_its_deep_copy_is_not() -> None:
    config = train()
    config.finalize()
    assert config.warmup == 10
    text = "config.optimizer.lr: this Adam is final and cannot be changed: copy.deepcopy(config) gives one that can be changed"
    assert refused(lambda: setattr(config.optimizer, "lr", 0.5)) == text
    other = copy.deepcopy(config)
    other.optimizer.lr, other.steps = 0.5, 7
    assert (config.optimizer.lr, config.steps) == (1e-3, 100)
    text = "config.optimizer.lrr: Adam has no field 'lrr': did you mean 'lr'? Known: base_dir, betas, lr, name."
    assert refused(lambda: setattr(other.optimizer, "lrr", 1)) == text
    assert pickle.loads(pickle.dumps(config)).finalized
    assert pickle.loads(cloudpickle.dumps(config)) == config


def test_digests() -> None:
    config = train()
    assert config.digest() == "166dd4cc5b520594c9580f72bb4372ee"
    assert train(extra=1).digest() == train(extra=1.0).digest() == train(extra=True).digest()
    assert train(extra={"a": 1, "b": 2}).digest() == train(extra={"b": 2, "a": 1}).digest()
    digests = {train(extra=extra).digest() for extra in (None, 1, "1", [1], (1,), {1}, {1: 1}, 1.5, Mode.FAST, Layer(), SGD, np.ones(2))}
    assert len(digests) == 12
    text = refused(train(extra=[object()]).digest)
    assert text.startswith("config.extra[0]: <object object at 0x")
    assert text.endswith("(object) cannot be part of a digest: nothing tells whether another one is equal")


def test_yaml(tmp_path: Path) -> None:
    config = train(
        optimizer=SGD(momentum=0.5),
        layers=[Layer(dropout=1e-5)],
        tags={"a": 1, "1e-3": 2},
        extra=["1e-3", "1E5", "no"],
        mode=Mode.GOOD,
        data=Path("x/y"),
        base_dir="b",
    )
    path = tmp_path / "deep" / "config.yaml"
    config.save_yaml(path)
    assert Train.from_yaml(path) == config  # type: ignore[attr-defined]
    assert "optimizer:\n  class: SGD\n  lr: 0.1\n  momentum: 0.5\n" in path.read_text(encoding="utf-8")
    path.write_text("optimizer: {class: SGD, lr: 1e-3}", encoding="utf-8")
    assert Train.from_yaml(path).optimizer.lr == 1e-3  # type: ignore[attr-defined]
    assert Train.from_dict(Train().to_dict()) == Train()  # type: ignore[attr-defined, call-arg]


def test_yaml_that_cannot_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    load: Any = Train
    assert refused(lambda: load.from_yaml(path)) == f"config: {path} cannot be read: No such file or directory"
    path.write_text("a: [1,\nb: 2", encoding="utf-8")
    assert refused(lambda: load.from_yaml(path)) == f"config: {path}, line 2: this is no YAML: expected ',' or ']', but got '<stream end>'"
    path.write_text("[1, 2]", encoding="utf-8")
    assert refused(lambda: load.from_yaml(path)) == "config: Train is made of names and values, not of [1, 2] (list)"
    path.write_text("optimizer: {lr: 1}", encoding="utf-8")
    assert refused(lambda: load.from_yaml(path)) == "config.optimizer: it may be Adam or SGD: say which, as in class: Adam"
    path.write_text("optimizer: {class: Adm}", encoding="utf-8")
    text = "config.optimizer: there is no config class 'Adm' for it: did you mean 'Adam'? Known: Adam, SGD."
    assert refused(lambda: load.from_yaml(path)) == text


def test_the_package_itself_loads_none_of_it() -> None:
    code = "import sys, shadho_like, shadho_like.driver; print(sorted({'pydantic', 'yaml', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
