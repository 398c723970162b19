"""A search that was killed, interrupted, changed or finished, and started again: no finished job is run twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.processes import until
from experiments import Binary, Experiment, binary, grid, imaginary

from shadho_like.errors import ExperimentInUse, UserError
from shadho_like.journal import JournalReader
from shadho_like.runner import run_binary_searches, run_grid_searches

DRIVER = """
import sys, time
from pathlib import Path
from experiments import Binary, Experiment, Grid, binary, grid
from shadho_like.configs import pydraclass
from shadho_like.runner import run_binary_searches, run_grid_searches

folder = Path(sys.argv[1])
begun = folder / "begun"

def slow(config):
    with begun.open("a") as file:
        file.write(f"{config.base_dir}\\n")
    while config.n >= 20 and (folder / "gate").exists():
        time.sleep(0.02)
    time.sleep(0.05)
    print("done")
    return 40.5 - config.n

@pydraclass
class SlowBinary(Binary):
    def run_experiment_config(self, config):
        return slow(config)

@pydraclass
class SlowGrid(Grid):
    def run_experiment_config(self, config):
        return slow(config)

def made(kind, config):
    names = ("base_dir", "sweep_props", "base_experiment_config", *(("prop", "range", "precision", "success_direction_lower") if kind is SlowBinary else ()))
    return kind(**{name: getattr(config, name) for name in names})

if sys.argv[2] == "grid":
    print(run_grid_searches([made(SlowGrid, grid(folder / name, sweep_props={"n": list(range(40))})) for name in "ab"]))
else:
    print(run_binary_searches([made(SlowBinary, binary(folder / name, sweep_props={"seed": [1, 2, 3]})) for name in "ab"]))
"""

def driver(folder: Path, kind: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, str(folder), kind]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": "0,1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(folder: Path) -> set[str]:
    """Return the folders of the experiments whose results are kept."""
    return {str(path.parent) for path in folder.rglob("experiment_result_*.pkl") if not path.name.startswith(".")}


def begun(folder: Path) -> list[str]:
    path = folder / "begun"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def until_begun(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    until(lambda: len(begun(folder)) >= count or process.poll() is not None, "some jobs")


def none_is_left(folder: Path) -> bool:
    """Return whether no process is left whose command names the folder."""
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return str(folder) not in lines


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["binary", "grid"])
def test_killed_again_and_again_it_gives_the_same_and_runs_nothing_twice(tmp_path: Path, kind: str) -> None:
    (tmp_path / "undisturbed").mkdir()
    undisturbed = driver(tmp_path / "undisturbed", kind)
    folder = tmp_path / "killed"
    folder.mkdir()
    chosen = random.Random(3)
    for _ in range(6):
        before, done = begun(folder), finished(folder)
        count = len(before) + chosen.randint(1, 6)
        process = driver(folder, kind)
        with process:
            until_begun(folder, count, process)
            process.send_signal(signal.SIGKILL)
        until(lambda: none_is_left(folder), "the end of all processes")
        assert not set(begun(folder)[len(before) :]) & done
    before, done = begun(folder), finished(folder)
    with driver(folder, kind) as process:
        said, errors = process.communicate()
    assert process.returncode == 0, errors
    assert not set(begun(folder)[len(before) :]) & done
    with undisturbed:
        whole, errors = undisturbed.communicate()
    assert undisturbed.returncode == 0, errors
    if kind == "binary":
        assert said.splitlines()[-1] == whole.splitlines()[-1] == str([((40, [0.5] * 3), (41, [-0.5] * 3))] * 2)
    else:
        assert said.splitlines()[-1] == whole.splitlines()[-1]
        assert len(finished(folder)) == 80


def test_ctrl_c_stops_at_once_and_keeps_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "gate").touch()
    with driver(tmp_path, "grid") as process:
        until(lambda: len(finished(tmp_path)) >= 5, "some results", process)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate()
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert "finished jobs are kept; the same call carries on from there" in said
    assert none_is_left(tmp_path)
    before, done = begun(tmp_path), finished(tmp_path)
    assert len(done) < 80
    (tmp_path / "gate").unlink()
    with driver(tmp_path, "grid") as process:
        process.communicate()
    assert process.returncode == 0
    assert not set(begun(tmp_path)[len(before) :]) & done
    assert len(finished(tmp_path)) == 80


def runs(log: Path) -> Counter[str]:
    return Counter(log.read_text(encoding="utf-8").splitlines()) if log.exists() else Counter()


def searched(folder: Path, slots: int = 2, **keys: Any) -> Any:
    experiment = Experiment(log=str(folder / "log"))
    with imaginary(slots):
        return run_binary_searches([binary(folder / "search", base_experiment_config=experiment, **keys)], fresh=keys.pop("fresh", False))[0]


def test_finished_it_runs_nothing_again_and_answers_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = searched(tmp_path)
    before = runs(tmp_path / "log")
    assert searched(tmp_path) == first
    assert runs(tmp_path / "log") == before
    assert "nothing was left to run" in capsys.readouterr().out
    assert len(list((tmp_path / "search").glob("*.pkl"))) == 2


@contextmanager
def fails_after(count: int) -> Iterator[None]:
    with imaginary(2) as jobs:
        jobs.choose = lambda tickets: tickets[0] if len(jobs.ended) < count else 1 // 0
        yield


def test_fresh_runs_all_also_what_an_interrupted_fresh_run_has_left(tmp_path: Path) -> None:
    config = grid(tmp_path / "search", base_experiment_config=Experiment(log=str(tmp_path / "log")))
    with imaginary(2):
        first = run_grid_searches([config])
    with fails_after(3), pytest.raises(ZeroDivisionError):
        run_grid_searches([config], fresh=True)
    assert sum(runs(tmp_path / "log").values()) == 9
    with imaginary(2):
        assert run_grid_searches([config]) == first
    assert set(runs(tmp_path / "log").values()) == {2}


def test_a_search_that_changed_runs_only_what_is_new(tmp_path: Path) -> None:
    searched(tmp_path, sweep_props={"seed": [1]})
    assert searched(tmp_path, sweep_props={"seed": [1]}, range=(20, 80))[0][0] == 49
    assert searched(tmp_path, slots=4, sweep_props={"seed": [1]})[0][0] == 49
    assert set(runs(tmp_path / "log").values()) == {1}
    with JournalReader(tmp_path / "search" / "binary_search") as reader:
        assert reader.counts()["COMPLETED"] >= 6
    assert len(list((tmp_path / "search" / "binary_search").glob("journal.*.sqlite"))) == 2


def test_what_agg_results_says_now_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert searched(tmp_path) == ((49, [1.0]), (50, [0.0]))
    monkeypatch.setattr(Binary, "agg_results", lambda _, results: (results[0].result > 30, "new"))
    assert searched(tmp_path) == ((19, "new"), (20, "new"))
    assert set(runs(tmp_path / "log").values()) == {1}


def test_results_that_are_gone_or_damaged_are_had_again(tmp_path: Path) -> None:
    config = grid(tmp_path / "search", base_experiment_config=Experiment(log=str(tmp_path / "log")))
    with imaginary(2):
        first = run_grid_searches([config])
    kept = sorted((tmp_path / "search").rglob("experiment_result_*.pkl"))
    kept[0].unlink()
    kept[1].write_bytes(b"")
    with imaginary(2):
        assert run_grid_searches([config]) == first
    assert sorted(runs(tmp_path / "log").values()) == [1, 1, 1, 1, 2, 2]


def test_an_error_in_agg_results_ends_that_search_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any, results: Any) -> tuple[bool, Any]:
        if self.base_dir.endswith("a") and results[0].job.config.n > 45:
            raise ValueError("not yet")
        return results[0].result > 0, None

    monkeypatch.setattr(Binary, "agg_results", fails)
    experiment = Experiment(log=str(tmp_path / "log"))
    configs = [binary(tmp_path / name, base_experiment_config=experiment) for name in "ab"]
    with imaginary(4), pytest.raises(UserError) as failed:
        run_binary_searches(configs)
    assert str(failed.value).startswith("configs[0]: Binary.agg_results failed at n=")
    assert str(failed.value).endswith(": ValueError: not yet; all finished jobs are kept: correct it and start again")
    assert len(list((tmp_path / "b").glob("*.pkl"))) == 1
    monkeypatch.setattr(Binary, "agg_results", lambda _, results: results[0].result)
    with imaginary(4), pytest.raises(UserError, match=r"must return \(whether the point passes, a result\), not "):
        run_binary_searches(configs[:1])


def test_a_search_that_runs_already_is_refused(tmp_path: Path) -> None:
    config = grid(tmp_path / "search")
    with imaginary(1) as jobs:
        jobs.choose = lambda tickets: tickets[len(run_grid_searches([config]))]
        with pytest.raises(ExperimentInUse, match="is in use by process"):
            run_grid_searches([config])


SCRIPT = """
import copy
import sys
from dataclasses import dataclass
from shadho_like.configs import pydraclass
from shadho_like.runner import GridSearchConfig, run_grid_searches

@pydraclass
class Optimizer:
    lr: float = 0.1

@pydraclass
class Adam(Optimizer):
    beta: float = 0.9

@pydraclass
class Experiment:
    optimizer: Optimizer = Optimizer()

@dataclass
class Found:
    optimizer: Optimizer

@pydraclass
class First(GridSearchConfig):
    def get_experiment_config_and_base_dir(self, optimizer):
        config = copy.deepcopy(self.base_experiment_config)
        config.optimizer = copy.deepcopy(optimizer)
        return config, f"{self.base_dir}/{type(optimizer).__name__}"

    def run_experiment_config(self, config):
        assert isinstance(config.optimizer, Optimizer)
        return Found(config.optimizer)

    def agg_results(self, results):
        return [(isinstance(result.result, Found), isinstance(result.result.optimizer, Adam)) for result in results]

@pydraclass
class Second(First):
    def run_experiment_config(self, config):
        return super().run_experiment_config(config)

sweep = {"optimizer": [Adam(), Optimizer()]}
print(run_grid_searches([Second(base_dir=sys.argv[1], sweep_props=sweep, base_experiment_config=Experiment())])[0])
"""


def test_classes_of_the_script_itself_are_the_same_everywhere(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    for _ in range(2):
        command = [sys.executable, "script.py", str(tmp_path / "a")]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == "[(True, True), (True, False)]"
