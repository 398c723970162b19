"""The listings that the runner was asked to run, word for word but for their imports; each is a script in a folder of its own."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

LISTINGS = Path(__file__).with_name("listings.md").read_text(encoding="utf-8")
TRAINING = """
def perform_training(config):
    print("training")
    return config.num_parameters / 80
"""
IMPORTS = """
import copy
from typing import Any
import numpy as np
from training import perform_training
from shadho_like.configs import main, pydraclass
from shadho_like.runner.binary_search import run_binary_searches
from shadho_like.runner.configs.search_configs import BinarySearchConfig, GridSearchConfig
from shadho_like.runner.gpu_utils import GPUJobResult
from shadho_like.runner.grid_search import run_grid_searches
"""


def listings() -> list[str]:
    """Return the listings without their imports."""
    blocks = re.findall(r"^```python\n(.*?)^```$", LISTINGS, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^(from|import) .*\n", "", block, flags=re.MULTILINE) for block in blocks]


def run(folder: Path, script: str, environment: Mapping[str, str], *arguments: str) -> str:
    define, _, _ = listings()
    (folder / "training.py").write_text(TRAINING, encoding="utf-8")
    (folder / "dummy_experiment.py").write_text(IMPORTS + define, encoding="utf-8")
    (folder / "script.py").write_text(script, encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(params=[None, "0,1,2,3"], ids=["cores", "four GPUs"])
def machine(request: pytest.FixtureRequest) -> dict[str, str]:
    """A machine without a GPU, and one that pretends to have four."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": request.param or ""}


EXPERIMENT = f"{IMPORTS}from dummy_experiment import DummyExperimentConfig, run_experiment\n"


def test_the_experiment(tmp_path: Path, machine: dict[str, str]) -> None:
    define, _, _ = listings()
    assert run(tmp_path, f"{IMPORTS}{define}\nmain()\n", machine, "num_parameters=5", "--seed=1") == "training\n"


def test_the_binary_search(tmp_path: Path, machine: dict[str, str]) -> None:
    _, search, _ = listings()
    run(tmp_path, EXPERIMENT + search, machine)
    folder = tmp_path / "results/binary_search"
    [path] = folder.glob("binary_search_results_*.pkl")
    answer = pickle.loads(subprocess.run([sys.executable, "-c", READ, path], cwd=tmp_path, capture_output=True, check=True).stdout)
    assert answer == [(40, 0.5), (39, 39 / 80)]
    seeds = {int(entry.parent.name.rpartition("_")[2]) for entry in folder.glob("num_parameters_40_seed_*/experiment_output.log")}
    assert seeds == {42, 43, 44, 45}
    assert {log.read_text() for log in folder.glob("num_parameters_40_*/experiment_output.log")} == {"training\n"}


# What is in the file are objects of the script's own classes, which come with it.
READ = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    filed = pickle.load(file)
sides = [(value, result.result) for value, result in (filed["achieved_results"], filed["failed_results"])]
sys.stdout.buffer.write(pickle.dumps(sides))
"""


def test_the_grid_searches(tmp_path: Path, machine: dict[str, str]) -> None:
    _, _, search = listings()
    run(tmp_path, EXPERIMENT + search, machine)
    for number in (10, 20, 30, 40):
        folder = tmp_path / f"results/grid_search_{number}"
        assert len(list(folder.glob("grid_search_results_*.pkl"))) == 1
        logs = [log.read_text() for log in folder.glob(f"num_parameters_{number}_seed_*/experiment_output.log")]
        assert logs == ["training\n"] * 4
