"""What `shadho experiment create` keeps of a configuration: what it checked, and nothing that others may not see."""

from __future__ import annotations

from pathlib import Path

import pytest

from shadho_like.created import create
from shadho_like.experiment_config import ExperimentConfig, read_config, read_text
from shadho_like.overrides import overridden

CONFIG = """entrypoint: python train.py
hyperparameters: {x: {type: categorical, vals: ["1e-3", "1e5", "0o17", "+1e3", "1e400", "08"]}}
searcher: {name: random, metric: loss, max_trials: 2}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kept(text: str) -> tuple[Path, ExperimentConfig]:
    """Return the file that is kept of a configuration, and what is read from it."""
    directory, _ = create(read_text(text), name="stem")
    path = directory / "experiment.yaml"
    return path, read_config(path)


def test_texts_that_look_like_numbers_stay_texts() -> None:
    assert kept(CONFIG)[1].source == {"name": "stem", **read_text(CONFIG).source}


def test_a_name_left_empty_is_that_of_the_file() -> None:
    path, config = kept(f"name:\n{CONFIG}")
    assert (path.parent.name, config.name) == ("stem", "stem")


def test_environment_variables_are_the_texts_that_were_written() -> None:
    """Also those that a mapping has from another, where its own come before."""
    variables = "{A: 1.10, B: 0042, C: 0x10, D: 1e-3, E: .5, F: 1e400, G: '7', <<: &other {A: 9.90, H: 2.0}}"
    written = {"A": "1.10", "B": "0042", "C": "0x10", "D": "1e-3", "E": ".5", "F": "1e400", "G": "7", "H": "2.0"}
    for form in (variables, f"{{cpu: {variables}}}"):
        assert kept(f"{CONFIG}environment: {{environment_variables: {form}}}\n")[1].environment_variables == written


@pytest.mark.parametrize("override", ["environment_variables.A=1.10", "environment_variables={A: 1.10}", "environment_variables.cpu.A=1.10"])
def test_an_environment_variable_set_over_the_file_is_the_text_that_was_written(override: str) -> None:
    config = read_config(overridden(dict(read_text(CONFIG).source), [f"environment.{override}"]))
    assert config.environment_variables == {"A": "1.10"}


def test_secrets_are_for_their_owner(folder: Path) -> None:
    path, _ = kept(f"{CONFIG}environment: {{environment_variables: [WANDB_API_KEY=abc def]}}\n")
    assert path.stat().st_mode & 0o777 == 0o600
