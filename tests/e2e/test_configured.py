"""An experiment's YAML on real Work Queue workers: what its keys are there, and whom workers go to first."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import shadho_rendezvous
from e2e.processes import Environment, running, until

from shadho_like.journal import JournalReader

pytestmark = pytest.mark.usefixtures("work_queue_installed")
DRIVER = """
import sys
from shadho_like.configured import search_of
from shadho_like.experiment_config import read_config
opt = search_of(read_config(sys.argv[1]))
opt.config.workqueue.address = "127.0.0.1"
opt.add_input_file("model.py")
opt.run()
"""
# The first one ends when there has been another beside it.
MODEL = """
import os, tempfile, time

def train(context):
    began = time.time()
    tempfile.mkstemp(dir="BEGUN")
    for operation in context.searcher.operations():
        while len(os.listdir("BEGUN")) < 2:
            time.sleep(0.02)
        time.sleep(0.3)
        said = {name: value for name, value in os.environ.items() if name.startswith("MY_")}
        operation.report_completed({"loss": context.hparams["x"], "said": said, "began": began, "ended": time.time()})
"""
CONFIG = """
name: {name}
engine: workqueue
entrypoint: model:train
hyperparameters: {{x: {{type: int, minval: 1, maxval: 8}}}}
searcher: {{name: random, metric: loss, max_trials: 8}}
resources: {{priority: {priority}, max_slots: 2, cores: 1}}
environment:
  environment_variables:
    MY_TEXT: "it's \\"$HOME\\";\\nanother line"
    MY_NUMBER: 1
"""


def wq_worker(*options: str) -> list[str]:
    return [sys.executable, "-m", "wq_worker", "--timeout", "60", "--cores", "4", "--memory", "1000", "--disk", "1000", *options]


def prepare(folder: Path, name: str, priority: int) -> Path:
    """Write a search; return its file, beside which its driver is to run."""
    begun = folder / "begun"
    begun.mkdir(parents=True)
    (folder / "driver.py").write_text(DRIVER)
    (folder / "model.py").write_text(MODEL.replace("BEGUN", str(begun)))
    path = folder / "search.yaml"
    path.write_text(CONFIG.format(name=name, priority=priority))
    return path


def test_the_keys_of_a_file_on_work_queue(tmp_path: Path, environment: Environment) -> None:
    path = prepare(tmp_path, "yaml_keys", 7)
    with ExitStack() as stack:
        driver = stack.enter_context(running(["python", "driver.py", path.name], tmp_path, environment))
        stack.enter_context(running(wq_worker("-M", "yaml_keys"), tmp_path, environment))
        said = driver.communicate()[0]
    assert driver.returncode == 0, said
    with JournalReader(tmp_path / "experiments/yaml_keys") as journal:
        trials = list(journal.trials())
    assert [trial.metrics["said"] for trial in trials] == [{"MY_TEXT": "it's \"$HOME\";\nanother line", "MY_NUMBER": "1"}] * 8
    steps = (("began", 1), ("ended", -1))
    times = [(float(str(trial.metrics[name])), change) for trial in trials for name, change in steps]
    at_once, most = 0, 0
    for _, change in sorted(times):
        at_once += change
        most = max(most, at_once)
    assert most == 2


def test_workers_go_to_the_smallest_priority_first(tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two searches of one name: the one that began first would else come second."""
    monkeypatch.setenv("SHADHO_HOME", environment["SHADHO_HOME"])
    with ExitStack() as stack:
        for number, priority in enumerate((5, 80), 1):
            path = prepare(tmp_path / f"of-{priority}", "yaml_order", priority)
            driver = stack.enter_context(running(["python", "driver.py", path.name], path.parent, environment))
            until(lambda: len(found()) == number, "the driver's rendezvous", driver)  # noqa: B023
        assert [each.priority for each in found()] == [5, 80]
        worker = stack.enter_context(running(wq_worker("-M", "yaml_order"), tmp_path, environment))
        until(lambda: trials_of(tmp_path / "of-5") == 8, "the first search", worker)
        assert trials_of(tmp_path / "of-80") == 0


def found() -> list[shadho_rendezvous.Rendezvous]:
    """Return the drivers in the home folder, as a worker would try them."""
    return shadho_rendezvous.find(os.environ["SHADHO_HOME"], "yaml_order")


def trials_of(folder: Path) -> int:
    """Return how many trials a search has completed."""
    with JournalReader(folder / "experiments/yaml_order") as journal:
        return journal.counts().get("COMPLETED", 0)
