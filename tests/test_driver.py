"""`Shadho` as a driver uses it: how it is called, what it refuses, how it carries on, how it is stopped."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e.processes import Environment, counts, running, until

from shadho_like import Shadho, rand
from shadho_like.errors import ExperimentChanged, ExperimentInUse, JournalError, OptionError, SpaceError
from shadho_like.experiment import Step
from shadho_like.phase import Phase
from shadho_like.result import Result

SPACE = {"x": rand.uniform(0, 1)}


def objective(hparams: dict[str, float]) -> float:
    return hparams["x"]


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shadho]:
    """Make a driver of a small search in this process; its directory is `search`."""
    monkeypatch.chdir(tmp_path)

    def make(*, cmd: Any = objective, space: Any = SPACE, max_tasks: int = 10, seed: int | None = 4, **options: Any) -> Shadho:
        return Shadho("search", cmd, space, workers=0, max_tasks=max_tasks, seed=seed, **options)

    return make


def test_the_ways_to_call_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Shadho("true", SPACE, name="a").directory == tmp_path / "experiments/a"
    assert Shadho("a", "true", SPACE).directory == tmp_path / "experiments/a"
    assert Shadho(exp_key="a", cmd="true", space=SPACE).directory == tmp_path / "experiments/a"
    assert Shadho(objective, SPACE).name == "objective"
    named = Shadho("true", SPACE)
    named.config.workqueue.name = "b"
    assert named.name == "b"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"timout": 3}, OptionError, "Shadho has no option 'timout': did you mean 'timeout'?"),
        ({"timeout": 0}, OptionError, "timeout must be a number of seconds above 0, or None for no limit, not 0"),
        ({"max_tasks": 1.5}, OptionError, "max_tasks must be a whole number of at least 1, not 1.5"),
        ({"max_resubmissions": -1}, OptionError, "max_resubmissions must be a whole number of at least 0, not -1"),
        ({"slice": "3 epochs"}, OptionError, 'slice must be a number of seconds above 0, a length as in "3 units"'),
        ({"preemption_timeout": None}, OptionError, "preemption_timeout must be a number of seconds above 0, not None"),
        ({"preemption_timeout": 0}, OptionError, "preemption_timeout must be a number of seconds above 0, not 0"),
        ({"method": "randon"}, OptionError, "'randon'.*did you mean 'random'"),
        ({"space": {"svm": {"C": [1, rand.uniform(0, float("nan"))]}}}, SpaceError, "svm.C"),
        ({"files": ["nowhere.txt"]}, OptionError, "nowhere.txt"),
        ({"cmd": lambda context: context, "hyperparameters_per_task": 2}, OptionError, "leave hyperparameters_per_task out"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    search: Callable[..., Shadho], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        search(**options)
    assert not Path("experiments").exists()


def test_a_driver_run_again_carries_on_with_the_trials_of_one_run(
    search: Callable[..., Shadho], capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(search(max_tasks=4).run().trials) == 4
    again = search(max_tasks=10, seed=None, max_queued_tasks=7).run()
    assert "max_queued_tasks: 100 trials are open at once, as when this experiment began; 7 would take a new one" in capsys.readouterr().out
    whole = search(max_tasks=10, directory="whole").run()
    assert [trial.hparams for trial in again.trials] == [trial.hparams for trial in whole.trials]
    assert search(max_tasks=10).run().counts == {"COMPLETED": 10}


def test_a_command_that_fails_is_shown_with_its_last_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Shadho("echo no such model; exit 4", SPACE, directory=tmp_path / "e", name="e", max_tasks=3).run()
    said = capsys.readouterr().out
    assert "3 of them failed for this reason: exited with status 4\nThe last line that the first of them printed: no such model\n" in said


def test_a_directory_that_cannot_be_made_is_said(search: Callable[..., Shadho]) -> None:
    with pytest.raises(JournalError, match="/proc/none cannot be made: No such file or directory; give another directory="):
        search(directory="/proc/none").run()


def test_another_experiment_is_not_mixed_in(search: Callable[..., Shadho]) -> None:
    search().run()
    with pytest.raises(ExperimentChanged, match=re.escape("experiments/search holds another experiment")) as changed:
        search(space={"x": rand.uniform(0, 2)}).run()
    assert "to start afresh" in str(changed.value)
    with pytest.raises(OptionError, match="holds this experiment already, and resume is False"):
        search(resume=False).run()
    assert Result(Path("experiments/search")).counts == {"COMPLETED": 10}


def test_a_directory_has_one_driver(search: Callable[..., Shadho]) -> None:
    def nested(_: Any) -> float:
        search().run()
        return 0.0

    outer = Shadho("search", nested, SPACE, workers=0, max_tasks=1).run()
    [trial] = outer.trials
    assert trial.failure is not None
    assert ExperimentInUse.__name__ in trial.failure.message


SLOW = """
from shadho_like import Shadho
opt = Shadho("{command}", {{"x": 1}}, name="slow", workers=2, max_tasks=50, await_pending={drain}, timeout=None)
opt.run()
"""


@pytest.mark.parametrize(
    ("drain", "signals", "expected"),
    [
        (False, 1, "2 running when it stopped"),
        (True, 1, "4 completed, 0 failed, 0 running when it stopped"),
        (True, 2, "2 running when it stopped"),
    ],
    ids=["stops", "lets trials finish", "twice stops at once"],
)
def test_ctrl_c(tmp_path: Path, environment: Environment, *, drain: bool, signals: int, expected: str) -> None:
    """The first two trials are over at once; the next two wait for a file that comes only where they are to finish."""
    gate, first, second = (tmp_path / name for name in ("gate", "first", "second"))
    wait = f"mkdir {first} || mkdir {second} || while ! [ -e {gate} ]; do sleep 0.05; done; echo 1 > result.json"
    (tmp_path / "task.sh").write_text(wait)
    (tmp_path / "driver.py").write_text(SLOW.format(command=f"sh {tmp_path}/task.sh", drain=drain))
    with running(["python", "driver.py"], tmp_path, environment) as driver:
        until(lambda: counts(tmp_path / "experiments/slow") >= {"COMPLETED": 2, "RUNNING": 2}.items(), "four trials", driver)
        driver.send_signal(signal.SIGINT)
        if drain:
            assert driver.stdout is not None
            assert "interrupted: 2 running trials may finish; Ctrl-C ends them sooner\n" in iter(driver.stdout.readline, "")
        if signals == 2:
            driver.send_signal(signal.SIGINT)
        elif drain:
            gate.touch()
        said = driver.communicate()[0]
    assert driver.returncode == 0
    assert expected in said


# Its time is over as soon as two trials run, however long that took to come.
TIMED = """
from shadho_like import Shadho
from shadho_like.engine.clock import SteadyClock
from shadho_like.trial import TrialState

now, ahead_s = SteadyClock.now, 0.0
SteadyClock.now = lambda clock: now(clock) + ahead_s

def look(step):
    global ahead_s
    ahead_s = 10_000.0 if step.counts[TrialState.RUNNING] == 2 else ahead_s

opt = Shadho("sleep 1000", {"x": 1}, name="slow", workers=2, max_tasks=50, timeout=10_000)
opt.listeners.append(look)
opt.run()
"""


def test_the_timeout_ends_it_and_starts_again(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "driver.py").write_text(TIMED)
    for _ in range(2):
        done = subprocess.run(["python", "driver.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert "Trials: 0 completed, 0 failed, 2 running when it stopped" in done.stdout
    assert Result(tmp_path / "experiments/slow").best_trial is None


def test_a_program_pauses_activates_and_cancels_its_search(search: Callable[..., Shadho]) -> None:
    opt = search(max_tasks=10**9, timeout=None)
    seen: list[Phase] = []

    def steer(step: Step) -> None:
        if not seen or seen[-1] is not step.phase:
            seen.append(step.phase)
            (opt.activate if step.phase is Phase.PAUSED else opt.cancel if Phase.PAUSED in seen else opt.pause)()

    opt.listeners.append(steer)
    result = opt.run()
    assert seen[:3] == [Phase.ACTIVE, Phase.PAUSED, Phase.ACTIVE]
    assert result.counts["CANCELED"] >= 1
    assert result.counts["COMPLETED"] >= 1


def test_classes_on_one_machine_are_said_to_mean_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opt = Shadho(lambda params: params["x"], {"x": rand.uniform(0, 1)}, directory=tmp_path, name="s", max_tasks=2, workers=0)
    opt.add_compute_class("large", "cores", 16)
    assert opt.run().counts == {"COMPLETED": 2}
    printed = capsys.readouterr()
    assert "compute class 'large' is not used: on this machine alone all workers are alike" in printed.out + printed.err
