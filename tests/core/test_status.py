"""What a driver tells of its run to those who look from elsewhere: it can be read while it runs, and is known to be old after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shadho_like import Shadho, rand
from shadho_like.engine_status import EngineStatus, Host, Load, WorkerGroup
from shadho_like.filelock import FileLock
from shadho_like.journal import JournalReader, Standing, StatusFile, Told
from shadho_like.journal.status import read_status
from shadho_like.paths import ExperimentPaths

STANDING = Standing(
    EngineStatus(3, 24, Load(5, 24), Load(1, 3), (WorkerGroup(3, 8, 1, 64000),), (Host("a", "gpu_model=a100"), Host("b"))), 0.25, 40, 1e9
)
DRIVER = """
import sys, time
from shadho_like import Shadho, rand

def objective(params):
    time.sleep(600)

Shadho(objective, {"x": rand.uniform(0, 1)}, max_tasks=7, workers=2, timeout=500, directory=sys.argv[1]).run()
"""


@pytest.fixture
def paths(tmp_path: Path) -> ExperimentPaths:
    return ExperimentPaths(tmp_path)


def told(paths: ExperimentPaths) -> Told:
    found = read_status(paths)
    assert found is not None
    return found


def test_what_is_told_comes_back_and_is_live_while_its_driver_holds_the_lock(paths: ExperimentPaths) -> None:
    assert read_status(paths) is None
    lock = FileLock(paths.lock)
    StatusFile(paths.status).tell(STANDING)
    assert told(paths).standing == STANDING
    assert told(paths).live
    lock.release()
    assert not told(paths).live
    another = FileLock(paths.lock)
    assert not told(paths).live, "the same process holds the lock again, and has told nothing yet"
    another.release()


def test_a_run_that_is_over_says_so_itself(paths: ExperimentPaths) -> None:
    lock = FileLock(paths.lock)
    status = StatusFile(paths.status)
    status.tell(STANDING)
    status.end()
    assert not told(paths).live
    lock.release()


def test_changes_are_told_not_too_often_and_nothing_else_is(paths: ExperimentPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock_s[0])
    status = StatusFile(paths.status)
    written = set[int]()
    for tenth in range(100):
        clock_s[0] = tenth / 10
        status.tell(Standing(STANDING.engine, min(tenth, 45) / 100, 40, None))
        written.add(os.stat(paths.status).st_ino)
    assert told(paths).standing.progress == 0.45
    assert len(written) <= 4


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"engine": 3}', "\x00" * 40, "[" * 100_000])
def test_what_makes_no_sense_is_nothing(paths: ExperimentPaths, text: str) -> None:
    paths.status.write_text(text, encoding="utf-8")
    assert read_status(paths) is None


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    status = StatusFile(tmp_path / "gone" / "status.json")
    status.tell(STANDING)
    status.end()


def test_a_search_that_runs_and_is_killed(tmp_path: Path) -> None:
    directory = tmp_path / "search"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(directory)], stdout=subprocess.DEVNULL)
    try:
        while driver.poll() is None and (read_status(ExperimentPaths(directory)) is None):
            time.sleep(0.05)
        with JournalReader(directory) as journal:
            found = journal.status()
        assert found is not None
        assert found.live
        assert (found.standing.engine.slots, found.standing.max_trials) == (2, 7)
        assert found.standing.ends_s is not None
        assert 400 < found.standing.ends_s - time.time() <= 501
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    with JournalReader(directory) as journal:
        found = journal.status()
    assert found is not None
    assert not found.live
    assert found.standing.engine.slots == 2


def test_a_search_that_is_done(tmp_path: Path) -> None:
    Shadho(lambda params: params["x"], {"x": rand.uniform(0, 1)}, max_tasks=5, workers=0, directory=tmp_path / "e").run()
    found = told(ExperimentPaths(tmp_path / "e"))
    assert not found.live
    assert (found.standing.engine.slots, found.standing.max_trials) == (1, 5)
