"""The same jobs on the real Work Queue, with a worker of this machine."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.processes import until
from experiments import Experiment, Grid, binary, grid

from shadho_like.configs import pydraclass
from shadho_like.runner import run_binary_searches, run_grid_searches

NAME = "runner_test"


@pytest.fixture
def start_worker(
    work_queue_installed: None, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start workers in an empty folder. Each finds a search by its name, and ends with it."""
    monkeypatch.setenv("SHADHO_HOME", environment["SHADHO_HOME"])
    monkeypatch.setenv("HOME", environment["HOME"])
    folder = tmp_path / "worker"
    folder.mkdir()
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        with (folder / "said").open("a", encoding="utf-8") as said:
            started.append(subprocess.Popen(["wq_worker", "-M", NAME], cwd=folder, env=environment, stdout=said, stderr=said, text=True))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait()


Starter = Callable[[], subprocess.Popen[str]]


class Rounded:
    """Sends numbers as text of two digits."""

    def encode(self, value: Any) -> bytes:
        return f"{value:.2f}".encode()

    def decode(self, data: bytes) -> float:
        if data == b"1.00":
            raise ValueError("not this one")
        return float(data)


@pydraclass
class Wild(Grid):
    """Jobs of which some go wrong."""

    def run_experiment_config(self, config: Any) -> Any:
        print(f"job {config.n}")
        if config.n == 1:
            raise ValueError("no such thing")
        if config.n == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if config.n == 3:
            return {"array": np.arange(3), "text": "a"}
        if config.n == 4:
            return object()
        if config.n == 5:
            time.sleep(1000)
        return os.getpid()


def wild(folder: Path, *numbers: int) -> Any:
    return Wild(base_dir=str(folder), sweep_props={"n": list(numbers)}, base_experiment_config=Experiment())


def test_a_binary_search_and_results_that_come_back_as_json(start_worker: Starter, tmp_path: Path) -> None:
    configs = [binary(tmp_path / name, sweep_props={"seed": [1, 2]}, base_experiment_config=Experiment(threshold=33.5)) for name in "ab"]
    for _ in range(2):
        start_worker()
        assert run_binary_searches(configs, engine="workqueue", workqueue={"name": NAME}) == [((33, [0.5, 0.5]), (34, [-0.5, -0.5]))] * 2
    assert (tmp_path / "a/n_33_seed_1/experiment_output.log").read_text() == "n=33 seed=1\n"
    assert not (tmp_path / "a/binary_search/workqueue").exists()


def test_jobs_that_go_wrong_and_a_codec(start_worker: Starter, tmp_path: Path) -> None:
    start_worker()
    [results] = run_grid_searches([wild(tmp_path / "a", 0, 1, 2, 3, 4)], engine="workqueue", workqueue={"name": NAME}, job_timeout=3000)
    start_worker()
    # Alone: any job may be slower than this.
    [hung] = run_grid_searches([wild(tmp_path / "a", 5)], engine="workqueue", workqueue={"name": NAME}, job_timeout=5)
    by_number = {values["n"]: (success, result) for values, success, result in (*results, *hung)}
    assert by_number[0][0]
    assert by_number[3] == (True, {"array": [0, 1, 2], "text": "a"})
    assert [success for success, _ in by_number.values()] == [True, False, False, True, False, False]
    errors = {}
    for number in (1, 2, 4, 5):
        [path] = (tmp_path / f"a/n_{number}").glob("experiment_result_*.pkl")
        errors[number] = pickle.loads(path.read_bytes())["error"].splitlines()[0]
    assert errors[1] == "ValueError: no such thing"
    assert errors[2] == "killed by SIGKILL"
    assert errors[4].startswith("its result cannot come back as JSON, and needs a codec: 'value' is <object object at 0x")
    assert errors[5] == "ran longer than the 5 s that a trial may"
    start_worker()
    [answer] = run_grid_searches(
        [grid(tmp_path / "b", sweep_props={"n": [49, 16]})], engine="workqueue", workqueue={"name": NAME}, codec=Rounded(), max_gpus=1
    )
    assert answer == [({"n": 49}, False, None), ({"n": 16}, True, 34.0)]


def test_a_worker_that_dies_costs_no_job(start_worker: Starter, tmp_path: Path, environment: dict[str, str]) -> None:
    worker = start_worker()
    text = f"""
import time
from pathlib import Path
from experiments import Experiment, Grid
from shadho_like.configs import pydraclass
from shadho_like.runner import run_grid_searches

folder = Path({str(tmp_path)!r})

@pydraclass
class Held(Grid):
    def run_experiment_config(self, config):
        while config.n >= 30 and (folder / "gate").exists():
            time.sleep(0.05)
        return super().run_experiment_config(config)

experiment = Experiment(log=str(folder / "log"))
config = Held(base_dir=str(folder / "a"), sweep_props={{"n": list(range(60))}}, base_experiment_config=experiment)
print(len(run_grid_searches([config], engine="workqueue", workqueue={{"name": {NAME!r}}})[0]))
"""
    (tmp_path / "gate").touch()
    path = os.pathsep.join(sys.path)
    driver = subprocess.Popen([sys.executable, "-c", text], env={**environment, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True)
    with driver:
        until((tmp_path / "log").exists, "a job")
        worker.kill()
        worker.wait()
        again = start_worker()
        (tmp_path / "gate").unlink()
        said, _ = driver.communicate()
        assert again.wait() == 0
    assert (driver.returncode, said.splitlines()[-1]) == (0, "60")
