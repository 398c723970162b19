"""Several processes of one trial, started as `torchrun` starts them: they talk to each other, and one of them reports."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest
from e2e.processes import until
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


ALONE = """
import os, signal, sys, time
import shadho_distributed, shadho_worker

shadho_distributed._SOON_S = shadho_distributed._WORD_S = 0.1

def until(there):
    while not there():
        time.sleep(0.01)

with shadho_worker.init() as context:
    rank, asks = context.distributed.rank, context.preempt.should_preempt
    sys.stderr = open(f"log{rank}", "w", buffering=1)
    said = lambda number, text: os.path.exists(f"log{number}") and text in open(f"log{number}").read()
    operation = next(context.searcher.operations())
"""
_SAME_CALLS = "every process of a trial has to make the same calls, in the same order"


def alone(sandbox: Path, rank_0: str, rank_1: str, size: int = 2) -> list[int]:
    """Run an attempt in which rank 0 does one thing and rank 1 another; return how they ended."""
    (sandbox / "train.py").write_text(f"{ALONE}    if rank == 0:\n        {rank_0}\n    else:\n        {rank_1}\n")
    return [process.wait() for process in start(sandbox, 1, size=size)]


def test_rank_0_that_asks_alone_has_its_answer_and_the_log_says_what_is_wrong(sandbox: Path) -> None:
    # Rank 1 asks when rank 0 has left, and hears what it was told.
    asked = "assert asks() is False; os.kill(os.getpid(), signal.SIGTERM); assert asks() and asks(); open('left', 'w')"
    ends = alone(sandbox, asked, "until(lambda: os.path.exists('left')); assert asks() is False; assert asks() and asks()")
    assert ends == [0, 0]
    assert json.loads((sandbox / "result.json").read_text()) == {"status": "preempted"}
    late = f"rank 1 has not called context.preempt.should_preempt for 0.1 s, and rank 0 goes on without it: {_SAME_CALLS}"
    assert (sandbox / "log0").read_text().splitlines()[:1] == [f"shadho_worker: {late}"]


def test_what_rank_1_heard_late_disturbs_nothing(sandbox: Path) -> None:
    said = "said(0, 'goes on without it')"
    asked = f"os.kill(os.getpid(), signal.SIGTERM); assert asks() and {said}; assert context.distributed.allgather(1) == [1, 2]"
    assert alone(sandbox, asked, f"until(lambda: {said}); assert asks(); assert context.distributed.allgather(2) == [1, 2]") == [0, 0]


def test_rank_1_that_asks_alone_says_so_and_waits(sandbox: Path) -> None:
    waits = "shadho_worker: rank 1 has waited 0.2 s in context.preempt.should_preempt for rank 0, and still does"
    assert alone(sandbox, f"until(lambda: said(1, {waits!r})); assert not asks()", "assert not asks()") == [0, 0]
    assert (sandbox / "log1").read_text().splitlines()[1].startswith(f"{waits}: {_SAME_CALLS}")


def test_processes_that_call_different_things_are_told(sandbox: Path) -> None:
    # Without a word for what it is, rank 1 would take the answer to another question for what it gathered.
    assert alone(sandbox, "asks(); context.distributed.gather(0)", "context.distributed.allgather(1)") == [1, 1]
    found = json.loads((sandbox / "result.json").read_text())
    assert found["status"] == "failed"
    assert re.search(
        r"RuntimeError: (rank 0 called context.preempt.should_preempt where rank 1 called context.distributed.allgather: "
        r"|rank 1 called context.distributed.allgather where rank 0 called context.distributed.gather: )" + _SAME_CALLS,
        found["message"],
    )


def test_a_stranger_at_the_meeting_is_passed_over(tmp_path: Path) -> None:
    first, second = (Distributed({"RANK": str(rank), "WORLD_SIZE": "2"}, str(tmp_path)) for rank in range(2))
    with ThreadPoolExecutor(1) as thread:
        heard = thread.submit(first.broadcast, "met")
        until(lambda: any(path.suffix == ".json" for path in tmp_path.iterdir()), "the meeting")
        [meeting] = tmp_path.glob(".shadho_distributed*.json")
        address = tuple(json.loads(meeting.read_text())["address"])
        socket.create_connection(address).close()
        with pytest.raises(AuthenticationError):
            Client(address, authkey=b"another trial's")
        assert second.broadcast(None) == heard.result() == "met"
    for one in (first, second):
        one.close()


def test_one_process_is_all_of_them() -> None:
    alone = Distributed({})
    assert (alone.rank, alone.size, alone.gather(1), alone.allgather(2), alone.broadcast(3)) == (0, 1, [1], [2], 3)


def test_several_machines_are_refused() -> None:
    with pytest.raises(RuntimeError, match="works among the processes of one machine, not all of these 8"):
        Distributed({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"})
