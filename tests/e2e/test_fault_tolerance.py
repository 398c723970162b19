"""The example that is to survive anything, killed in the middle of an epoch: its last weights are those of an undisturbed run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from e2e.processes import Environment, running, until

from shadho_like.result import Result

EXAMPLE = Path(__file__).parent.parent.parent / "examples/fault_tolerance"
# In the loop over batches; the process that stops there says which it is.
SIGN = """\
                if context.trial.number == 1 and context.trial.attempt == 1 and epochs_trained == 5 and batches_trained % 50 == 25:
                    open(SIGN + ".partial", "w").write(str(os.getpid())); os.rename(SIGN + ".partial", SIGN); time.sleep(1000)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("experiments", "__pycache__")))


def weights(folder: Path, environment: Environment) -> list[dict[str, np.ndarray]]:
    """Return what each trial saved last, taken out as the README says."""
    found = []
    for trial in range(4):
        listed = subprocess.run(
            ["shadho", "checkpoint", "list", "experiments/fault_tolerance", "--trial", str(trial)],
            cwd=folder, env=environment, capture_output=True, text=True, check=True,
        )
        last = [line.split() for line in listed.stdout.splitlines()[1:]][-1]
        assert last[2] == "12"
        subprocess.run(["shadho", "checkpoint", "download", "experiments/fault_tolerance", last[0]], cwd=folder, env=environment, check=True)
        with np.load(folder / last[0] / "my_checkpoint.npz") as state:
            found.append({name: state[name] for name in state})
        shutil.rmtree(folder / last[0])
    return found


def run_through(folder: Path, environment: Environment) -> list[dict[str, np.ndarray]]:
    done = subprocess.run(["python", "driver.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert Result(folder / "experiments/fault_tolerance").counts == {"COMPLETED": 4}
    return weights(folder, environment)


def began(folder: Path) -> list[int]:
    """Return the epochs from which trial 1's attempts began."""
    logs = (folder / "experiments/fault_tolerance/trials/000001").glob("output*.log")
    return sorted(int(epoch) for log in logs for epoch in re.findall(r"going on from epoch (\d+)", log.read_text()))


@pytest.fixture
def stopped_in_an_epoch(folder: Path, tmp_path: Path) -> Path:
    """Have the first attempt of trial 1 stop in the middle of its sixth epoch; return the file that then says its process."""
    script, sign = folder / "train.py", tmp_path / "sign"
    text = script.read_text()
    line = "                batches_trained += 1\n"
    assert text.count(line) == 1
    text = text.replace(line, line + SIGN)
    script.write_text(text.replace("import numpy", f"import os\nimport time\n\nSIGN = {str(sign)!r}\nimport numpy", 1))
    return sign


def undisturbed(folder: Path, environment: Environment) -> list[dict[str, np.ndarray]]:
    other = Path(shutil.copytree(EXAMPLE, folder.parent / "undisturbed", ignore=shutil.ignore_patterns("experiments", "__pycache__")))
    return run_through(other, environment)


def check_same(first: list[dict[str, np.ndarray]], second: list[dict[str, np.ndarray]]) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert np.array_equal(value, other[name]), name


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("killed", ["training", "driver"])
def test_killed_in_an_epoch_it_ends_with_the_same_weights(
    folder: Path, environment: Environment, stopped_in_an_epoch: Path, killed: str
) -> None:
    sign = stopped_in_an_epoch
    with running(["python", "driver.py"], folder, environment) as driver:
        until(sign.exists, "the middle of an epoch", driver)
        training = int(sign.read_text())
        if killed == "training":
            kill(training)
            said, _ = driver.communicate()
            assert driver.returncode == 0, said
        else:
            kill(driver.pid)
            driver.wait()
            wait_gone(training)
    found = run_through(folder, environment)
    assert began(folder)[-1] == 5
    check_same(found, undisturbed(folder, environment))


def wait_gone(pid: int) -> None:
    until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the training of a dead driver")


def test_it_runs_outside_of_any_search(folder: Path, environment: Environment) -> None:
    for epochs in (0, 1):
        done = subprocess.run(["python", "train.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"going on from epoch {epochs}" in done.stdout
        assert "shadho_worker: completed with {'status': 'completed'" in done.stdout
