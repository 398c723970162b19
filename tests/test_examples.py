"""The examples as they stand but for the limit of their time, each run from its own folder as its README says."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from e2e.processes import completed
from parts import LONG

from shadho_like.journal import JournalReader
from shadho_like.result import Result

EXAMPLES = Path(__file__).parent.parent / "examples"
Environment = dict[str, str]


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], Path]:
    """Copy an example, so that what it leaves behind is not left in the repository; a slow machine has time for all of it."""

    def copy(name: str) -> Path:
        ignored = shutil.ignore_patterns("experiments", "__pycache__")
        folder = Path(shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=ignored))
        change(folder, r"^( *opt = Shadho\(.*?)(?:, timeout=\d+(.*))?\)$", r"\1\2, timeout=None)")
        return folder

    return copy


def change(folder: Path, pattern: str, into: str) -> None:
    """Change the one place in an example's driver that matches a pattern."""
    driver = folder / "driver.py"
    text, count = re.subn(pattern, into, driver.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1
    driver.write_text(text, encoding="utf-8")


def run_driver(folder: Path, environment: Environment, driver: str = "driver.py") -> str:
    done = subprocess.run(["python", driver], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def wait_for_trials(driver: subprocess.Popen[str], directory: Path, count: int) -> None:
    while completed(directory) < count:
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the driver ended with {driver.wait(0.2)} before it had {count} trials")


def test_sin_local(example: Callable[[str], Path], environment: Environment) -> None:
    folder = example("sin_local")
    said = run_driver(folder, environment)
    result = Result(folder / "experiments/sin")
    assert result.counts == {"COMPLETED": 5000}
    assert result.best_value is not None
    assert 0 <= result.best_value < 0.01
    assert f"Optimal loss: {result.best_value}\n" in said
    assert run_driver(folder, environment).splitlines()[-4:] == said.splitlines()[-4:]
    assert Result(folder / "experiments/sin").counts == {"COMPLETED": 5000}


@LONG
def test_svm_digits(example: Callable[[str], Path], environment: Environment) -> None:
    folder = example("svm_digits")
    run_driver(folder, environment)
    result = Result(folder / "experiments/svm_digits")
    assert result.counts == {"COMPLETED": 100}
    assert result.best_value is not None
    assert 0.98 <= result.best_value < 1
    result.to_csv(folder / "trials.csv")
    with (folder / "trials.csv").open(encoding="utf-8") as file:
        kernels = [{key.split(".")[0] for key, value in row.items() if "." in key and value} for row in csv.DictReader(file)]
    assert all(len(kernel) == 1 for kernel in kernels)
    assert set.union(*kernels) == {"linear", "rbf", "sigmoid", "poly"}


def check_asha_digits(folder: Path) -> None:
    """Each network was trained to its last rung, each time from where the rung before it had left it."""
    result = Result(folder / "experiments/asha_digits")
    assert result.counts == {"COMPLETED": 30}
    assert result.best_value is not None
    assert result.best_value > 0.95
    rungs = [1, 3, 9, 27]
    for trial in result.trials:
        logs = (folder / f"experiments/asha_digits/trials/{trial.number:06d}").glob("output*.log")
        began = sorted(int(log.read_text().split()[-1]) for log in logs)
        reached = trial.metrics["epochs"]
        assert began == [0, *rungs[: rungs.index(int(str(reached)))]]
    reached_by_all = [trial.metrics["epochs"] for trial in result.trials]
    assert reached_by_all.count(27) >= 1
    assert sum(epochs != 1 for epochs in reached_by_all) >= 10


@LONG
def test_asha_digits(example: Callable[[str], Path], environment: Environment) -> None:
    folder = example("asha_digits")
    run_driver(folder, environment)
    check_asha_digits(folder)
    # Which trials climb, and so which of their checkpoints stay, goes with the order of their results.
    with JournalReader(folder / "experiments/asha_digits") as journal:
        checkpoint, trial = next((row["id"], row["trial"]) for row in journal.checkpoints() if row["state"] == "KEPT")
    for words in (["list"], ["describe", checkpoint], ["download", checkpoint, "here"], ["delete", checkpoint]):
        command = ["shadho", "checkpoint", words[0], "experiments/asha_digits", *words[1:]]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "here/model.pkl").exists()
    assert not (folder / f"experiments/asha_digits/checkpoints/{trial}/{checkpoint}").exists()


@LONG
@pytest.mark.usefixtures("work_queue_installed")
def test_asha_digits_on_work_queue(example: Callable[[str], Path], environment: Environment) -> None:
    folder = example("asha_digits")
    change(folder, r"    opt\.run\(\)", '    opt.config.workqueue.name = "asha_digits"\n    opt.run()')
    worker = subprocess.Popen(["wq_worker", "-M", "asha_digits"], cwd=folder, env=environment)
    try:
        run_driver(folder, environment)
        assert worker.wait() == 0
    finally:
        worker.terminate()
        worker.wait()
    check_asha_digits(folder)


@pytest.fixture(params=["", "0,1,2,3"], ids=["cores", "four pretended GPUs"])
def experiments(tmp_path: Path, environment: Environment, request: pytest.FixtureRequest) -> tuple[Path, Environment]:
    """Copy all examples: those of the runner share an experiment."""
    ignored = shutil.ignore_patterns("experiments", "results", "__pycache__")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=ignored)
    return tmp_path / "examples", {**environment, "CUDA_VISIBLE_DEVICES": request.param}


def test_runner_binary_search(experiments: tuple[Path, Environment]) -> None:
    folder, environment = experiments[0].parent, experiments[1]
    for said in ("num_parameters: 40 passes, 39 does not", "nothing was left to run"):
        assert said in run_driver(folder, environment, "examples/runner_binary_search/driver.py")
    results = folder / "results/binary_search"
    assert [len(list(results.glob(f"binary_search_results_*.{kind}"))) for kind in ("pkl", "json")] == [2, 2]
    log = (results / "num_parameters_40_seed_42/experiment_output.log").read_text(encoding="utf-8")
    assert log == "experiment_1: 40 parameters, seed 42: accuracy 0.506\n"


def test_runner_grid_search(experiments: tuple[Path, Environment]) -> None:
    folder, environment = experiments[0].parent, experiments[1]
    best = [f"{number} parameters: {accuracy} with seed 42" for number, accuracy in ((10, 0.206), (20, 0.339), (30, 0.434), (40, 0.506))]
    assert run_driver(folder, environment, "examples/runner_grid_search/driver.py").splitlines()[-4:] == best
    assert len(list(folder.glob("results/grid_search_*/num_parameters_*_seed_*/experiment_output.log"))) == 16
    answers = [json.loads(path.read_text(encoding="utf-8"))["results"] for path in folder.glob("results/*/grid_search_results_*.json")]
    gpus = {answer["gpu_id"] for answer in answers}
    assert gpus <= ({0, 1, 2, 3} if environment["CUDA_VISIBLE_DEVICES"] else {None})


def test_dummy_experiment(experiments: tuple[Path, Environment]) -> None:
    command = ["python", "examples/dummy_experiment.py", "num_parameters=2**5", "--seed=1"]
    done = subprocess.run(command, cwd=experiments[0].parent, env=experiments[1], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "dummy_experiment: 32 parameters, seed 1: accuracy 0.430\n", "")


def test_sin_on_this_machine(example: Callable[[str], Path], environment: Environment) -> None:
    folder = example("sin")
    change(folder, r"timeout=None", "timeout=None, engine='local', max_tasks=20")
    run_driver(folder, environment)
    assert Result(folder / "experiments/shadho_sin_ex").counts == {"COMPLETED": 20}


@pytest.mark.usefixtures("work_queue_installed")
@pytest.mark.parametrize("command", ["wq_worker", "shadho_wq_worker"])
def test_sin_on_work_queue(example: Callable[[str], Path], environment: Environment, command: str) -> None:
    folder = example("sin")
    directory = folder / "experiments/shadho_sin_ex"
    worker = subprocess.Popen([command, "-M", "shadho_sin_ex"], cwd=folder, env=environment)
    driver = subprocess.Popen(["python", "driver.py"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        wait_for_trials(driver, directory, 40)
        driver.send_signal(signal.SIGINT)
        said, _ = driver.communicate()
        assert driver.returncode == 0
        assert worker.wait() == 0
    finally:
        for process in (driver, worker):
            process.terminate()
            process.wait()
    result = Result(directory)
    assert result.best_value is not None
    assert f"Optimal loss: {result.best_value}\n" in said
    assert result.counts["COMPLETED"] >= 40
    assert "FAILED" not in result.counts
