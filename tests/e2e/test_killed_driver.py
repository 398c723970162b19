"""The driver killed with -9 at ten moments of a search and started again each time: nothing lost, doubled, or different."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import wq_worker
from e2e.processes import completed, until

from shadho_like.journal import JournalReader
from shadho_like.result import Result

TRIALS, KILLS = 200, 10
DRIVER = """
import sys
from shadho_like import Shadho, rand

opt = Shadho("sh task.sh", {{"x": rand.uniform(0, 3)}}, max_tasks={trials}, timeout=None, seed=11, directory=sys.argv[1])
opt.add_input_file("task.sh")
{more}
opt.run()
"""
# A command that needs no Python: it notes that it ran, and answers with its trial's number. No more trials begin than the test allows,
# so that a driver that is to be killed does not end by itself before.
TASK = """
trial=$(sed 's/.*"trial": *\\([0-9]*\\).*/\\1/' trial.json)
until read limit <{limit} && [ "$trial" -lt "$limit" ]; do sleep 0.02; done
echo "$trial" >> {log}
echo "{{\\"loss\\": $trial}}" > result.json
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CATALOG_HOST", raising=False)
    (tmp_path / "task.sh").write_text(TASK.format(log=tmp_path / "ran", limit=tmp_path / "limit"))
    return tmp_path


@pytest.fixture
def worker(place: Path, work_queue_installed: None) -> Iterator[subprocess.Popen[bytes]]:
    with (place / "worker.log").open("w") as log:
        process = subprocess.Popen([sys.executable, wq_worker.__file__, "-M", "killed"], stdout=log, stderr=log)
    yield process
    process.terminate()
    process.wait()


def allow(place: Path, trials: int) -> None:
    """Let so many trials begin."""
    partial = place / "limit.partial"
    partial.write_text(f"{trials}\n")
    partial.replace(place / "limit")


def killed_and_started_again(place: Path, more: str) -> Result:
    (place / "driver.py").write_text(DRIVER.format(trials=TRIALS, more=more))
    directory = place / "killed"
    moments = sorted(random.Random(5).sample(range(1, TRIALS - 20), KILLS))
    recorded: list[int] = []
    for moment in moments:
        allow(place, moment + 10)
        with (place / "driver.log").open("a") as log:
            driver = subprocess.Popen([sys.executable, "driver.py", str(directory)], stdout=log, stderr=log)
        until(lambda: driver.poll() is not None or completed(directory) >= moment, f"{moment} trials")  # noqa: B023
        assert driver.poll() is None, (place / "driver.log").read_text()
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        # Whatever the dead driver's attempts still do, what is recorded now must not be run again.
        with JournalReader(directory) as journal:
            done = [trial.number for trial in journal.trials() if trial.state.value == "COMPLETED"]
        assert set(recorded) <= set(done)
        recorded = done
    allow(place, TRIALS)
    ran_before = (place / "ran").read_text().split()
    final = subprocess.run([sys.executable, "driver.py", str(directory)], capture_output=True, text=True, check=False)
    assert final.returncode == 0, final.stdout + final.stderr
    ran_after = (place / "ran").read_text().split()[len(ran_before) :]
    assert not {int(number) for number in ran_after} & set(recorded)
    return Result(directory)


def check(place: Path, result: Result) -> None:
    assert result.counts == {"COMPLETED": TRIALS, **{state: count for state, count in result.counts.items() if state != "COMPLETED"}}
    done = [trial for trial in result.trials if trial.state.value == "COMPLETED"]
    assert [trial.number for trial in done] == list(range(TRIALS))
    assert [trial.metric for trial in done] == list(range(TRIALS))
    (place / "driver.py").write_text(DRIVER.format(trials=TRIALS, more=""))
    subprocess.run([sys.executable, "driver.py", str(place / "undisturbed")], capture_output=True, check=True)
    undisturbed = Result(place / "undisturbed")
    assert [trial.hparams for trial in undisturbed.trials] == [trial.hparams for trial in result.trials]


def test_ten_kills_on_the_local_engine(place: Path) -> None:
    check(place, killed_and_started_again(place, ""))
    assert not list((place / "killed" / "sandboxes").glob("*"))


def test_ten_kills_on_work_queue(place: Path, worker: subprocess.Popen[bytes]) -> None:
    result = killed_and_started_again(place, "opt.config.workqueue.name = 'killed'")
    assert worker.wait() == 0
    check(place, result)
