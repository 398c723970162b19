"""A user's own search method, killed with -9 at five points, also inside of a trial: each event handled once, nothing lost or different."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from e2e.processes import Environment, counts, running, until

from shadho_like.result import Result

EXAMPLE = Path(__file__).parents[2] / "examples/custom_search_method"


# What a search that is to be killed may do before that: it has not ended by itself when the test comes to it.
HELD = """
    import time
    while context.trial.number >= int(open({limit!r}).read()):
        time.sleep(0.02)
"""


def held(folder: Path, limit: Path) -> Path:
    """Have no trial of the copied example begin its training whose number is not below the one in a file."""
    model = folder / "model/model_def.py"
    line = "with shadho_worker.init() as context:\n"
    text = model.read_text()
    assert text.count(line) == 1
    model.write_text(text.replace(line, line + HELD.format(limit=str(limit))))
    return folder


def allow(limit: Path, trials: int) -> None:
    """Let so many trials begin."""
    partial = limit.with_suffix(".partial")
    partial.write_text(str(trials))
    partial.replace(limit)


def copied(folder: Path, *, one_at_a_time: bool) -> Path:
    """Copy the example; one trial at a time makes the order of results, on which ASHA depends, the same in every run."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("experiments", "__pycache__"))
    if one_at_a_time:
        for name in ("run_experiment.py", "run_in_trial.py"):
            text = (folder / name).read_text()
            (folder / name).write_text(text.replace("ASHASearchMethod()", "ASHASearchMethod(max_concurrent_trials=1)"))
    return folder


def done(directory: Path) -> int:
    """Return how many validations are in the journal: trials that are over, and those that wait to climb."""
    known = dict(counts(directory))
    return known.get("COMPLETED", 0) + known.get("PAUSED", 0)


def run(folder: Path, environment: Environment) -> str:
    command = ["python", "run_experiment.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def told(folder: Path) -> list[object]:
    """Return what is known of each trial, but for the times."""
    return [
        (trial.number, trial.hparams, trial.state, trial.length, trial.metric)
        for trial in Result(folder / "experiments/custom_asha").trials
    ]


def test_killed_at_five_points_it_finds_what_an_undisturbed_run_finds(tmp_path: Path, environment: Environment) -> None:
    disturbed, undisturbed = (copied(tmp_path / name, one_at_a_time=True) for name in ("disturbed", "undisturbed"))
    directory = disturbed / "experiments/custom_asha"
    limit = tmp_path / "limit"
    held(disturbed, limit)
    for moment in (2, 6, 11, 17, 24):
        allow(limit, moment + 3)
        with running(["python", "run_experiment.py"], disturbed, environment) as runner:
            until(lambda at_least=moment: done(directory) >= at_least, f"{moment} trials", runner)  # type: ignore[misc]
            runner.send_signal(signal.SIGKILL)
    allow(limit, 30)
    assert "custom_asha: 30 trials, 0 failures" in run(disturbed, environment)
    run(undisturbed, environment)
    assert told(disturbed) == told(undisturbed)
    assert {trial.length for trial in Result(directory).trials} >= {1, 3, 9}


def test_trials_side_by_side(tmp_path: Path, environment: Environment) -> None:
    folder = copied(tmp_path / "example", one_at_a_time=False)
    assert "custom_asha: 30 trials, 0 failures" in run(folder, environment)
    assert Result(folder / "experiments/custom_asha").counts == {"COMPLETED": 30}
    assert run(folder, environment).count("Trials: 30 completed") == 1


@pytest.mark.usefixtures("work_queue_installed")
def test_on_work_queue(tmp_path: Path, environment: Environment) -> None:
    folder = copied(tmp_path / "example", one_at_a_time=False)
    with (folder / "custom_config.yaml").open("a") as config:
        config.write("engine: workqueue\n")
    with running(["wq_worker", "-M", "custom_asha"], folder, environment) as worker:
        assert "custom_asha: 30 trials, 0 failures" in run(folder, environment)
        worker.communicate()
    assert worker.returncode == 0
    assert Result(folder / "experiments/custom_asha").counts == {"COMPLETED": 30}


def test_inside_of_a_trial_killed_at_five_points(tmp_path: Path, environment: Environment) -> None:
    disturbed, undisturbed = (copied(tmp_path / name, one_at_a_time=True) for name in ("disturbed", "undisturbed"))
    sandboxes = disturbed / "experiments/searcher/sandboxes"
    limit = tmp_path / "limit"
    held(disturbed, limit)
    allow(limit, 0)
    with running(["python", "driver.py"], disturbed, environment) as driver:
        for attempt, moment in enumerate((2, 6, 11, 17, 24), 1):
            search = sandboxes / f"0.{attempt}/core_search"
            allow(limit, moment + 3)
            until(lambda search=search, moment=moment: done(search) >= moment, f"{moment} trials", driver)  # type: ignore[misc]
            os.kill(process_in(search.parent), signal.SIGKILL)
        allow(limit, 30)
        driver.communicate()
    assert driver.returncode == 0
    run(undisturbed, environment)
    found, expected = Result(disturbed / "experiments/searcher"), Result(undisturbed / "experiments/custom_asha")
    assert found.counts == {"COMPLETED": 1}
    assert found.best_value == expected.best_value
    assert [trial.attempt for trial in found.trials] == [6]


def process_in(folder: Path) -> int:
    """Return the process of `run_in_trial.py` in a sandbox: of those that look like it, the one that is no copy which another forked."""
    parents = {}
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdecimal() and (process / "cwd").readlink() == folder:
                command = (process / "cmdline").read_bytes().split(b"\0")
                if command[1:2] == [b"run_in_trial.py"]:
                    parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    [found] = [process for process, parent in parents.items() if parent not in parents]
    return found
