"""A search paused, activated, canceled and continued from another terminal, with trainings that take checkpoints. Real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import wq_worker
from command import shadho
from e2e.processes import Environment, counts, running, until

from shadho_like.journal import JournalReader
from shadho_like.phase import Phase
from shadho_like.result import Result
from shadho_like.trial import Trial

STEPS = 12
DRIVER = """
from shadho_like import Shadho, rand, searcher

space = {{"x": rand.randint(1, 100)}}
method = searcher.create("random", space, seed=3, max_trials=3, max_concurrent_trials=2, max_length={steps})
opt = Shadho("python train.py", space, method=method, timeout=None, directory="search", workers=2{options})
opt.add_input_file("train.py")
{more}
opt.run()
"""
# Each step waits for a byte that the test gives, so that a training is where the test wants it; the sum at the end does not depend
# on how often it was interrupted. It says where it began, so that a start from nothing would show.
TRAIN = """
import json, os, time
import shadho_worker

def train(context):
    total, step = 0, 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path:
            total, step = json.load(open(path + "/state.json"))
    began_at = step
    for operation in context.searcher.operations():
        while step < operation.length:
            while step >= 2 and not os.path.exists({gate!r}) and not context.preempt.should_preempt():
                time.sleep(0.02)
            if context.preempt.should_preempt():
                return
            total, step = total + context.hparams["x"] * step, step + 1
            operation.report_progress(step)
            with context.checkpoint.save_path() as path:
                json.dump([total, step], open(path + "/state.json", "w"))
        operation.report_completed({{"loss": total, "began_at": began_at}})

shadho_worker.run(train)
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file without which every training stays at step 2."""
    return tmp_path / "gate"


def write(folder: Path, gate: Path, *, options: str = "", more: str = "") -> None:
    (folder / "driver.py").write_text(DRIVER.format(steps=STEPS, options=options, more=more))
    (folder / "train.py").write_text(TRAIN.format(gate=str(gate)))


@contextmanager
def search(folder: Path, environment: Environment) -> Iterator[subprocess.Popen[str]]:
    """Run the driver until two trainings are at their second checkpoint."""
    with running([sys.executable, "driver.py"], folder, environment) as driver:
        until(lambda: counts(folder / "search") >= {"RUNNING": 2}.items(), "two running trials", driver)
        until(lambda: at_two(folder / "search/checkpoints"), "their checkpoints", driver)
        yield driver


def at_two(checkpoints: Path) -> bool:
    """Return whether both trials have a checkpoint of their second step, at which the gate holds them."""
    return all((checkpoints / f"{trial}/{trial}.1.2").is_dir() for trial in range(2))


def trials(folder: Path) -> list[Trial]:
    with JournalReader(folder / "search") as journal:
        return list(journal.trials())


def phase(folder: Path) -> Phase:
    with JournalReader(folder / "search") as journal:
        return journal.phase


def ask(folder: Path, *words: str, status: int = 0) -> str:
    done = shadho(*words[:2], folder / "search", *words[2:])
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def check_result(folder: Path, numbers: tuple[int, ...] = (0, 1, 2)) -> None:
    """Every training went on from where it was, and ended as one that never was interrupted."""
    found = {trial.number: trial for trial in Result(folder / "search").trials}
    total = sum(range(STEPS))
    assert [found[number].metric for number in numbers] == [found[number].hparams["x"] * total for number in numbers]
    assert [found[number].metrics["began_at"] for number in numbers if number < 2] == [2] * sum(number < 2 for number in numbers)


def paused(folder: Path) -> bool:
    return dict(counts(folder / "search")).get("PAUSED") == 2


def test_a_pause_frees_the_slots_and_loses_nothing(tmp_path: Path, environment: Environment, gate: Path) -> None:
    write(tmp_path, gate)
    with search(tmp_path, environment) as driver:
        assert "the experiment is paused now" in ask(tmp_path, "experiment", "pause")
        until(lambda: paused(tmp_path), "both trials paused", driver)
        assert not list((tmp_path / "search" / "sandboxes").glob("0.*"))
        assert "running" in shadho("status", tmp_path / "search").stdout
        gate.touch()
        assert driver.poll() is None
        assert phase(tmp_path) is Phase.PAUSED
        ask(tmp_path, "experiment", "activate")
        said = driver.communicate()[0]
    assert driver.returncode == 0
    assert "paused: 2 running trials may take a checkpoint; to go on: shadho experiment activate search" in said
    assert "activated: the search goes on" in said
    assert phase(tmp_path) is Phase.COMPLETED
    check_result(tmp_path)


def test_sigterm_to_the_driver_is_a_pause_until_it_is_started_again(tmp_path: Path, environment: Environment, gate: Path) -> None:
    write(tmp_path, gate)
    with search(tmp_path, environment) as driver:
        driver.send_signal(signal.SIGTERM)
        said = driver.communicate()[0]
    assert driver.returncode == 0
    assert "interrupted: 2 running trials may take a checkpoint" in said
    assert [trial.state.value for trial in trials(tmp_path)] == ["PENDING", "PENDING"]
    gate.touch()
    subprocess.run([sys.executable, "driver.py"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    check_result(tmp_path)


def test_a_driver_killed_in_a_pause_is_still_paused_when_it_starts_again(tmp_path: Path, environment: Environment, gate: Path) -> None:
    write(tmp_path, gate)
    with search(tmp_path, environment) as driver:
        ask(tmp_path, "experiment", "pause")
        until(lambda: paused(tmp_path), "both trials paused", driver)
        driver.kill()
        driver.wait()
    gate.touch()
    assert "the next one does it when it starts" in ask(tmp_path, "experiment", "activate")
    subprocess.run([sys.executable, "driver.py"], cwd=tmp_path, env=environment, check=True, capture_output=True)
    check_result(tmp_path)


def test_a_canceled_search_ends_and_can_be_continued(tmp_path: Path, environment: Environment, gate: Path) -> None:
    write(tmp_path, gate)
    with search(tmp_path, environment) as driver:
        ask(tmp_path, "experiment", "cancel")
        driver.communicate()
    assert driver.returncode == 0
    assert phase(tmp_path) is Phase.CANCELED
    assert [trial.state.value for trial in trials(tmp_path)] == ["CANCELED"] * 2
    assert "is over (canceled)" in ask(tmp_path, "experiment", "pause", status=2)
    gate.touch()
    said = ask(tmp_path, "experiment", "continue")
    print(said)
    assert "starting its driver again" in said
    assert phase(tmp_path) is Phase.COMPLETED
    check_result(tmp_path)


def test_a_killed_trial_is_over_and_the_search_goes_on(tmp_path: Path, environment: Environment, gate: Path) -> None:
    write(tmp_path, gate)
    with search(tmp_path, environment) as driver:
        ask(tmp_path, "trial", "kill", "0")
        until(lambda: trials(tmp_path)[0].state.value == "CANCELED", "the end of trial 0", driver)
        assert "over already" in ask(tmp_path, "trial", "kill", "0", status=2)
        gate.touch()
        driver.communicate()
    assert driver.returncode == 0
    assert [trial.state.value for trial in trials(tmp_path)] == ["CANCELED", "COMPLETED", "COMPLETED"]
    story = ask(tmp_path, "trial", "explain", "0")
    told = ["created it", "wants it trained to length 12", "attempt 1 started", "the user asked to kill it"]
    assert [line for line in told if line not in story] == []


def test_a_killed_search_ends_at_once(tmp_path: Path, environment: Environment, gate: Path) -> None:
    write(tmp_path, gate)
    with search(tmp_path, environment) as driver:
        ask(tmp_path, "experiment", "kill")
        driver.communicate()
    assert phase(tmp_path) is Phase.CANCELED


def test_what_ignores_the_wish_is_killed_in_time(tmp_path: Path, environment: Environment) -> None:
    deaf = tmp_path / "deaf"
    stubborn = f"signal.signal(signal.SIGTERM, lambda *_: None)\nopen({str(deaf)!r}, 'w').close()\ntime.sleep(1000)\n"
    (tmp_path / "stubborn.py").write_text(f"import signal, time\n{stubborn}")
    text = "from shadho_like import Shadho\nopt = Shadho('exec python stubborn.py', {'x': 1}, workers=1, timeout=None, preemption_timeout=1"
    (tmp_path / "driver.py").write_text(f"{text}, directory='search')\nopt.add_input_file('stubborn.py')\nopt.run()\n")
    with running([sys.executable, "driver.py"], tmp_path, environment) as driver:
        until(lambda: deaf.exists() and counts(tmp_path / "search") >= {"RUNNING": 1}.items(), "a running trial", driver)
        ask(tmp_path, "experiment", "cancel")
        driver.communicate()
    assert phase(tmp_path) is Phase.CANCELED


@pytest.mark.usefixtures("work_queue_installed")
def test_slices_make_the_pause_on_work_queue(tmp_path: Path, environment: Environment, gate: Path) -> None:
    write(tmp_path, gate, options=", slice='3 units'", more="opt.config.workqueue.name = 'paused'")
    with (
        running([sys.executable, wq_worker.__file__, "-M", "paused", "--cores", "2"], tmp_path, environment) as worker,
        running([sys.executable, "driver.py"], tmp_path, environment) as driver,
    ):
        until(lambda: counts(tmp_path / "search") >= {"RUNNING": 2}.items(), "two running trials", driver)
        ask(tmp_path, "experiment", "pause")
        gate.touch()
        until(lambda: paused(tmp_path), "both trials paused", driver)
        ask(tmp_path, "experiment", "activate")
        driver.communicate()
        assert worker.wait() == 0
    assert driver.returncode == 0
    found = Result(tmp_path / "search").trials
    assert [trial.metric for trial in found] == [trial.hparams["x"] * sum(range(STEPS)) for trial in found]
    assert all(trial.attempt == STEPS // 3 for trial in found)


@pytest.mark.usefixtures("work_queue_installed")
@pytest.mark.parametrize("pause", [False, True])
def test_sigterm_waits_for_nothing_that_work_queue_cannot_ask(tmp_path: Path, environment: Environment, gate: Path, *, pause: bool) -> None:
    # Far longer than the test may take: were it waited for, the test would fail.
    options = f", preemption_timeout=100000, checkpoint_storage={{'type': 'shared_fs', 'path': {str(tmp_path / 'kept')!r}}}"
    write(tmp_path, gate, options=options, more="opt.config.workqueue.name = 'asked-in-vain'")
    worker = [sys.executable, wq_worker.__file__, "-M", "asked-in-vain", "--cores", "2"]
    run = [sys.executable, "driver.py"]
    with running(worker, tmp_path, environment), running(run, tmp_path, environment) as driver:
        until(lambda: counts(tmp_path / "search") >= {"RUNNING": 2}.items(), "two running trials", driver)
        until(lambda: any(map(at_two, tmp_path.glob("kept/*"))), "their checkpoints", driver)
        if pause:
            ask(tmp_path, "experiment", "pause")
            until(lambda: phase(tmp_path) is Phase.PAUSED, "the pause", driver)
        driver.send_signal(signal.SIGTERM)
        said = driver.communicate()[0]
    assert driver.returncode == 0
    assert "2 running when it stopped" in said
    assert [trial.state.value for trial in trials(tmp_path)] == ["PAUSED" if pause else "PENDING"] * 2
    if pause:
        ask(tmp_path, "experiment", "activate")
    gate.touch()
    with running(worker, tmp_path, environment), running(run, tmp_path, environment) as driver:
        driver.communicate()
    check_result(tmp_path)


def test_a_finished_search_goes_on_with_more_trials_and_longer_ones(tmp_path: Path, environment: Environment, gate: Path) -> None:
    write(tmp_path, gate)
    gate.touch()
    run = [sys.executable, "driver.py"]
    subprocess.run(run, cwd=tmp_path, env=environment, check=True, capture_output=True)
    before = trials(tmp_path)
    assert "adds nothing" in ask(tmp_path, "experiment", "continue", "--max-trials", "2")
    assert "starting its driver again" in ask(tmp_path, "experiment", "continue", "--max-length", "15")
    after = trials(tmp_path)
    assert [trial.hparams for trial in after] == [trial.hparams for trial in before]
    assert [trial.metrics["began_at"] for trial in after] == [STEPS] * 3
    assert [trial.metric for trial in after] == [trial.hparams["x"] * sum(range(15)) for trial in after]
    driver = tmp_path / "driver.py"
    driver.write_text(driver.read_text().replace("max_trials=3", "max_trials=5"))
    for _ in range(2):
        subprocess.run(run, cwd=tmp_path, env=environment, check=True, capture_output=True)
        assert [trial.attempt for trial in trials(tmp_path)] == [2, 2, 2, 1, 1]
    assert [trial.metrics["began_at"] for trial in trials(tmp_path)] == [STEPS] * 3 + [0] * 2
