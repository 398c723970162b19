"""A driver's checkpoints over its whole life: the policy on the disk, kills, damage, a common file system, the command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.processes import Environment, running, until

from shadho_like.result import Result

TRAIN = """
import json, os, time
import shadho_worker

def train(context):
    total, step = 0, 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path:
            total, step = json.load(open(path + "/state"))
    print("began at", step)
    for operation in context.searcher.operations():
        while step < operation.length:
            if step == 4 and context.trial.attempt == 1 and os.path.exists(GATE):
                open(GATE + f".{context.trial.number}", "w").close()
                time.sleep(1000)
            total, step = total + abs(step - 3), step + 1
            operation.report_progress(step)
            with context.checkpoint.store_path({"steps_completed": step}) as (path, checkpoint):
                json.dump([total, step], open(path + "/state", "w"))
            context.train.report_validation_metrics(step, {"loss": abs(step - 3) + context.trial.number / 10})
        operation.report_completed({"loss": abs(step - 3) + context.trial.number / 10, "total": total})

shadho_worker.run(train)
"""
DRIVER = """
import json, sys
from shadho_like import Shadho, rand, searcher

space = {"x": rand.uniform(0, 1)}
method = searcher.create("random", space, max_trials=2, max_length=6, max_concurrent_trials=2)
opt = Shadho("python train.py", space, directory="search", method=method, timeout=None, seed=3, **json.loads(sys.argv[1]))
opt.add_input_file("train.py")
opt.config.workqueue.address = "127.0.0.1"
opt.run()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "train.py").write_text(TRAIN.replace("GATE", repr(str(tmp_path / "gate"))))
    return tmp_path


def command(options: dict[str, Any]) -> list[str]:
    return ["python", "driver.py", json.dumps(options)]


def run(place: Path, environment: Environment, **options: Any) -> str:
    done = subprocess.run(command(options), cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shadho(place: Path, environment: Environment, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["shadho", "checkpoint", *words], cwd=place, env=environment, capture_output=True, text=True, check=False)


def states(place: Path, environment: Environment) -> dict[str, str]:
    said = shadho(place, environment, "list", "search", "--all", "--json").stdout.splitlines()
    return {row["id"]: row["state"] for row in map(json.loads, said)}


def there(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*/*"))


def stopped(place: Path, environment: Environment, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a driver up to where both trials have trained for four steps and wait."""
    (place / "gate").touch()
    with running(command(options), place, environment) as driver:
        until(lambda: all((place / f"gate.{trial}").exists() for trial in (0, 1)), "the fifth step of both trials", driver)
        kept = {"0.1.3": "KEPT", "1.1.3": "KEPT", "0.1.4": "KEPT", "1.1.4": "KEPT"}
        until(lambda: states(place, environment).items() >= kept.items(), "the driver's hearing of it", driver)
        # It removes what it does not keep after it has written that down.
        roots = [place / "search/checkpoints", *place.glob("shared/*")]
        until(lambda: [name for root in roots for name in there(root)] == sorted(kept), "the end of all others", driver)
        yield driver
    (place / "gate").unlink()


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (None, ["0.1.3", "0.1.6", "1.1.3", "1.1.6"]),
        ({"save_trial_best": 0, "save_trial_latest": 0}, []),
        ({"save_trial_best": 0, "save_trial_latest": 2}, ["0.1.5", "0.1.6", "1.1.5", "1.1.6"]),
        ({"save_experiment_best": 3, "save_trial_best": 0, "save_trial_latest": 0}, ["0.1.2", "0.1.3", "1.1.3"]),
    ],
)
def test_what_the_policy_wants_is_on_the_disk_and_nothing_else(
    place: Path, environment: Environment, policy: dict[str, int] | None, kept: list[str]
) -> None:
    run(place, environment, engine="local", checkpoint_policy=policy)
    assert there(place / "search/checkpoints") == kept
    found = states(place, environment)
    assert sorted(name for name, state in found.items() if state == "KEPT") == kept
    assert set(found.values()) <= {"KEPT", "DELETED"}
    assert len(found) == 12


def test_after_a_kill_each_trial_goes_on_and_what_was_half_removed_goes(place: Path, environment: Environment) -> None:
    for driver in stopped(place, environment, engine="local"):
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    root = place / "search/checkpoints"
    newest = there(root)[-1]
    # As if the driver had been killed between saying that a checkpoint goes and removing it; and one that it never heard of.
    shutil.copytree(root / "0/0.1.4", root / "0/0.1.1")
    with sqlite3.connect(place / "search/journal.sqlite") as db:
        db.execute("UPDATE checkpoints SET state = 'DELETING' WHERE id = '0.1.1'")
        db.execute("DELETE FROM checkpoints WHERE id = '1.1.4'")
    db.close()
    run(place, environment, engine="local")
    assert newest == "1.1.4"
    assert there(root) == ["0.1.3", "0.2.2", "1.1.3", "1.2.2"]
    assert {state for name, state in states(place, environment).items() if name in {"0.1.1", "1.1.4"}} == {"DELETED"}
    for trial in (0, 1):
        assert "began at 4" in (place / f"search/trials/00000{trial}/output.log").read_text()
    assert [trial.metrics for trial in Result(place / "search").trials] == [{"total": 3 + 2 + 1 + 0 + 1 + 2}] * 2


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_and_said(place: Path, environment: Environment) -> None:
    policy = {"save_trial_latest": 2}
    for driver in stopped(place, environment, engine="local", checkpoint_policy=policy):
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    (place / "search/checkpoints/0/0.1.4/state").write_text("[9, 9]")
    said = run(place, environment, engine="local", checkpoint_policy=policy)
    assert "checkpoint 0.1.4 is lost, and trial 0 goes on from the one before, if there is one" in said
    assert "began at 3" in (place / "search/trials/000000/output.log").read_text()
    assert "began at 4" in (place / "search/trials/000001/output.log").read_text()
    assert [trial.metrics for trial in Result(place / "search").trials] == [{"total": 9}] * 2
    assert states(place, environment)["0.1.4"] == "LOST"


@pytest.mark.usefixtures("work_queue_installed")
def test_on_a_common_file_system_a_worker_that_is_killed_loses_no_more_than_a_step(place: Path, environment: Environment) -> None:
    shared = place / "shared"
    shared.mkdir()
    options: dict[str, Any] = {"engine": "workqueue", "name": "common", "checkpoint_storage": {"type": "shared_fs", "path": str(shared)}}
    worker = ["wq_worker", "-M", "common", "--cores", "2"]
    with running(worker, place, environment) as first:
        for driver in stopped(place, environment, **options):
            os.killpg(first.pid, signal.SIGKILL)
            (place / "gate").unlink()
            with running(worker, place, environment):
                said, _ = driver.communicate()
            assert driver.returncode == 0, said
            (place / "gate").touch()
    [root] = shared.iterdir()
    assert there(root) == ["0.1.3", "0.2.2", "1.1.3", "1.2.2"]
    assert not (place / "search/checkpoints").exists()
    for trial in (0, 1):
        assert "began at 4" in (place / f"search/trials/00000{trial}/output.log").read_text()
    refused = subprocess.run(command({"engine": "local"}), cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert f"the checkpoints of {place}/search are in {root}, and do not travel: give checkpoint_storage=" in refused.stderr
    found = shadho(place, environment, "download", "search", "0.2.2", "out")
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads((place / "out/state").read_text()) == [9, 6]


def test_the_command(place: Path, environment: Environment) -> None:
    for driver in stopped(place, environment, engine="local"):
        busy = shadho(place, environment, "delete", "search", "0.1.3")
        assert busy.returncode == 1
        assert f"search is in use by process {driver.pid}" in busy.stderr
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    listed = [line.rstrip() for line in shadho(place, environment, "list", "search", "--trial", "0").stdout.splitlines()]
    assert listed == ["id     trial  length  loss  size  state", "0.1.3  0      3       0     6 B   kept", "0.1.4  0      4       1     6 B   kept"]
    told = json.loads(shadho(place, environment, "describe", "search", "0.1.3", "--json").stdout)
    assert (told["length"], told["metadata"], told["problem"]) == (3.0, {"steps_completed": 3}, None)
    needed = shadho(place, environment, "delete", "search", "0.1.4")
    assert needed.returncode == 2
    assert "checkpoint 0.1.4 may be needed to go on with trial 0" in needed.stderr
    assert shadho(place, environment, "delete", "search", "0.1.3").stdout == "deleted 0.1.3\n"
    assert there(place / "search/checkpoints") == ["0.1.4", "1.1.3", "1.1.4"]
    wrong = shadho(place, environment, "describe", "search", "0.1.5")
    assert wrong.returncode == 2
    assert "there is no checkpoint '0.1.5' in this experiment: the nearest are 0.1.4, " in wrong.stderr
    gone = shadho(place, environment, "download", "search", "0.1.3")
    assert (gone.returncode, gone.stderr) == (2, "error: checkpoint 0.1.3 was deleted\n")
    (place / "search/checkpoints/1/1.1.4/state").write_text("[9, 9]")
    altered = shadho(place, environment, "download", "search", "1.1.4")
    assert altered.returncode == 1
    assert "checkpoint 1.1.4 is not as it was saved: state" in altered.stderr
    assert not (place / "1.1.4").exists()


def population(place: Path) -> None:
    """Have two members train two rounds; the first is the better one, and is copied in the second one's place."""
    pbt = 'searcher.create("pbt", space, population_size=2, num_rounds=2, length_per_round=2, truncate_fraction=0.5)'
    driver = DRIVER.replace('searcher.create("random", space, max_trials=2, max_length=6, max_concurrent_trials=2)', pbt)
    (place / "driver.py").write_text(driver)


def test_a_copy_starts_where_its_parent_was_when_it_was_made(place: Path, environment: Environment) -> None:
    """One worker: the parent trains the whole next round before its copy begins, and saves checkpoints that are none of the copy's."""
    population(place)
    run(place, environment, workers=1)
    trained = {"0.1.1", "0.1.2", "0.2.1", "0.2.2", "1.1.1", "1.1.2", "2.1.1", "2.1.2"}
    assert set(states(place, environment)) == trained


def test_nobody_deletes_what_a_copy_may_start_from(place: Path, environment: Environment) -> None:
    population(place)
    run(place, environment, workers=1, max_tasks=2)
    kept = sorted(name for name, state in states(place, environment).items() if state == "KEPT" and name.startswith("0."))
    assert kept == ["0.2.1", "0.2.2"]
    refused = shadho(place, environment, "delete", "search", "0.2.1")
    assert refused.returncode == 2
    assert "checkpoint 0.2.1 may be needed to go on with trial 0, or to start another" in refused.stderr
