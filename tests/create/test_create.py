"""`shadho experiment create` as a user types it: a driver of its own, that neither the terminal nor later edits reach."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from create.conftest import CONFIG, TRAIN, User

from shadho_like import Result, created
from shadho_like.cli.main import cli
from shadho_like.engine.processes import opened_process
from shadho_like.journal import JournalReader


def driver_of(directory: Path) -> int:
    with JournalReader(directory) as journal:
        driver = journal.driver()
    assert driver is not None
    return int(driver["pid"])


def kill(driver: int) -> None:
    """Kill a driver, and wait until it has let go of everything."""
    (opened,) = opened_process(driver)
    os.kill(driver, signal.SIGKILL)
    select.select([opened], [], [])
    os.close(opened)


def wait_for_trials(directory: Path, count: int) -> None:
    while Result(directory).counts.get("COMPLETED", 0) < count:
        time.sleep(0.05)


def test_create_and_wait(user: User) -> None:
    done = user.types("create", "exp.yaml", "code")
    assert (done.returncode, done.stderr) == (0, "")
    match = re.fullmatch(
        r"experiment (\S+) \(quick\) runs; its context has 1 file, [\d,]+ bytes\n"
        r"everything of it is in experiments/quick\n"
        r"  shadho experiment describe \1\n  shadho experiment pause \1\n  shadho experiment cancel \1\n"
        r"its driver is process \d+, which prints to experiments/quick/driver.log; where it is killed, start it again:\n"
        r"  shadho experiment run \1 --background\n",
        done.stdout,
    )
    assert match is not None, done.stdout
    assert user.types("wait", match[1]).returncode == 0
    result = Result(user.folder / "experiments/quick")
    assert result.counts == {"COMPLETED": 6}
    assert f"Optimal loss: {result.best_value}\n" in (result.directory / "driver.log").read_text()


def test_follow_and_overrides(user: User) -> None:
    words = ("--config", "searcher.max_trials=3", "--config", "hyperparameters.x={type: const, val: 1}", "--engine", "local", "--directory", "here")
    done = user.types("create", "exp.yaml", "code", "--follow", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nTrials: 3 completed, 0 failed," in done.stdout
    result = Result(user.folder / "here")
    assert [trial.hparams["x"] for trial in result.trials] == [1, 1, 1]
    again = user.types("create", "exp.yaml", "code", "--directory", "here")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == f"error: --directory {user.folder}/here is not empty: give one that is, or that is not there yet\n"


def test_each_create_makes_an_experiment_of_its_own(user: User) -> None:
    for _ in range(2):
        assert user.types("create", "exp.yaml", "code", "--follow").returncode == 0
    assert [path.name for path in user.experiments()] == ["quick", "quick-2"]


def test_all_of_a_created_experiment_is_deleted(user: User) -> None:
    assert user.types("create", "exp.yaml", "code", "--follow").returncode == 0
    assert user.types("delete", "experiments/quick", "--yes").stdout == "experiments/quick is deleted\n"
    assert user.experiments() == []


def test_the_same_folder_makes_the_same_context(user: User) -> None:
    user.writes("train.py", (user.folder / "code/train.py").read_text())
    contexts = []
    for name in ("quick", "quick-2"):
        assert user.types("create", "exp.yaml", ".", "--follow").returncode == 0
        contexts.append((user.folder / "experiments" / name / "context.tar").read_bytes())
        with tarfile.open(user.folder / "experiments" / name / "context.tar") as context:
            assert not [member for member in context.getnames() if "quick" in member]
    assert contexts[0] == contexts[1]


def test_the_configuration_has_no_name(user: User) -> None:
    user.writes("exp.yaml", CONFIG.removeprefix("name: quick\n"))
    assert user.types("create", "exp.yaml", "code", "--follow").returncode == 0
    assert [path.name for path in user.experiments()] == ["exp"]


FIRST_SHUTS_GATE = """        if done == 4:
            try:
                os.mkdir(context.hparams["wait_while"] + ".shut")
                os.mkdir(context.hparams["wait_while"])
            except FileExistsError:
                pass
"""
REPORTING = '        operation.report_completed({"loss": context.hparams["x"] / done})\n'


def test_a_killed_driver_and_a_changed_folder(user: User, tmp_path: Path) -> None:
    # The first trial that is trained to the end has all others wait, so that the search is not over before its driver is killed.
    user.writes("code/train.py", TRAIN.replace(REPORTING, FIRST_SHUTS_GATE + REPORTING))
    gate = tmp_path / "gate"
    assert user.types("create", "exp.yaml", "code", "--config", f"hyperparameters.wait_while={gate}", "--config", "searcher.max_trials=40", "--paused").returncode == 0
    directory = user.folder / "experiments/quick"
    assert user.types("activate", directory).returncode == 0
    wait_for_trials(directory, 1)
    kill(driver_of(directory))
    done_before = {trial.number: trial.finished_s for trial in Result(directory).trials if trial.state.value == "COMPLETED"}
    user.writes("code/train.py", "raise SystemExit('edited')")
    user.writes("exp.yaml", "name: [")
    gate.rmdir()
    assert user.types("run", directory, "--background").returncode == 0
    assert user.types("wait", directory).returncode == 0
    result = Result(directory)
    assert result.counts == {"COMPLETED": 40}
    assert done_before.items() <= {trial.number: trial.finished_s for trial in result.trials}.items()
    assert "starting its driver again" in user.types("continue", directory, "--max-trials", "42").stdout
    assert user.types("wait", directory).returncode == 0
    assert Result(directory).counts == {"COMPLETED": 42}


def test_continue_starts_a_driver_that_was_killed(user: User, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    assert user.types("create", "exp.yaml", "code", "--config", f"hyperparameters.wait_while={gate}").returncode == 0
    directory = user.folder / "experiments/quick"
    kill(driver_of(directory))
    gate.unlink()
    assert user.types("wait", directory).returncode == 5
    assert user.types("continue", directory).returncode == 0
    assert user.types("wait", directory).returncode == 0
    assert Result(directory).counts == {"COMPLETED": 6}


def test_a_copy_is_continued_where_it_is(user: User) -> None:
    assert user.types("create", "exp.yaml", "code", "--follow").returncode == 0
    first, copy = user.folder / "experiments/quick", user.folder / "experiments/copy"
    shutil.copytree(first, copy)
    done = user.types("continue", "experiments/copy", "--max-trials", "8")
    assert (done.returncode, done.stderr) == (0, "")
    said = r"starting its driver again, in the background: it is process \d+, and prints to experiments/copy/driver.log\n"
    assert re.fullmatch(said, done.stdout), done.stdout
    assert user.types("wait", copy).returncode == 0
    assert (Result(first).counts, Result(copy).counts) == ({"COMPLETED": 6}, {"COMPLETED": 8})


def test_paused(user: User) -> None:
    done = user.types("create", "exp.yaml", "code", "--paused")
    assert "is paused, and starts nothing until it is activated" in done.stdout
    directory = user.folder / "experiments/quick"
    assert not list(directory.glob("trials/*"))
    assert user.types("activate", directory).returncode == 0
    assert user.types("wait", directory).returncode == 0


def test_ctrl_c_leaves_the_experiment(user: User, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    following = user.begins("create", "exp.yaml", "code", "--follow", "--config", f"hyperparameters.wait_while={gate}")
    assert following.stdout is not None
    line = ""
    while "trials done" not in line:
        line = following.stdout.readline()
    directory = user.folder / "experiments/quick"
    following.send_signal(signal.SIGINT)
    said, _ = following.communicate()
    assert following.returncode == 130
    assert f"{directory} goes on without you; to end it: shadho experiment cancel {directory}\n" in said
    driver_of(directory)
    gate.unlink()
    assert user.types("wait", directory).returncode == 0


WAITS = """import os, sys, time
if sys.orig_argv[-2:-1] == ["run"]:
    with open("driver.new", "w") as file:
        file.write(str(os.getpid()))
    os.rename("driver.new", "driver.pid")
    while not os.path.exists("gate"):
        time.sleep(0.02)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_create_is_ended_before_its_driver_has_begun(user: User, number: signal.Signals) -> None:
    user.writes("site/sitecustomize.py", WAITS)
    paths = filter(None, (str(user.folder / "site"), user.environment.get("PYTHONPATH")))
    user.environment["PYTHONPATH"] = os.pathsep.join(paths)
    creating, pid = user.begins("create", "exp.yaml", "code"), user.folder / "driver.pid"
    try:
        while not pid.exists():
            assert creating.poll() is None
            time.sleep(0.02)
        creating.send_signal(number)
        assert creating.communicate() == ("", "")
        assert creating.returncode == 130
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)
        assert user.experiments() == []
    finally:
        user.writes("gate", "")


def test_create_is_ended_when_its_driver_has_begun(user: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in user.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(user.folder)

    def interrupted(directory: Path) -> None:
        drivers.append(start(directory))
        raise KeyboardInterrupt

    drivers: list[subprocess.Popen[bytes]] = []
    start = created.start
    monkeypatch.setattr(created, "start", interrupted)
    words = ["experiment", "create", "exp.yaml", "code", "--config", f"hyperparameters.wait_while={tmp_path}"]
    said = CliRunner().invoke(cli, words)
    assert said.exit_code == 130
    directory = user.folder / "experiments/quick"
    with JournalReader(directory) as journal:
        assert said.output == f"experiment {journal.id} has begun, in experiments/quick: see shadho experiment describe {journal.id}\n"
    assert driver_of(directory) == drivers[0].pid
    assert user.types("kill", directory).returncode == 0
    drivers[0].wait()


def test_the_terminal_goes_away(user: User, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    # A terminal of its own, which sends SIGHUP to what runs in it when it closes.
    command = f"shadho experiment create exp.yaml code --config hyperparameters.wait_while={gate}"
    subprocess.run(["script", "-qec", command, "/dev/null"], cwd=user.folder, env=user.environment, stdin=subprocess.DEVNULL, check=True)
    directory = user.folder / "experiments/quick"
    driver_of(directory)
    gate.unlink()
    assert user.types("wait", directory).returncode == 0


@pytest.mark.parametrize(("how", "status"), [("kill", 3), ("cancel", 3)])
def test_the_status_says_how_it_ended(user: User, how: str, status: int, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    words = ("--config", f"hyperparameters.wait_while={gate}", "--config", "preemption_timeout=1")
    following = user.begins("create", "exp.yaml", "code", "--follow", *words)
    directory = user.folder / "experiments/quick"
    assert following.stdout is not None
    line = ""
    while "everything of it" not in line:
        line = following.stdout.readline()
    user.types(how, directory)
    following.communicate()
    assert following.returncode == status


def test_everything_is_checked_first(user: User) -> None:
    user.writes("exp.yaml", CONFIG.replace("minval", "minvul").replace("async_halving", "async_halvin"))
    done = user.types("create", "exp.yaml", "code")
    assert (done.returncode, done.stdout) == (2, "")
    assert "exp.yaml:4: hyperparameters.x" in done.stderr
    assert "exp.yaml:6: searcher.name" in done.stderr
    assert user.experiments() == []
    user.writes("exp.yaml", f"{CONFIG}name: other\n")
    done = user.types("create", "exp.yaml", "code", "--config", "max_restarts=0")
    assert (done.returncode, done.stderr) == (2, "error: exp.yaml:7: name: is there twice: first in line 1\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("exp.yaml", "nowhere"), "the context directory 'nowhere' is not there, or no folder: looked in "),
        (("nowhere.yaml", "code"), "nowhere.yaml"),
        (("exp.yaml", "code", "--local"), "--local is one half of a test on this machine: add --test-mode, or give --engine local"),
        (("exp.yaml", "code", "--test-mode"), "--test-mode is one half of a test on this machine: add --local"),
        (("exp.yaml", "code", "--local", "--test-mode", "--paused"), "--local --test-mode starts no search"),
        (("exp.yaml", "code", "--config", "max_restarts"), "--config max_restarts: give key=value, as in"),
        (("exp.yaml", "code", "--config", "max_restart=1"), "max_restart"),
        (("exp.yaml", "code", "--include", "nowhere.txt"), "include 'nowhere.txt': there is no such file in "),
        (("exp.yaml", "code", "--config", "name=a/b"), "name"),
        (("exp.yaml", "--config", "entrypoint=cat exp.yaml"), "entrypoint: exp.yaml is here, but trials do not get it"),
    ],
)
def test_refusals(user: User, words: tuple[str, ...], said: str) -> None:
    done = user.types("create", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert user.experiments() == []


@pytest.mark.parametrize("context", [(), ("code",)])
def test_a_word_of_the_command_is_longer_than_any_path(user: User, context: tuple[str, ...]) -> None:
    program = f"import json; json.dump(len('{'x' * 5000}'), open('result.json', 'w'))"
    words = ("--config", f"entrypoint=python -c {shlex.quote(program)}", "--config", "searcher={name: random, metric: loss, max_trials: 1}")
    done = user.types("create", "exp.yaml", *context, *words, "--follow")
    assert (done.returncode, done.stderr) == (0, "")
    assert [trial.metric for trial in Result(user.folder / "experiments/quick").trials] == [5000]


def test_an_engine_that_cannot_start(user: User) -> None:
    user.writes(".shadhorc", "[workqueue]\npassword_file = nowhere\n")
    done = user.types("create", "exp.yaml", "code", "--engine", "workqueue")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert user.experiments() == []


def test_run_is_for_what_was_created(user: User) -> None:
    assert user.types("run", "code").returncode == 2
    user.writes("driver.py", "from shadho_like import Shadho\nShadho('echo 1 > result.json', {'x': [1]}, name='other', max_tasks=1).run()\n")
    subprocess.run(["python", "driver.py"], cwd=user.folder, env=user.environment, check=True, capture_output=True)
    done = user.types("run", "experiments/other")
    assert done.returncode == 2
    assert "was not made by shadho experiment create: it has no experiment.yaml and context.tar" in done.stderr


def test_include_and_a_function(user: User) -> None:
    user.writes("code/model.py", "import helper\n\ndef loss(hparams):\n    return helper.FACTOR * hparams['x']\n")
    user.writes("shared/helper.py", "FACTOR = 10\n")
    words = ("--config", "entrypoint=model:loss", "--config", "searcher={name: random, metric: loss, max_trials: 2}")
    done = user.types("create", "exp.yaml", "code", "--include", "shared/helper.py", "--follow", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(trial.metric == 10 * float(str(trial.hparams["x"])) for trial in Result(user.folder / "experiments/quick").trials)


@pytest.mark.usefixtures("work_queue_installed")
def test_on_work_queue(user: User) -> None:
    user.writes("code/startup-hook.sh", "echo hooked\n")
    worker = subprocess.Popen(["wq_worker", "-M", "create_quick"], cwd=user.folder, env=user.environment)
    try:
        done = user.types("create", "exp.yaml", "code", "--engine", "workqueue", "--config", "name=create_quick", "--follow")
        assert (done.returncode, done.stderr) == (0, "")
        assert worker.wait() == 0
    finally:
        worker.terminate()
        worker.wait()
    result = Result(user.folder / "experiments/create_quick")
    assert result.counts == {"COMPLETED": 6}
    assert (result.directory / "trials/000000").joinpath("output.log").read_text().startswith("hooked\ngoing on from ")
