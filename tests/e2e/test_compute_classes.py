"""Workers of several kinds share a search on the real Work Queue: each trial runs on a worker of its class."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.processes import Environment, running, until
from e2e.test_workers import wq_worker

from shadho_like import requests
from shadho_like.events import Action
from shadho_like.journal.status import read_status
from shadho_like.paths import ExperimentPaths
from shadho_like.result import Result

pytestmark = pytest.mark.usefixtures("work_queue_installed")

# A trial takes longer on the workers that are not made for its leaf space, and says what it was given.
TASK = """
case $(cat hyperparameters.json) in *'"cnn"'*) leaf=cnn fast=gpu;; *) leaf=svm fast=cpu;; esac
[ "$KIND" = $fast ] && sleep 0.05 || sleep SLOW
echo '{"loss": 1, "kind": "'$KIND'", "leaf": "'$leaf'", "class": "'$SHADHO_COMPUTE_CLASS'"}' > result.json
"""
DRIVER = """
import sys
from shadho_like import Shadho, rand, spaces
space = spaces.scope(exclusive=True, cnn={"rate": rand.uniform(0, 1)}, svm={"C": rand.uniform(0, 1)})
opt = Shadho(open("task.sh").read(), space, max_tasks=int(sys.argv[1]), seed=1, timeout=None)
opt.config.workqueue.name = "unequal"
opt.config.workqueue.address = "127.0.0.1"
CLASSES
opt.run()
"""
DECLARED = """
opt.add_compute_class("graphics", "model", "A 100")
opt.add_compute_class("plain", "kind", "cpu")
"""


def search(
    folder: Path, environment: Environment, classes: str, *kinds: tuple[str, str], trials: int = 60, slow_s: float = 1.0
) -> tuple[Result, str]:
    """Run a search with one worker of each kind and feature, all there from its beginning; return what came of it, and what was printed."""
    (folder / "task.sh").write_text(TASK.replace("SLOW", str(slow_s)))
    (folder / "driver.py").write_text(DRIVER.replace("CLASSES", classes))
    paths = ExperimentPaths(folder / "experiments/unequal")
    paths.root.mkdir(parents=True)
    requests.leave(paths.requests, Action.PAUSE)
    with ExitStack() as processes:
        driver = processes.enter_context(running(["python", "driver.py", str(trials)], folder, environment))
        for kind, feature in kinds:
            command = wq_worker("-M", "unequal", "--cores", "1", "--feature", feature)
            processes.enter_context(running(command, folder, {**environment, "KIND": kind}))
        until(lambda: connected(paths) == len(kinds), "all workers", driver)
        requests.leave(paths.requests, Action.ACTIVATE)
        said = driver.communicate()[0]
        assert driver.returncode == 0, said
    return Result(paths.root), said


def connected(paths: ExperimentPaths) -> int | None:
    """Return how many workers the driver says that it has."""
    told = read_status(paths)
    return told.standing.engine.workers if told else None


def test_each_trial_runs_on_a_worker_of_its_class(tmp_path: Path, environment: Environment) -> None:
    result, _ = search(tmp_path, environment, DECLARED, ("gpu", "model=A 100"), ("cpu", "kind=cpu"))
    assert result.counts == {"COMPLETED": 60}
    where = {"graphics": "gpu", "plain": "cpu"}
    assert all(trial.metrics["kind"] == where[str(trial.metrics["class"])] for trial in result.trials)
    ran = Counter((trial.metrics["leaf"], trial.metrics["kind"]) for trial in result.trials)
    assert ran["cnn", "gpu"] + ran["svm", "cpu"] > 2 * (ran["cnn", "cpu"] + ran["svm", "gpu"])


def test_a_class_without_workers_keeps_no_trial_and_is_said(tmp_path: Path, environment: Environment) -> None:
    result, said = search(tmp_path, environment, DECLARED, ("cpu", "kind=cpu"), trials=100, slow_s=0.4)
    assert result.counts == {"COMPLETED": 100}
    assert {trial.metrics["class"] for trial in result.trials} == {"plain"}
    assert "no worker that is connected is of compute class 'graphics' (model=A 100)" in said


def test_classes_are_found_from_what_workers_advertise(tmp_path: Path, environment: Environment) -> None:
    result, _ = search(tmp_path, environment, "", ("gpu", "model=A 100"), ("cpu", "kind=cpu"))
    assert result.counts == {"COMPLETED": 60}
    where = {"gpu_model=none, model=A 100": "gpu", "gpu_model=none, kind=cpu": "cpu", "": None}
    classes = [str(trial.metrics["class"]) for trial in result.trials]
    assert set(classes) == set(where)
    assert all(where[str(trial.metrics["class"])] in {None, trial.metrics["kind"]} for trial in result.trials)


def test_workers_that_are_alike_have_no_classes(tmp_path: Path, environment: Environment) -> None:
    result, _ = search(tmp_path, environment, "", ("cpu", "kind=cpu"), trials=20)
    assert {trial.metrics["class"] for trial in result.trials} == {""}
