"""The worker module as a user's script meets it: in a trial's folder, outside of one, in a batch, on the oldest Python."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shadho_worker

SOURCE = Path(shadho_worker.__file__)
OTHERS = [path for path in map(shutil.which, ("python3.8", "python3.13")) if path]
# A version manager has programs of these names that only say that the version is not chosen.
RUNNING = [path for path in OTHERS if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0]
PYTHONS = [sys.executable, *RUNNING]
SCRIPT = """
import shadho_worker

def objective(params):
    if params["x"] < 0:
        raise shadho_worker.InvalidHP("negative")
    print("x is", params["x"])
    return {"loss": 6 / params["x"], "name": "a"}

if __name__ == "__main__":
    shadho_worker.run(objective)
"""


def trial_json(number: int) -> dict[str, Any]:
    identity = {"version": 1, "experiment": "e", "trial": number, "attempt": 1}
    return {**identity, "seed": 1, "length": 1, "metric": "loss", "evaluations": 1}


def run(folder: Path, python: str = sys.executable, program: str = "script.py") -> subprocess.CompletedProcess[str]:
    shutil.copy(SOURCE, folder / "shadho_worker.py")
    (folder / "script.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([python, program], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def single(folder: Path, x: float) -> None:
    (folder / "hyperparameters.json").write_text(json.dumps({"x": x}))
    (folder / "trial.json").write_text(json.dumps(trial_json(0)))


@pytest.mark.parametrize("module", shadho_worker.MODULES)
def test_it_needs_no_newer_python_than_it_says_and_no_library(module: str) -> None:
    tree = ast.parse(SOURCE.with_name(module).read_text(encoding="utf-8"), feature_version=(3, 8))
    imports = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imports |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imports} <= {*sys.stdlib_module_names, *(name[: -len(".py")] for name in shadho_worker.MODULES)}


@pytest.mark.parametrize("python", PYTHONS)
def test_a_script_leaves_its_result(tmp_path: Path, python: str) -> None:
    single(tmp_path, 2)
    done = run(tmp_path, python)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x is 2\n", "")
    assert json.loads((tmp_path / "result.json").read_text()) == {"status": "completed", "metric": 3.0, "metrics": {"name": "a"}}


def test_a_failed_evaluation_shows_its_traceback_and_ends_with_status_1(tmp_path: Path) -> None:
    single(tmp_path, 0)
    done = run(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert done.returncode == 1
    assert done.stderr.strip() == result["traceback"].strip()
    assert done.stderr.startswith("Traceback (most recent call last):\n  File")
    assert "shadho_worker" not in result["traceback"]
    assert (result["status"], result["kind"], result["message"]) == ("failed", "error", "ZeroDivisionError: division by zero")


@pytest.mark.parametrize("python", PYTHONS)
def test_a_batch_gets_a_line_for_each_trial(tmp_path: Path, python: str) -> None:
    batch = [{"trial": trial_json(n), "hyperparameters": {"x": n - 1}} for n in range(4)]
    (tmp_path / "batch.json").write_text(json.dumps(batch))
    assert run(tmp_path, python).returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["trial"] for line in lines] == [0, 1, 2, 3]
    assert [line.get("kind") for line in lines] == ["invalid_hp", "error", None, None]
    assert [line.get("metric") for line in lines] == [None, None, 6.0, 3.0]


def test_outside_of_any_trial_it_says_what_it_is_for(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"shadho_worker: there is no hyperparameters.json in {tmp_path}.\n"
        "A script that calls shadho_worker.run is started by a search, in a folder made for each trial: "
        "name it in the search's command\n"
        "(Shadho('python this_script.py', space)), send it along with add_input_file('this_script.py'), and run the driver.\n"
    )


def test_as_a_program_it_runs_the_pickled_objective(tmp_path: Path) -> None:
    single(tmp_path, -1)
    (tmp_path / "objective.pkl").write_bytes(pickle.dumps(abs))
    done = run(tmp_path, program="shadho_worker.py")
    assert done.returncode == 1
    assert json.loads((tmp_path / "result.json").read_text())["message"].startswith("TypeError: bad operand type for abs()")


def test_as_a_program_it_names_the_module_that_is_missing(tmp_path: Path) -> None:
    single(tmp_path, 1)
    (tmp_path / "objective.pkl").write_bytes(b"cnot_a_module\nobjective\n.")
    done = run(tmp_path, program="shadho_worker.py")
    message = json.loads((tmp_path / "result.json").read_text())["message"]
    assert done.returncode == 1
    assert message.endswith("No module named 'not_a_module'; install what is missing there")


def test_as_a_program_without_an_objective_it_explains_itself(tmp_path: Path) -> None:
    done = run(tmp_path, program="shadho_worker.py")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "usage: python shadho_worker.py")


class Nasty:
    """A value whose every method raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        message = "no"
        raise RuntimeError(message)


def test_values_that_misbehave_are_bad_results() -> None:
    deep: list[Any] = []
    deep.append(deep)
    for value in (Nasty(), {"loss": Nasty()}, {"loss": 1, "x": Nasty()}, {"loss": 1, "x": deep}, {"loss": 1, 2: 3}, 10**400):
        result = shadho_worker.evaluate({"returned": value}.__getitem__, "returned")
        assert result["kind"] == "bad_result", result
        json.dumps(result)


def test_text_that_utf8_cannot_hold_and_numbers_too_large_for_a_database_are_made_plain() -> None:
    result = shadho_worker.evaluate(lambda _: {"loss": 1, "name": "a\udcff", "big": 10**20}, {})
    assert result["metrics"] == {"name": "a\\udcff", "big": 1e20}
    json.dumps(result, ensure_ascii=False).encode("utf-8")
