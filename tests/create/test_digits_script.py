"""examples/digits_script: a script as one finds it, with ten lines added, as a search here, on Work Queue, and as a test of one trial."""

from __future__ import annotations

import difflib
import shutil
import subprocess
from pathlib import Path

import pytest
from parts import need

from shadho_like import Result

EXAMPLE = Path(__file__).parent.parent.parent / "examples/digits_script"
FEW = ("--config", "searcher.max_trials=4")
Environment = dict[str, str]

# To import torch takes a busy machine half a minute, in each attempt.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    need("torch", "sklearn")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "digits_script", ignore=shutil.ignore_patterns("experiments", "__pycache__")))


def shadho(folder: Path, environment: Environment, *words: str) -> str:
    # Two trials at once on all cores each would wait for each other.
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    command = ["shadho", "experiment", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def check(folder: Path) -> None:
    """Each network was trained to its last rung, and none for an epoch that it had behind it."""
    result = Result(folder / "experiments/digits_script")
    assert result.counts == {"COMPLETED": 4}
    assert result.best_value is not None
    assert result.best_value > 0.5
    longest = 0
    for trial in result.trials:
        logs = (result.directory / f"trials/{trial.number:06d}").glob("output*.log")
        said = "".join(log.read_text() for log in logs)
        epochs = sorted(int(line.split()[1].rstrip(":")) for line in said.splitlines() if line.startswith("epoch "))
        assert epochs == list(range(1, trial.validated + 1))
        longest = max(longest, trial.validated)
    assert longest == 8


def test_ten_lines_are_added_and_none_is_changed() -> None:
    original, changed = ((EXAMPLE / name).read_text(encoding="utf-8").splitlines() for name in ("train.py", "searched/train.py"))
    differing = [line for line in difflib.ndiff(original, changed) if not line.startswith(" ")]
    assert len(differing) == 10
    assert all(line.startswith("+ ") for line in differing)
    assert not any("shadho" in line for line in original)


def test_the_script_still_runs_alone(folder: Path, environment: Environment) -> None:
    command = ["python", "searched/train.py", "--epochs", "2", "--lr", "0.1"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert "epoch 2: test accuracy" in done.stdout


def test_one_trial(folder: Path, environment: Environment) -> None:
    said = shadho(folder, environment, "create", "--local", "--test-mode", "experiment.yaml", "searched")
    assert "restore        ok: from length 1 to 2, accuracy 0." in said
    assert said.endswith("\nthe test passed\n")


def test_here(folder: Path, environment: Environment) -> None:
    said = shadho(folder, environment, "create", "experiment.yaml", "searched", "--follow", *FEW)
    assert "Trials: 4 completed, 0 failed" in said
    check(folder)


@pytest.mark.usefixtures("work_queue_installed")
def test_on_work_queue(folder: Path, environment: Environment) -> None:
    worker = subprocess.Popen(["wq_worker", "-M", "digits_script"], cwd=folder, env={**environment, "OMP_NUM_THREADS": "1"})
    try:
        shadho(folder, environment, "create", "experiment.yaml", "searched", "--engine", "workqueue", "--follow", *FEW)
        assert worker.wait() == 0
    finally:
        worker.terminate()
        worker.wait()
    check(folder)
