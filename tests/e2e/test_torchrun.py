"""A training in two processes, started by the real torchrun: paused, activated, and failing in one of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command import shadho
from e2e.processes import Environment, counts, running, until
from parts import need

from shadho_like.journal import JournalReader
from shadho_like.trial import Trial

STEPS = 5
DRIVER = f"""
from shadho_like import Shadho, rand, searcher

method = searcher.create("random", {{"x": rand.randint(1, 100)}}, seed=3, max_trials=1, max_length={STEPS})
command = "torchrun --standalone --nproc-per-node 2 train.py"
opt = Shadho(command, {{"x": rand.randint(1, 100)}}, method=method, timeout=None, directory="search", workers=1, preemption_timeout=90)
opt.add_input_file("train.py")
opt.run()
"""
# What the two processes sum up together goes on over a pause; where it began shows a start from nothing.
TRAIN = """
import os, time
import torch
import torch.distributed as dist
import shadho_worker

def train(context):
    dist.init_process_group("gloo")
    total, step = torch.zeros(1), 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path:
            state = torch.load(path + "/state.pt")
            total, step = state["total"], state["step"]
    began_at, rank = step, context.distributed.rank
    for operation in context.searcher.operations():
        while step < operation.length:
            part = torch.tensor([context.hparams["x"] * (rank + 1.0)])
            dist.all_reduce(part)
            total, step = total + part, step + 1
            context.train.report_training_metrics(step, {{"total": total.item()}})
            operation.report_progress(step)
            if rank == 0:
                with context.checkpoint.save_path() as path:
                    torch.save({{"total": total, "step": step}}, path + "/state.pt")
            {then}
        patience_s = int(os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"])
        operation.report_completed({{"loss": total.item(), "began_at": began_at, "patience_s": patience_s}})
    dist.destroy_process_group()

shadho_worker.run(train)
"""
WAIT = """
            while step == 2 and not os.path.exists({gate!r}) and not context.preempt.should_preempt():
                time.sleep(0.02)
            if context.preempt.should_preempt():
                return
"""
DIE = """
            if rank == 1:
                os._exit(7)
            while not context.preempt.should_preempt():
                time.sleep(0.02)
            return
"""


@pytest.fixture(autouse=True)
def _torch_installed() -> None:
    need("torch")


def write(folder: Path, then: str) -> None:
    (folder / "driver.py").write_text(DRIVER)
    (folder / "train.py").write_text(TRAIN.format(then=then.strip()))


def trial(folder: Path) -> Trial:
    with JournalReader(folder / "search") as journal:
        (only,) = journal.trials()
        return only


def test_a_pause_loses_nothing(tmp_path: Path, environment: Environment) -> None:
    gate = tmp_path / "gate"
    write(tmp_path, WAIT.format(gate=str(gate)))
    with running([sys.executable, "driver.py"], tmp_path, environment) as driver:
        until(lambda: bool(list(tmp_path.glob("search/checkpoints/0/0.1.2/state.pt"))), "its second checkpoint", driver)
        assert shadho("experiment", "pause", tmp_path / "search").returncode == 0
        until(lambda: dict(counts(tmp_path / "search")).get("PAUSED") == 1, "the pause", driver)
        assert not list(tmp_path.glob("search/sandboxes/0.*"))
        gate.touch()
        assert shadho("experiment", "activate", tmp_path / "search").returncode == 0
        driver.communicate()
    assert driver.returncode == 0
    done = trial(tmp_path)
    assert (done.state.value, done.attempt, done.restarts) == ("COMPLETED", 2, 0)
    assert done.metric == done.hparams["x"] * 3 * STEPS
    # torchrun gave its processes as long to save as the driver gives it.
    assert done.metrics == {"began_at": 2, "patience_s": 90}
    with JournalReader(tmp_path / "search") as journal:
        curve = [reported.length for reported in journal.reported("total") if reported.kind == "training"]
    assert curve == list(range(1, STEPS + 1))


def test_one_process_that_dies_is_a_failure_of_the_trial(tmp_path: Path, environment: Environment) -> None:
    write(tmp_path, DIE)
    with running([sys.executable, "driver.py"], tmp_path, environment) as driver:
        driver.communicate()
    failed = trial(tmp_path)
    # torchrun asked the other one to end, but nobody asked the trial.
    assert (failed.state.value, failed.attempt) == ("FAILED", 1)
