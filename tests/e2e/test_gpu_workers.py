"""Trials on the workers of a GPU machine, which a made-up `nvidia-smi` pretends: each sees exactly its own devices."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shadho_rendezvous
from e2e.processes import Environment, free_ports, running

from shadho_like.result import Result

pytestmark = pytest.mark.usefixtures("work_queue_installed")

SMI = """#!/bin/sh
case "$1" in
-L) printf 'GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-aa)\\nGPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-bb)\\n' ;;
*) printf 'GPU-aa, 81920, 8.0\\nGPU-bb, 81920, 8.0\\n' ;;
esac
"""
# A trial ends when as many have begun as are to run at once: those that begin first do so side by side, however slow the machine.
DRIVER = """
import os, tempfile, time
from shadho_like import Shadho, rand

COMMAND = '''t=$(date +%s%N); mktemp 'BEGUN/XXXXXX'; until [ $(ls 'BEGUN' | wc -l) -ge AT_ONCE ]; do sleep 0.05; done; sleep 0.4
echo "{\\\\"loss\\\\": 1, \\\\"seen\\\\": \\\\"$CUDA_VISIBLE_DEVICES\\\\", \\\\"from\\\\": $t, \\\\"to\\\\": $(date +%s%N)}" > result.json'''

def objective(params):
    began = time.time_ns()
    tempfile.mkstemp(dir="BEGUN")
    while len(os.listdir("BEGUN")) < AT_ONCE:
        time.sleep(0.05)
    time.sleep(0.4)
    return {"loss": 1, "seen": os.environ["CUDA_VISIBLE_DEVICES"], "from": began, "to": time.time_ns()}

if __name__ == "__main__":
    opt = Shadho(KIND, {"x": rand.uniform(0, 1)}, max_tasks=12, name="gpus", timeout=None)
    opt.config.workqueue.name = "gpus"
    opt.config.workqueue.address = "127.0.0.1"
    for key, value in SETTINGS.items():
        setattr(opt.config.workqueue, key, value)
    opt.run()
"""
Seen = list[tuple[str, float, float]]
Searched = Callable[..., tuple[Seen, str]]


@pytest.fixture
def searched(tmp_path: Path, environment: Environment) -> Iterator[Searched]:
    """Run a search with a worker on a machine with two GPUs; return what each trial saw, from when to when, and what the worker said."""
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text(SMI, encoding="utf-8")
    program.chmod(0o755)
    there = {name: value for name, value in environment.items() if not name.startswith(("CUDA_", "SLURM_", "SGE_"))}
    there["PATH"] = f"{program.parent}:{there['PATH']}"

    begun = tmp_path / "begun"
    begun.mkdir()

    def search(
        kind: str, *options: str, at_once: int = 1, stock: tuple[str, ...] = (), visible: str | None = None, **settings: object
    ) -> tuple[Seen, str]:
        [port] = ports
        text = DRIVER.replace("KIND", kind).replace("SETTINGS", repr({**settings, "port": port}))
        text = text.replace("BEGUN", str(begun)).replace("AT_ONCE", str(at_once))
        (tmp_path / "driver.py").write_text(text, encoding="utf-8")
        limits = ["--cores", "8", "--memory", "1000", "--disk", "1000"]
        ours = [sys.executable, "-m", "wq_worker", "-M", "gpus", "--timeout", "60", *limits, *options]
        password = shadho_rendezvous.password_file(environment["SHADHO_HOME"], "gpus")
        theirs = ["work_queue_worker", "--single-shot", "--password", password, *limits, *stock, "127.0.0.1", str(port)]
        machine = {**there, **({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})}
        with (
            running(["python", "driver.py"], tmp_path, environment) as driver,
            running(theirs if stock else ours, tmp_path, machine) as worker,
        ):
            said = driver.communicate()[0]
            assert driver.returncode == 0, said
            told = worker.communicate()[0]
        result = Result(tmp_path / "experiments/gpus")
        assert result.counts == {"COMPLETED": 12}, said
        return [(str(t.metrics["seen"]), float(str(t.metrics["from"])), float(str(t.metrics["to"]))) for t in result.trials], told

    with free_ports(1) as ports:
        yield search


def most_at_once(seen: Seen, device: str = "") -> int:
    """Return how many trials ran at the same time, on one device or on all."""
    mine = [(began, ended) for visible, began, ended in seen if device in visible]
    return max(sum(began <= moment < ended for began, ended in mine) for moment, _ in mine)


@pytest.mark.parametrize("kind", ["COMMAND", "objective"])
def test_a_gpu_for_each_trial(searched: Searched, kind: str) -> None:
    seen, told = searched(kind, at_once=2, gpus=1)
    assert {visible for visible, *_ in seen} == {"GPU-aa", "GPU-bb"}
    assert [most_at_once(seen, device) for device in ("GPU-aa", "GPU-bb")] == [1, 1]
    assert most_at_once(seen) == 2
    assert "wq_worker: offers 2 NVIDIA A100-SXM4-80GB with 81,920 MB, to trials that ask for a GPU" in told


@pytest.mark.parametrize("asked", [({"gpus": 0.5}, ()), ({"gpus": 1}, ("--jobs-per-gpu", "2"))], ids=["by the driver", "by the worker"])
def test_two_trials_share_a_gpu(searched: Searched, asked: tuple[dict[str, float], tuple[str, ...]]) -> None:
    settings, options = asked
    seen, _ = searched("COMMAND", *options, at_once=4, **settings)
    assert [most_at_once(seen, device) for device in ("GPU-aa", "GPU-bb")] == [2, 2]
    assert most_at_once(seen) == 4


def test_two_gpus_for_each_trial_are_different_ones(searched: Searched) -> None:
    seen, _ = searched("COMMAND", gpus=2)
    assert {visible for visible, *_ in seen} == {"GPU-aa,GPU-bb"}
    assert most_at_once(seen) == 1


@pytest.mark.parametrize("kind", ["COMMAND", "objective"])
def test_trials_that_ask_for_none_see_none(searched: Searched, kind: str) -> None:
    seen, _ = searched(kind, at_once=3, cores=2)
    assert {visible for visible, *_ in seen} == {""}
    assert most_at_once(seen) > 2


def test_the_machines_own_list_is_honoured_and_a_model_can_be_asked_for(searched: Searched) -> None:
    seen, told = searched("COMMAND", visible="1", gpu_model="a100", gpu_memory=81920)
    assert {visible for visible, *_ in seen} == {"1"}
    assert most_at_once(seen) == 1
    assert "offers 1 NVIDIA A100-SXM4-80GB" in told


def test_a_worker_of_work_queues_own_is_left_as_it_is(searched: Searched) -> None:
    seen, _ = searched("COMMAND", at_once=2, stock=("--gpus", "2"), gpus=1)
    assert {visible for visible, *_ in seen} == {"0", "1"}


def test_more_gpus_than_there_are_is_said_at_once(environment: Environment, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wq_worker", "-M", "any", "--gpus", "3"]
    machine = {**environment, "CUDA_VISIBLE_DEVICES": "0,1"}
    done = subprocess.run(command, cwd=tmp_path, env=machine, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "wq_worker: --gpus 3: this process may use 2 GPUs\n")
