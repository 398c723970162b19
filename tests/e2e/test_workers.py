"""Seed 002 through a catalog; workers that share a search, one of them killed; trials from a warm interpreter."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e.processes import Environment, completed, running, until

from shadho_like.result import Result

pytestmark = pytest.mark.usefixtures("work_queue_installed")
SIN = Path(__file__).parents[2] / "examples/sin"

SHARED = """
from shadho_like import Shadho, rand
opt = Shadho("WAIT sleep 0.1; echo '{\\"loss\\": 1, \\"worker\\": \\"'$WORKER'\\"}' > result.json", {"x": rand.uniform(0, 1)}, max_tasks=60)
opt.config.workqueue.name = "shared"
opt.config.workqueue.address = "127.0.0.1"
opt.run()
"""
# The first trial of each of two workers ends when both have one; after the first thirty, each waits for the test.
SIDE_BY_SIDE = (
    ": >BEGUN/$WORKER; until [ $(ls BEGUN | wc -l) -ge 2 ]; do sleep 0.1; done; "
    "echo >>LOG; until [ $(wc -l <LOG) -le 30 ] || [ -e GATE ]; do sleep 0.1; done;"
)
WARM = """
import glob, os, time
from shadho_like import Shadho, rand

state = {"trials": 0}

def objective(params):
    state["trials"] += 1
    # A trial that is quicker than the server of warm interpreters waits for it, so that those after it find it.
    while not glob.glob(os.environ["SHADHO_WARM"] + "/slot.*"):
        time.sleep(0.02)
    kind = int(params["kind"])
    if kind == 1:
        os.abort()
    if kind == 2:
        os._exit(7)
    if kind == 3:
        raise ValueError("no good")
    if kind == 4:
        time.sleep(1000)
    return {"loss": kind, "trials": state["trials"], "parent": os.getppid(), "pid": os.getpid(), "folder": os.getcwd()}

if __name__ == "__main__":
    opt = Shadho(objective, {"kind": rand.choice(KINDS)}, max_tasks=40, seed=1, name="warm", trial_timeout=LIMIT)
    opt.config.workqueue.name = "warm"
    opt.config.workqueue.address = "127.0.0.1"
    opt.run()
"""


def wq_worker(*options: str) -> list[str]:
    return [sys.executable, "-m", "wq_worker", "--timeout", "60", "--memory", "1000", "--disk", "1000", *options]


def test_seed_002_through_a_catalog_with_nothing_in_the_home(tmp_path: Path, environment: Environment) -> None:
    folder = Path(shutil.copytree(SIN, tmp_path / "sin", ignore=shutil.ignore_patterns("experiments")))
    port_file = tmp_path / "port"
    away = {**environment, "SHADHO_HOME": str(tmp_path / "elsewhere")}
    password = Path(environment["SHADHO_HOME"], "rendezvous/shadho_sin_ex.password")
    with running(["catalog_server", "-I", "127.0.0.1", "-u", "127.0.0.1", "-Z", str(port_file)], tmp_path, environment) as catalog_server:
        until(lambda: port_file.exists() and port_file.read_text().endswith("\n"), "the catalog's port", catalog_server)
        catalog = f"127.0.0.1:{int(port_file.read_text())}"
        # It ends by the test's Ctrl-C, however long it takes to have some trials.
        driver_file = folder / "driver.py"
        assert driver_file.read_text().count("timeout=60") == 1
        driver_file.write_text(driver_file.read_text().replace("timeout=60", "timeout=6000"))
        (folder / ".shadhorc").write_text(f"[workqueue]\ncatalog = {catalog}\naddress = 127.0.0.1\n")
        with (
            running(["python", "driver.py"], folder, environment) as driver,
            contextlib.ExitStack() as stack,
        ):
            until(password.exists, "a password", driver)
            copy = shutil.copy(password, tmp_path / "password")
            worker = stack.enter_context(running(wq_worker("-M", "shadho_sin_ex", "-C", catalog, "-P", str(copy)), tmp_path, away))
            directory = folder / "experiments/shadho_sin_ex"
            until(lambda: completed(directory) >= 20, "20 trials", driver)
            driver.send_signal(signal.SIGINT)
            assert "Optimal loss: " in driver.communicate()[0]
            said = worker.communicate()[0]
            assert (driver.returncode, worker.returncode) == (0, 0)
            assert "wq_worker: connected to shadho_sin_ex at 127.0.0.1:" in said
            assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("password", [None, "not it"])
def test_without_the_password_a_worker_is_turned_away(tmp_path: Path, environment: Environment, password: str | None) -> None:
    (tmp_path / "driver.py").write_text(SHARED.replace("WAIT", ""))
    (tmp_path / "password").write_text(str(password))
    options = ["-P", str(tmp_path / "password")] if password else []
    with running(["python", "driver.py"], tmp_path, environment) as driver:
        folder = Path(environment["SHADHO_HOME"], "rendezvous")
        until(lambda: bool(list(folder.glob("shared.*.json"))), "the driver's rendezvous file", driver)
        port = json.loads(next(folder.glob("shared.*.json")).read_text())["port"]
        with running(wq_worker("127.0.0.1", str(port), *options), tmp_path, environment) as worker:
            said = worker.communicate()[0]
        assert worker.returncode == 2
        assert f"wq_worker: 127.0.0.1:{port} does not take this worker: give the driver's password file with -P" in said
        assert completed(tmp_path / "experiments/shared") == 0
        with running(wq_worker("127.0.0.1", str(port), "-P", str(folder / "shared.password")), tmp_path, environment):
            until(lambda: completed(tmp_path / "experiments/shared") > 0, "a trial on a worker with the password", driver)


def by_worker(directory: Path) -> dict[str, int]:
    """Return how many trials each worker completed."""
    workers = [trial.metrics["worker"] for trial in Result(directory).trials if trial.state.value == "COMPLETED"]
    return {str(worker): workers.count(worker) for worker in workers}


def test_two_workers_share_the_work_and_one_killed_costs_no_trial(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "begun").mkdir()
    gate = tmp_path / "gate"
    places = {"BEGUN": tmp_path / "begun", "LOG": tmp_path / "log", "GATE": gate}
    wait = functools.reduce(lambda text, name: text.replace(name, str(places[name])), places, SIDE_BY_SIDE)
    (tmp_path / "driver.py").write_text(SHARED.replace("WAIT", wait))
    directory = tmp_path / "experiments/shared"
    command = wq_worker("-M", "shared", "--cores", "1")
    with (
        running(["python", "driver.py"], tmp_path, environment) as driver,
        running(command, tmp_path, {**environment, "WORKER": "a"}) as victim,
        running(command, tmp_path, {**environment, "WORKER": "b"}) as other,
    ):
        until(lambda: completed(directory) >= 10 and len(by_worker(directory)) == 2, "trials from both workers", driver)
        victim.kill()
        gate.touch()
        assert "completed" in driver.communicate()[0]
        assert driver.returncode == 0
        assert other.wait() == 0
    result = Result(directory)
    assert result.counts == {"COMPLETED": 60}
    assert sorted(by_worker(directory)) == ["a", "b"]


def test_a_worker_beside_a_driver_that_listens_on_one_address(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "driver.py").write_text(SHARED.replace("WAIT", "").replace("127.0.0.1", "127.0.0.2").replace("max_tasks=60", "max_tasks=5"))
    with (
        running(["python", "driver.py"], tmp_path, environment) as driver,
        running(wq_worker("-M", "shared", "--cores", "1"), tmp_path, environment) as worker,
    ):
        assert "completed" in driver.communicate()[0]
        assert "connected to shared at 127.0.0.2:" in worker.communicate()[0]


@pytest.fixture
def warm_search(tmp_path: Path, environment: Environment) -> Callable[..., Result]:
    """Run a search of a callable that does one of several things, with a worker; return what came of it."""

    def search(kinds: list[int], meanwhile: Callable[[Path], Any] = lambda _: None, limit_s: float | None = None) -> Result:
        (tmp_path / "driver.py").write_text(WARM.replace("KINDS", str(kinds)).replace("LIMIT", str(limit_s)))
        directory = tmp_path / "experiments/warm"
        with (
            running(["python", "driver.py"], tmp_path, environment) as driver,
            running(wq_worker("-M", "warm", "--cores", "2"), tmp_path, {**environment, "TMPDIR": str(tmp_path)}) as worker,
        ):
            until(lambda: completed(directory) >= 3, "a few trials", driver)
            meanwhile(tmp_path)
            said = driver.communicate()[0]
            assert driver.returncode == 0, said
            assert worker.wait() == 0
        assert not list(tmp_path.glob("wq_worker-*"))
        return Result(directory)

    return search


def test_trials_come_from_one_warm_interpreter_and_do_not_see_each_other(warm_search: Callable[..., Result]) -> None:
    trials = warm_search([0]).trials
    assert {trial.metrics["trials"] for trial in trials} == {1}
    assert len({trial.metrics["pid"] for trial in trials}) == 40
    assert len({trial.metrics["folder"] for trial in trials}) == 40
    parents = [trial.metrics["parent"] for trial in trials]
    # The first ones may be quicker than the interpreter that loads the objective for all others.
    assert len(set(parents[-10:])) == 1


def test_a_warm_trial_that_dies_fails_alone_and_says_how(warm_search: Callable[..., Result]) -> None:
    failures = {0: None, 1: "SIGABRT", 2: "status 7", 3: "ValueError: no good"}
    for trial in warm_search(list(failures)).trials:
        expected = failures[trial.hparams["kind"]]
        assert (trial.failure is None) == (expected is None)
        assert trial.failure is None or str(expected) in trial.failure.message


def test_a_warm_trial_over_its_time_is_killed(warm_search: Callable[..., Result]) -> None:
    kinds = {trial.failure.kind.value if trial.failure else "" for trial in warm_search([0] * 15 + [4], limit_s=6).trials}
    assert kinds == {"", "time_limit"}


def test_a_killed_server_of_warm_interpreters_costs_no_trial_and_hangs_none(warm_search: Callable[..., Result]) -> None:
    def servers(folder: Path) -> list[int]:
        return [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdecimal() and (line := _command(process)) and "shadho_warm.py" in line and str(folder) in line
        ]

    def kill_server(folder: Path) -> None:
        for server in servers(folder) or pytest.fail("there is none"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)

    assert warm_search([0], kill_server).counts == {"COMPLETED": 40}


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
