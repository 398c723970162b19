"""What a user relies on when things go wrong on this machine: crashes, kills and floods cost one trial, nothing is left."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from contracts.engine_contract import PATIENCE_S, Driven, Pids, attempt, wait_gone
from e2e.processes import until

from shadho_like.engine.base import InputFile, Launch, OutputFile
from shadho_like.engine.local import LocalEngine
from shadho_like.engine.processes import children
from shadho_like.errors import EngineError, OptionError, UserError
from shadho_like.events import AttemptStarted
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Resources
from shadho_like.trial import AttemptId, Failure, FailureKind, Success

Objective = Callable[[dict[str, Any]], Any]


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine(2)
    before = children()
    yield engine
    engine.close()
    assert children() <= before


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch("local", ExperimentPaths(tmp_path / "experiment"))


@dataclass
class Stopped:
    """The clock of an engine whose time passes when a test says so."""

    now_s: float = 1e9

    def now(self) -> float:
        return self.now_s


@pytest.fixture
def stopped(engine: LocalEngine) -> Stopped:
    """Have the engine's time stand still: no trial is slow because the machine is."""
    clock = Stopped()
    engine._clock = clock  # type: ignore[assignment]
    return clock


def run_one(engine: LocalEngine, launch: Launch, *others: int) -> Failure:
    """Return the failure of trial 0; trials beside it must do well."""
    first, *rest = Driven(engine, launch).run(attempt(0), *map(attempt, others))
    assert rest == [Success(float(n)) for n in others]
    assert isinstance(first, Failure)
    return first


def supervisor_pid() -> int:
    """Return the one child of this process."""
    (pid,) = (pid for pid in children() if b"supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


class TestCallables:
    @pytest.mark.parametrize(
        ("end", "kind", "message"),
        [
            (lambda: os._exit(7), FailureKind.EXIT_CODE, "exited with status 7"),
            (lambda: os._exit(0), FailureKind.EXIT_CODE, "the objective ended its process with status 0 before it returned"),
            (lambda: os.kill(os.getpid(), signal.SIGSEGV), FailureKind.SIGNAL, "killed by SIGSEGV"),
            (lambda: sys.exit(4), FailureKind.ERROR, "SystemExit: 4"),
        ],
    )
    def test_a_crash_costs_the_trial_that_crashed_and_no_other(
        self, engine: LocalEngine, launch: Launch, end: Callable[[], None], kind: FailureKind, message: str
    ) -> None:
        def objective(hparams: dict[str, Any]) -> float:
            if hparams["x"] == 0:
                print("last words")
                end()
            return float(hparams["x"])

        found = run_one(engine, replace(launch, objective=objective), *range(1, 60))
        assert (found.kind, found.message) == (kind, message)
        assert launch.paths.log(AttemptId(0, 1)).read_text().startswith("last words\n")

    def test_what_a_trial_prints_is_its_own_and_a_silent_one_leaves_nothing(self, engine: LocalEngine, launch: Launch) -> None:
        def objective(hparams: dict[str, Any]) -> float:
            if hparams["x"] % 2:
                print("trial", hparams["x"])
                os.system("echo from a child; echo and errors >&2")
            return 0.0

        Driven(engine, replace(launch, objective=objective)).run(*map(attempt, range(10)))
        for trial in range(1, 10, 2):
            assert launch.paths.log(AttemptId(trial, 1)).read_text() == f"trial {trial}\nfrom a child\nand errors\n"
        assert sorted(folder.name for folder in (launch.paths.root / "trials").iterdir()) == [f"{n:06d}" for n in range(1, 10, 2)]

    def test_forking_reading_and_closing_do_no_harm(self, engine: LocalEngine, launch: Launch) -> None:
        def objective(hparams: dict[str, Any]) -> float:
            assert sys.stdin.read() == ""
            if hparams["x"] == 1:
                os.fork()
            if hparams["x"] == 2:
                os.chdir("/")
                sys.stdout.close()
                os.close(1)
            if hparams["x"] == 3:
                subprocess.Popen(["sleep", "1000"])
            return float(hparams["x"])

        found = Driven(engine, replace(launch, objective=objective)).run(*map(attempt, range(12)))
        assert found == [Success(float(n)) for n in range(12)]

    def test_a_trial_over_its_time_is_killed_with_its_children(self, engine: LocalEngine, launch: Launch, tmp_path: Path) -> None:
        pipe = Pids(tmp_path / "pids")
        path = pipe.path

        def objective(hparams: dict[str, Any]) -> float:
            if hparams["x"] == 0:
                subprocess.run(["setsid", "sh", "-c", f"echo $$ > '{path}'; exec sleep 1000"], check=False)
            return float(hparams["x"])

        driven = Driven(engine, replace(launch, objective=objective, trial_timeout_s=1.5))
        driven.submit(*map(attempt, range(5)))
        driven.until(lambda: len(driven.ended()) == 5)
        found = driven.ended()[AttemptId(0, 1)]
        assert isinstance(found, Failure)
        assert (found.kind, found.message) == (FailureKind.TIME_LIMIT, "ran longer than the 1.5 s that a trial may")
        for pid in pipe.said():
            wait_gone(pid)

    def test_quick_trials_that_wait_behind_a_slow_one_go_to_another_worker(
        self, engine: LocalEngine, launch: Launch, tmp_path: Path, stopped: Stopped
    ) -> None:
        pipe, gate = Pids(tmp_path / "pids"), tmp_path / "gate"
        path = pipe.path
        os.mkfifo(gate)

        def objective(hparams: dict[str, Any]) -> float:
            if "slow" in hparams:
                path.write_text(f"{os.getpid()}\n")
                gate.read_text()
            return 0.0

        driven, quick = Driven(engine, replace(launch, objective=objective)), itertools.count(1)
        give_up_s = time.monotonic() + PATIENCE_S
        while engine.room() <= 2:
            assert time.monotonic() < give_up_s, "quick trials are never sent ahead"
            driven.run(*(attempt(next(quick)) for _ in range(100)))
        count = len(driven.ended()) + 60
        driven.submit(attempt(0, hparams={"slow": 1}), *(attempt(next(quick)) for _ in range(59)))
        pipe.read()
        stopped.now_s += 0.07
        driven.until(lambda: len(driven.ended()) == count - 1)
        assert not any(isinstance(update, AttemptStarted) for update in driven.updates)
        stopped.now_s += 0.1
        driven.until(lambda: any(isinstance(update, AttemptStarted) for update in driven.updates))
        assert [update.attempt.trial for update in driven.updates if isinstance(update, AttemptStarted)] == [0]
        gate.write_text("go on")
        driven.until(lambda: len(driven.ended()) == count)

    def test_cancelling_a_running_trial_frees_its_worker(self, engine: LocalEngine, launch: Launch, tmp_path: Path) -> None:
        pipe = Pids(tmp_path / "pids")
        path = pipe.path

        def objective(hparams: dict[str, Any]) -> float:
            if hparams["x"] < 2:
                path.write_text(f"{os.getpid()}\n")
                signal.pause()
            return float(hparams["x"])

        driven = Driven(engine, replace(launch, objective=objective))
        driven.submit(*map(attempt, range(6)))
        pids = [pipe.read(), pipe.read()]
        engine.cancel([AttemptId(0, 1), AttemptId(1, 1)])
        for pid in pids:
            wait_gone(pid)
        driven.until(lambda: len(driven.ended()) == 4)
        assert {one.trial for one in driven.ended()} == {2, 3, 4, 5}

    def test_input_and_output_files_lie_in_the_workers_folder(self, engine: LocalEngine, launch: Launch, tmp_path: Path) -> None:
        (tmp_path / "data.txt").write_text("5")

        def objective(hparams: dict[str, Any]) -> float:
            Path("out.txt").write_text(str(hparams["x"]))
            return float(Path("in/data.txt").read_text())

        launch = replace(
            launch,
            objective=objective,
            input_files=(InputFile(tmp_path / "data.txt", "in/data.txt"),),
            output_files=(OutputFile("kept.txt", "out.txt"),),
        )
        assert Driven(engine, launch).run(*map(attempt, range(8))) == [Success(5.0)] * 8
        assert [(launch.paths.trial(n) / "kept.txt").read_text() for n in range(8)] == [str(n) for n in range(8)]

    def test_hyperparameters_of_any_size(self, engine: LocalEngine, launch: Launch) -> None:
        launch = replace(launch, objective=lambda hparams: {"loss": len(hparams["x"]), "back": hparams["x"]})
        text = "é" * 3_000_000
        assert Driven(engine, launch).run(attempt(0, hparams={"x": text})) == [Success(3e6, {"back": text})]

    def test_an_objective_that_cannot_be_pickled_is_the_users_error(self, engine: LocalEngine, launch: Launch) -> None:
        lock = threading.Lock()
        with pytest.raises(UserError, match=r"the objective .*<lambda> cannot be sent to other processes: TypeError: "):
            engine.open(replace(launch, objective=lambda _: lock.locked()))

    def test_an_objective_that_cannot_be_loaded_ends_the_run(
        self, engine: LocalEngine, launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "vanishing.py").write_text("def objective(p): return 0.0\n")
        monkeypatch.syspath_prepend(tmp_path)
        objective = __import__("vanishing").objective
        (tmp_path / "vanishing.py").unlink()
        driven = Driven(engine, replace(launch, objective=objective))
        with pytest.raises(EngineError, match="No module named 'vanishing'; install what is missing there"):
            driven.run(attempt(0))


class TestCommands:
    def test_daemons_end_with_their_trial(self, engine: LocalEngine, launch: Launch, tmp_path: Path) -> None:
        pipe = Pids(tmp_path / "pids")
        daemon = f"""setsid sh -c 'echo $$ > "{pipe.path}"; echo > ready; exec sleep 1000' &"""
        command = f"mkfifo ready; ({daemon}); read line < ready; echo 1 > result.json"
        driven = Driven(engine, replace(launch, command=command))
        driven.submit(attempt(0))
        pid = pipe.read()
        driven.until(lambda: bool(driven.ended()))
        wait_gone(pid)

    def test_an_input_that_vanished_loses_the_attempt(self, engine: LocalEngine, launch: Launch, tmp_path: Path) -> None:
        launch = replace(launch, command="true", input_files=(InputFile(tmp_path / "gone", "gone"),))
        driven = Driven(engine, launch)
        driven.submit(attempt(0))
        driven.until(lambda: driven.lost() == [AttemptId(0, 1)])

    def test_python_is_this_python(self, engine: LocalEngine, launch: Launch) -> None:
        command = """python -c 'import sys; print(sys.prefix)'; echo 1 > result.json"""
        Driven(engine, replace(launch, command=command)).run(attempt(0))
        assert launch.paths.log(AttemptId(0, 1)).read_text().strip() == sys.prefix

    def test_a_folder_makes_room_when_the_end_of_its_trial_is_kept(self, engine: LocalEngine, launch: Launch) -> None:
        """That is when the engine is asked for more: a failure for want of room is not kept in the room that it leaves."""
        Driven(engine, replace(launch, command="exit 3")).run(attempt(0))
        [trash] = launch.paths.sandboxes.glob("trash-*")
        assert (trash / "trial.json").is_file()
        engine.wait(0.0)
        until(lambda: not trash.exists(), "the end of the folder")

    def test_whatever_permissions_a_trial_sets_its_folder_goes(self, engine: LocalEngine, launch: Launch) -> None:
        command = "mkdir -p a/b; echo 1 > result.json; chmod 000 a/b a; exit 0"
        Driven(engine, replace(launch, command=command)).run(attempt(0))
        engine.close()
        assert not launch.paths.sandboxes.exists()


class TestDeaths:
    """Somebody kills what should not die."""

    @pytest.mark.parametrize("kind", ["command", "objective"])
    def test_a_killed_supervisor_loses_what_ran_and_another_goes_on(
        self, engine: LocalEngine, launch: Launch, tmp_path: Path, kind: str
    ) -> None:
        pipe = Pids(tmp_path / "pids")
        path = pipe.path
        command = f"""grep -q '"attempt": 2' trial.json && echo 1 > result.json && exit; echo $$ > '{path}'; sleep 1000"""

        def objective(hparams: dict[str, Any]) -> float:
            if "first" in hparams:
                path.write_text(f"{os.getpid()}\n")
                time.sleep(1000)
            return 1.0

        launch = replace(launch, command=command) if kind == "command" else replace(launch, objective=objective)
        driven = Driven(engine, launch)
        driven.submit(attempt(0, hparams={"first": 1}), attempt(1, hparams={"first": 1}))
        pids = [pipe.read(), pipe.read()]
        os.kill(supervisor_pid(), signal.SIGKILL)
        driven.until(lambda: len(driven.lost()) == 2)
        for pid in pids:
            wait_gone(pid)
        assert driven.run(attempt(0, 2), attempt(1, 2)) == [Success(1.0)] * 2

    def test_a_killed_keeper_takes_its_trial_along(self, engine: LocalEngine, launch: Launch, tmp_path: Path) -> None:
        pipe = Pids(tmp_path / "pids")
        command = f"""(setsid sh -c 'echo $$ > "{pipe.path}"; exec sleep 1000' &); echo $PPID > '{pipe.path}'; sleep 1000"""
        driven = Driven(engine, replace(launch, command=command))
        driven.submit(attempt(0))
        pids = [pipe.read(), pipe.read()]
        (keeper,) = [pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes().count(b"supervisor")]
        os.kill(keeper, signal.SIGKILL)
        driven.until(lambda: driven.lost() == [AttemptId(0, 1)])
        for pid in pids:
            wait_gone(pid)

    @pytest.mark.parametrize("kind", ["command", "objective"])
    def test_a_killed_driver_leaves_no_process_and_the_next_cleans_up(self, launch: Launch, tmp_path: Path, kind: str) -> None:
        pipe = Pids(tmp_path / "pids")
        driver = subprocess.Popen([sys.executable, "-c", _DRIVER, str(launch.paths.root), str(pipe.path), kind])
        pids = [pipe.read() for _ in range(4)]
        driver.kill()
        driver.wait()
        for pid in pids:
            wait_gone(pid)
        assert any(launch.paths.sandboxes.iterdir())
        engine = LocalEngine(1)
        try:
            assert Driven(engine, replace(launch, command="echo 2 > result.json")).run(attempt(0)) == [Success(2.0)]
        finally:
            engine.close()
        assert not launch.paths.sandboxes.exists()

    def test_ctrl_c_in_the_terminal_reaches_the_driver_alone(self, engine: LocalEngine, launch: Launch, tmp_path: Path) -> None:
        pipe = Pids(tmp_path / "pids")
        driven = Driven(engine, replace(launch, command=f"echo $$ > '{pipe.path}'; echo 1 > result.json"))
        driven.submit(attempt(0))
        pid = pipe.read()
        assert os.getpgrp() not in {pid, os.getpgid(supervisor_pid())}
        driven.until(lambda: bool(driven.ended()))


def test_waiting_for_a_long_trial_costs_next_to_nothing(
    engine: LocalEngine, launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = Pids(tmp_path / "pids")
    command = f"echo $$ > '{pipe.path}'; exec sleep 1000"
    driven = Driven(engine, replace(launch, command=command, resources=Resources(disk_mb=100)))
    driven.submit(attempt(0))
    pipe.read()
    driven.until(lambda: bool(driven.updates))
    sleeps: list[float] = []
    usual = engine._sleep

    def sleep(seconds: float, wake_fd: int | None) -> bool:
        sleeps.append(seconds)
        return usual(seconds, wake_fd)

    monkeypatch.setattr(engine, "_sleep", sleep)
    engine.wait(2.0)
    assert len(sleeps) <= 3, sleeps


def test_trials_side_by_side_and_told_as_started(engine: LocalEngine, launch: Launch, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    driven = Driven(engine, replace(launch, command=f"cat '{gate}' > result.json"))
    assert engine.room() == 2
    driven.submit(attempt(0), attempt(1))
    assert engine.room() == 0
    driven.until(lambda: sum(isinstance(update, AttemptStarted) for update in driven.updates) == 2)
    assert engine.status().slots == 2
    gate.write_text("3")
    driven.until(lambda: bool(driven.ended()))
    assert engine.room() >= 1


def test_workers_must_be_at_least_one() -> None:
    with pytest.raises(OptionError, match="workers must be at least 1, not 0"):
        LocalEngine(0)


_DRIVER = """
import os, subprocess, sys
from pathlib import Path
from shadho_like.engine.base import Launch
from shadho_like.engine.local import LocalEngine
from shadho_like.paths import ExperimentPaths
from shadho_like.trial import Attempt, AttemptId

root, pipe, kind = sys.argv[1:]
child = f"echo $$ > '{pipe}'; exec sleep 1000"

def objective(hparams):
    Path(pipe).write_text(f"{os.getpid()}\\n")
    subprocess.run(["setsid", "sh", "-c", child])

command = f"echo $$ > '{pipe}'; setsid sh -c \\"{child.replace('$', chr(92) + '$')}\\""
what = {"command": command} if kind == "command" else {"objective": objective}
engine = LocalEngine(2)
engine.open(Launch("killed", ExperimentPaths(Path(root)), **what))
engine.submit([Attempt(AttemptId(n, 1), {}, n) for n in range(2)])
while True:
    engine.wait(60)
"""
