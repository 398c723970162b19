"""Workers that come with the work and go without it: a real `work_queue_factory` on this machine, and one whose jobs are Slurm's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.handed_on import was_handed_on, write_search
from e2e.processes import Environment, running, until
from e2e.slurm import need_slurm, running_slurm
from parts import lack

from shadho_like.batch import manager_status

SMALL = ("--worker-option=--memory=500", "--worker-option=--disk=500")
SHORT = '''
from shadho_like import Shadho, rand
command = """until [ -e 'GATE' ]; do sleep 0.1; done; echo '{\\"loss\\": 1, \\"home\\": \\"'$SHADHO_HOME'\\"}' > result.json"""
opt = Shadho(command, {"x": rand.uniform(0, 1)}, name="auto", max_tasks=8, timeout=None)
opt.config.workqueue.name = "auto"
opt.config.workqueue.address = "127.0.0.1"
opt.run()
'''


@pytest.fixture(autouse=True)
def factory_installed(work_queue_installed: None) -> None:
    if shutil.which("work_queue_factory") is None:
        lack("work_queue_factory is missing: apt-get install coop-computing-tools")


@pytest.fixture
def user(tmp_path: Path, environment: Environment) -> Iterator[Environment]:
    """The environment; what still runs in the end is drained."""
    yield environment
    subprocess.run(["shadho", "workers", "drain", "auto"], env=environment, capture_output=True, check=False)
    until(lambda: "ended" in said(environment, "status", "auto"), "the factory's end")


def said(environment: Environment, *words: str) -> str:
    done = subprocess.run(["shadho", "workers", *words], env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_there_are_as_many_workers_as_there_is_work(tmp_path: Path, user: Environment) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "driver.py").write_text(SHORT.replace("GATE", str(gate)))
    with running(["python", "driver.py"], tmp_path, user) as driver:
        until(lambda: _tasks(user) > 0, "work", driver)
        assert "process" in said(user, "submit", "--batch", "local", "--name", "auto", "--auto", "0:2", *SMALL)
        until(lambda: said(user, "status", "auto").startswith("auto: 2 running\nlocal --auto 0:2  2 wanted (process "), "2 workers", driver)
        assert "are kept already" in said(user, "submit", "--batch", "local", "--name", "auto", "--auto", "0:1")
        assert "are kept by --auto 0:2" in said(user, "scale", "auto", "3")
        gate.touch()
        assert "completed" in driver.communicate()[0]
    assert "told to end" in said(user, "scale", "auto", "0")
    until(lambda: said(user, "status", "auto") == "auto: none in a queue\nlocal --auto 0:2  ended: drained\n", "the factory's end")


def _tasks(environment: Environment) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADHO_HOME", environment["SHADHO_HOME"])
        status = manager_status.ask("auto")
    return status["tasks_waiting"] if status else 0


def test_a_drained_worker_hands_its_training_on(tmp_path: Path, user: Environment) -> None:
    hand_on(tmp_path, user, "local", *SMALL)


def test_on_slurm_too(tmp_path: Path, user: Environment) -> None:
    need_slurm()
    (tmp_path / "slurm").mkdir()
    with running_slurm(tmp_path / "slurm", user) as slurm:
        hand_on(tmp_path, slurm.environment, "slurm", "--memory", "500M", "--worker-option=--disk=500", "--time", "10", "--gpus", "1")


def hand_on(tmp_path: Path, user: Environment, *batch: str) -> None:
    sign = write_search(tmp_path, "auto")
    submit = ("submit", "--name", "auto", "--auto", "1:1", "--batch", *batch)
    with running(["python", "driver.py"], tmp_path, user) as driver:
        until(lambda: _tasks(user) > 0, "work", driver)
        said(user, *submit)
        until(sign.exists, "a training", driver)
        assert said(user, "drain", "auto") == "auto: 1 running; told to end\n"
        until(lambda: "ended: drained" in said(user, "status", "auto"), "the end of the worker and the factory", driver)
        assert said(user, *submit).endswith("\n")
        assert "completed" in driver.communicate()[0]
    assert was_handed_on(tmp_path, "auto")
