"""A worker that is to end, by SIGTERM or because its time is over: its trials hand back what they have, and go on elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import shadho_rendezvous
from e2e.processes import Environment, running, until

from shadho_like.result import Result
from shadho_like.trial import Trial

pytestmark = pytest.mark.usefixtures("work_queue_installed")

DRIVER = """
from shadho_like import Shadho, rand
from train import train

if __name__ == "__main__":
    opt = Shadho(COMMAND, {"x": rand.uniform(0, 1)}, max_tasks=4, name="drain", timeout=None, seed=1)
    opt.add_input_file("train.py")
    opt.add_input_file("ends_with_9.py")
    opt.config.workqueue.name = "drain"
    opt.config.workqueue.address = "127.0.0.1"
    opt.run()
"""
TRAIN = """
import json, os, time
import shadho_worker

def train(context):
    with open(os.environ["STARTED"], "a") as started:
        print(os.environ["WORKER"], file=started, flush=True)
    epochs = 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path:
            epochs = json.load(open(f"{path}/state.json"))
    resumed = epochs
    # Whenever it is asked to end, it has something to hand on.
    epochs += 1
    for operation in context.searcher.operations():
        while os.environ["WORKER"] == "a" and not context.preempt.should_preempt():
            time.sleep(0.02)
        if context.preempt.should_preempt():
            with context.checkpoint.save_path() as path:
                json.dump(epochs, open(f"{path}/state.json", "w"))
            break
        operation.report_completed({"loss": 1.0, "resumed": resumed, "attempt": context.trial.attempt})

if __name__ == "__main__":
    with shadho_worker.init() as context:
        train(context)
"""
# Not `signal.pause`: a signal that comes just before it would be waited for in vain.
ENDS_WITH_9 = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
while True:
    time.sleep(0.05)
"""
SHELL = 'echo $WORKER >> "$STARTED"; {}; [ $WORKER = b ] && echo 1 > result.json'


class Drained:
    """A search that a worker called a works for, and after its end a worker called b."""

    def __init__(self, folder: Path, environment: Environment, stack: ExitStack) -> None:
        self.folder = folder
        self.started = folder / "started"
        self._environment = {**environment, "STARTED": str(self.started)}
        self._stack = stack

    def begin(self, command: str, *options: str, ends_in_s: int | None = None) -> subprocess.Popen[str]:
        """Return the worker a, with two trials running; `ends_in_s` is what Slurm gives it."""
        (self.folder / "driver.py").write_text(DRIVER.replace("COMMAND", command if command == "train" else repr(command)), encoding="utf-8")
        (self.folder / "train.py").write_text(TRAIN, encoding="utf-8")
        (self.folder / "ends_with_9.py").write_text(ENDS_WITH_9, encoding="utf-8")
        self.driver = self._stack.enter_context(running(["python", "driver.py"], self.folder, self._environment))
        home = self._environment["SHADHO_HOME"]
        until(lambda: bool(shadho_rendezvous.find(home, "drain")), "a driver", self.driver)
        slurm = {} if ends_in_s is None else {"SLURM_JOB_END_TIME": str(int(time.time()) + ends_in_s)}
        worker = self._worker("a", *options, **slurm)
        until(lambda: self.started.exists() and self.started.read_text() == "a\na\n", "two trials on a", worker)
        return worker

    def _worker(self, name: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "wq_worker", "-M", "drain", "--cores", "2", "--memory", "1000", "--disk", "1000", *options]
        return self._stack.enter_context(running(command, self.folder, {**self._environment, "WORKER": name, **environment}))

    def finish(self) -> list[Trial]:
        """Return the trials, after a worker b has done what was left."""
        other = self._worker("b")
        said = self.driver.communicate()[0]
        assert (self.driver.returncode, other.wait()) == (0, 0), said
        result = Result(self.folder / "experiments/drain")
        assert result.counts == {"COMPLETED": 4}, said
        return list(result.trials)


@pytest.fixture
def drained(tmp_path: Path, environment: Environment) -> Iterator[Drained]:
    with ExitStack() as stack:
        yield Drained(tmp_path, environment, stack)


@pytest.mark.parametrize("command", ["python train.py", "train"])
def test_running_trials_take_a_checkpoint_and_go_on_elsewhere_and_no_others_begin(drained: Drained, command: str) -> None:
    worker = drained.begin(command)
    worker.send_signal(signal.SIGTERM)
    told = worker.communicate()[0]
    assert worker.returncode == 128 + signal.SIGTERM
    assert "asked to end: 2 running tasks have 60 s to end" in told
    assert "nothing runs any more" in told
    assert drained.started.read_text() == "a\na\n"
    trials = drained.finish()
    resumed = sorted(trial.metrics["resumed"] != 0 for trial in trials)
    assert resumed == [False, False, True, True]
    assert not list(drained.folder.glob("tmp*/wq_worker-*"))


@pytest.mark.parametrize("told_by", ["option", "Slurm"])
def test_the_end_of_the_time_drains_before_it_and_says_so(drained: Drained, told_by: str) -> None:
    # 20 s for two trials to begin, 25 s for them to end, and the 30 s before the end that a worker leaves free.
    options, ends_in_s = (["--wall-time", "75"], None) if told_by == "option" else ([], 75)
    worker = drained.begin("python train.py", "--drain-grace", "25", *options, ends_in_s=ends_in_s)
    told = worker.communicate()[0]
    assert worker.returncode == 4
    assert "the time is almost over: 2 running tasks have 25 s to end" in told
    assert "wq_worker: the time is over (--wall-time, or the batch job's)" in told
    assert sum(trial.metrics["resumed"] != 0 for trial in drained.finish()) == 2


@pytest.mark.parametrize(
    "command",
    [
        SHELL.format("[ $WORKER = b ] || python ends_with_9.py"),
        SHELL.format("(trap 'exit 7' TERM; while [ $WORKER = a ]; do sleep 0.1; done)"),
    ],
    ids=["python", "shell"],
)
def test_what_goes_wrong_after_it_was_asked_is_no_failure_of_the_trial(drained: Drained, command: str) -> None:
    worker = drained.begin(command)
    worker.send_signal(signal.SIGTERM)
    assert "nothing runs any more" in worker.communicate()[0]
    assert worker.returncode == 128 + signal.SIGTERM
    drained.finish()


def test_what_does_not_listen_may_end_by_itself_and_is_lost_after_the_grace(drained: Drained) -> None:
    worker = drained.begin(SHELL.format("[ $WORKER = b ] || sleep 600"), "--drain-grace", "1")
    worker.send_signal(signal.SIGTERM)
    assert "2 tasks did not end in time and are lost" in worker.communicate()[0]
    assert worker.returncode == 128 + signal.SIGTERM
    drained.finish()


def test_a_second_signal_ends_it_now(drained: Drained) -> None:
    worker = drained.begin(SHELL.format("[ $WORKER = b ] || sleep 600"), "--drain-grace", "600")
    worker.send_signal(signal.SIGTERM)
    assert worker.stdout is not None
    while "asked to end" not in (line := worker.stdout.readline()):
        assert line
    worker.send_signal(signal.SIGTERM)
    assert "ended by SIGTERM" in worker.communicate()[0]
    assert worker.returncode == 128 + signal.SIGTERM
    drained.finish()


def test_a_wall_time_without_room_for_work_is_refused(environment: Environment) -> None:
    command = [sys.executable, "-m", "wq_worker", "-M", "drain", "--wall-time", "90"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--wall-time 90 leaves no time to work: trials begin to end 90 s before" in done.stderr


@pytest.fixture
def ended_in(environment: Environment) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a worker in a batch job that ends then."""

    def run(end: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "wq_worker", "-M", "nobody", "--timeout", "2"]
        return subprocess.run(command, env={**environment, "SLURM_JOB_END_TIME": end}, capture_output=True, text=True, check=False)

    return run


def test_a_job_without_time_left_begins_nothing(ended_in: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    assert ended_in(str(int(time.time()) + 80)).returncode == 4
    assert ended_in("4102444800").returncode == 3
    assert ended_in("").returncode == 3
