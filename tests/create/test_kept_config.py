"""What `shadho experiment create` keeps of a configuration: what it checked, and nothing that others may not see."""

from __future__ import annotations

from pathlib import Path

import pytest

from shadho_like.created import create
from shadho_like.experiment_config import ExperimentConfig, read_config, read_text

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
