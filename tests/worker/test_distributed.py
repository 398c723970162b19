"""Several processes of one trial, started as `torchrun` starts them: they talk to each other, and one of them reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shadho_distributed import Distributed

SCRIPT = """
import json, os, signal, sys
import shadho_worker
from shadho_checkpoint import CheckpointError

with shadho_worker.init() as context:
    everyone, here = context.distributed, context.distributed.rank
    said = [everyone.gather(here * 10), everyone.allgather({"rank": here}), everyone.broadcast(f"from {here}")]
    for operation in context.searcher.operations():
        context.train.report_training_metrics(1, {"loss": 0.5})
        operation.report_progress(1)
        said.append([context.checkpoint.should_save(), context.train.should_validate()])
        try:
            with context.checkpoint.save_path() as path:
                open(path + "/state", "w").write("saved")
        except CheckpointError as error:
            said.append(str(error))
        said.append([context.checkpoint.should_save(), context.train.should_validate()])
        if "SIGNAL" in os.environ and here == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        said.append(context.preempt.should_preempt())
        if said[-1]:
            break
        operation.report_completed(0.5)
    json.dump([said, context.latest_checkpoint and context.latest_checkpoint.id], open(f"rank{here}.json", "w"))
"""


_PERIODS = {"min_checkpoint_period": 1, "min_validation_period": 1}


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    (tmp_path / "kept").mkdir()
    (folder / "hyperparameters.json").write_text("{}")
    (folder / "train.py").write_text(SCRIPT)
    return folder


def run(sandbox: Path, attempt: int = 1, **environment: str) -> list[Any]:
    """Run an attempt in three processes; return what each wrote in the end."""
    assert [process.wait() for process in start(sandbox, attempt, size=3, **environment)] == [0] * 3
    return [json.loads((sandbox / f"rank{rank}.json").read_text()) for rank in range(3)]


def start(sandbox: Path, attempt: int, *, size: int, **environment: str) -> list[subprocess.Popen[bytes]]:
    """Start an attempt in several processes, the last rank first; return them in order of their ranks."""
    trial = {"version": 1, "experiment": "e", "trial": 12, "attempt": attempt, "seed": 5, "length": 4, "metric": "loss", "evaluations": 1}
    (sandbox / "trial.json").write_text(json.dumps({**trial, **_PERIODS, "start_from": None, "checkpoints": str(sandbox.parent / "kept")}))
    modules = str(Path(__file__).parent.parent.parent / "worker")
    common = {**os.environ, "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "PYTHONPATH": modules, **environment}
    environments = [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]
    processes = [subprocess.Popen([sys.executable, "train.py"], cwd=sandbox, env=env) for env in reversed(environments)]
    return processes[::-1]


def test_they_talk_and_rank_0_reports(sandbox: Path, tmp_path: Path) -> None:
    found = run(sandbox)
    refusal = "only rank 0 saves and deletes checkpoints: put this under `if context.distributed.rank == 0`"
    for rank, (said, latest) in enumerate(found):
        gathered, everyone, zero, before, *refused, after, preempted = said
        # Rank 0 saved, and nobody validated.
        assert (before, after) == ([True, True], [False, True])
        assert gathered == ([0, 10, 20] if rank == 0 else None)
        assert everyone == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
        assert (zero, preempted, latest) == ("from 0", False, None)
        assert refused == ([] if rank == 0 else [refusal])
    kinds = [json.loads(line)["kind"] for line in (sandbox / "events.jsonl").read_text().splitlines()]
    assert kinds == ["resumed", "training", "progress", "checkpoint"]
    assert json.loads((sandbox / "result.json").read_text())["status"] == "completed"
    assert [path.name for path in (tmp_path / "kept/12").iterdir()] == ["12.1.1"]
    assert not list(sandbox.glob(".shadho_distributed*"))


def test_all_are_preempted_together_and_go_on_from_one_checkpoint(sandbox: Path) -> None:
    assert [said[-1] for said, _ in run(sandbox, SIGNAL="yes")] == [True] * 3
    assert json.loads((sandbox / "result.json").read_text()) == {"status": "preempted"}
    assert [latest for _, latest in run(sandbox, 2)] == ["12.1.1"] * 3


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("raise ValueError('rank 1 is at fault')", "ValueError: rank 1 is at fault"),
        ("os._exit(7)", "RuntimeError: rank 1 of this trial has ended before this one; if it failed, its error is in the log"),
    ],
)
def test_a_trial_of_which_one_process_failed_was_not_preempted(sandbox: Path, end: str, why: str) -> None:
    # Rank 0 gets SIGTERM as from torchrun, that ends the others of a process that failed.
    (sandbox / "train.py").write_text(
        "import os, signal, time, shadho_worker\n"
        "with shadho_worker.init() as context:\n"
        "    context.distributed.allgather(1)\n"
        "    if context.distributed.rank == 1:\n"
        f"        {end}\n"
        "    while context.preempt.signaled is False:\n"
        "        time.sleep(0.01)\n"
        "    context.preempt.should_preempt()\n"
    )
    first, second = start(sandbox, 1, size=2)
    assert second.wait() != 0
    first.send_signal(signal.SIGTERM)
    assert first.wait() != 0
    result = json.loads((sandbox / "result.json").read_text())
    assert (result["status"], result["message"]) == ("failed", why)


def test_one_process_is_all_of_them() -> None:
    alone = Distributed({})
    assert (alone.rank, alone.size, alone.gather(1), alone.allgather(2), alone.broadcast(3)) == (0, 1, [1], [2], 3)


def test_several_machines_are_refused() -> None:
    with pytest.raises(RuntimeError, match="works among the processes of one machine, not all of these 8"):
        Distributed({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"})
