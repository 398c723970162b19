"""What every engine keeps to, as suites to inherit: give the fixture `engine`. Real processes, nothing but the protocol."""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shadho_worker

from shadho_like.engine.base import Engine, InputFile, Launch, OutputFile, Update
from shadho_like.events import AttemptFinished, AttemptLost, AttemptStarted
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Resources
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Hyperparameters, Outcome, Success

PATIENCE_S = 120.0


def attempt(trial: int, number: int = 1, hparams: Hyperparameters | None = None) -> Attempt:
    """Return an attempt of a trial."""
    return Attempt(AttemptId(trial, number), hparams or {"x": trial}, seed=trial)


class Driven:
    """An engine as the loop drives it, with all that it said."""

    def __init__(self, engine: Engine, launch: Launch) -> None:
        self.engine = engine
        self.launch = launch
        self.updates: list[Update] = []
        engine.open(launch)

    def submit(self, *attempts: Attempt) -> None:
        self.engine.submit(attempts)

    def until(self, done: Callable[[], bool]) -> None:
        """Wait until something is so, and fail when it takes unbearably long."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline_s, f"still waiting, after {self.updates}"
            self.updates += self.engine.wait(1.0)

    def ended(self) -> dict[AttemptId, Outcome]:
        """Return what came back, checking that nothing ended twice."""
        ends = [update for update in self.updates if isinstance(update, AttemptFinished)]
        outcomes = {end.attempt: end.outcome for end in ends}
        assert len(outcomes) == len(ends)
        return outcomes

    def lost(self) -> list[AttemptId]:
        return [update.attempt for update in self.updates if isinstance(update, AttemptLost)]

    def run(self, *attempts: Attempt) -> list[Outcome]:
        """Run attempts to their ends, each of which must come."""
        self.submit(*attempts)
        self.until(lambda: all(one.id in self.ended() for one in attempts))
        return [self.ended()[one.id] for one in attempts]


def shell(launch: Launch, text: str, **changes: Any) -> Launch:
    """Return a launch that runs a shell command."""
    return replace(launch, command=text, **changes)


class EngineSuite:
    """What both suites need."""

    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        raise NotImplementedError

    @pytest.fixture
    def launch(self, tmp_path: Path) -> Launch:
        root = tmp_path / "an experiment's ünusual $(folder)"
        root.mkdir()
        return Launch("contract", ExperimentPaths(root))


def square(hparams: dict[str, Any]) -> float:
    return float(hparams["x"]) ** 2


def fail(_: Any) -> float:
    message = "no such thing"
    raise LookupError(message)


def refuse(_: Any) -> float:
    message = "too deep"
    raise shadho_worker.InvalidHP(message)


class CallableContract(EngineSuite):
    """An engine that evaluates Python callables."""

    def test_each_attempt_ends_once_with_its_own_result(self, engine: Engine, launch: Launch) -> None:
        driven = Driven(engine, replace(launch, objective=square))
        outcomes = driven.run(*map(attempt, range(30)))
        assert outcomes == [Success(float(n * n)) for n in range(30)]
        assert not driven.lost()
        ends = [update for update in driven.updates if isinstance(update, AttemptFinished)]
        assert all(0 < end.started_s <= end.time_s and end.host for end in ends)

    def test_it_wants_attempts_and_never_fewer_than_none(self, engine: Engine, launch: Launch) -> None:
        driven = Driven(engine, replace(launch, objective=square))
        assert engine.room() > 0
        driven.submit(*map(attempt, range(engine.room() + 5)))
        assert engine.room() == 0

    @pytest.mark.parametrize(
        ("returned", "outcome"),
        [
            (3, Success(3.0)),
            (True, Success(1.0)),
            (np.float32(0.5), Success(0.5)),
            (np.array([7]), Success(7.0)),
            ({"loss": np.float64(1.5), "f1": np.int64(2), "curve": [np.float32(0.5)]}, Success(1.5, {"f1": 2, "curve": [0.5]})),
            (math.nan, "the objective returned nan, which is no finite number"),
            ({"loss": -math.inf}, "'loss' is -inf, which is no finite number"),
            ("0.5", "the objective returned '0.5' (str), not a number"),
            (None, "the objective returned None: does it end without a return?"),
            ({"accuracy": 1}, "the objective returned no 'loss', only 'accuracy'"),
            ({"loss": 1, "model": {"weights": object}}, "'model.weights' is <class 'object'> (type), which JSON cannot hold"),
        ],
    )
    def test_what_an_objective_may_return(self, engine: Engine, launch: Launch, returned: Any, outcome: Outcome | str) -> None:
        (found,) = Driven(engine, replace(launch, objective=lambda _: returned)).run(attempt(0))
        if isinstance(outcome, Success):
            assert found == outcome
        else:
            assert isinstance(found, Failure)
            assert (found.kind, found.message) == (FailureKind.BAD_RESULT, outcome)

    def test_an_exception_is_the_trials_error_with_its_traceback(self, engine: Engine, launch: Launch) -> None:
        (found,) = Driven(engine, replace(launch, objective=fail)).run(attempt(0))
        assert isinstance(found, Failure)
        assert (found.kind, found.message) == (FailureKind.ERROR, "LookupError: no such thing")
        assert "in fail" in found.log_tail

    def test_hyperparameters_can_be_refused(self, engine: Engine, launch: Launch) -> None:
        (found,) = Driven(engine, replace(launch, objective=refuse)).run(attempt(0))
        assert isinstance(found, Failure)
        assert found.kind is FailureKind.INVALID_HP
        assert found.message.endswith("InvalidHP: too deep")

    def test_several_evaluations_give_the_mean_and_each_gets_the_sample_unchanged(self, engine: Engine, launch: Launch) -> None:
        def objective(hparams: dict[str, Any]) -> int:
            value: int = hparams["x"].pop()
            return value

        sample = {"x": [1, 5]}
        (found,) = Driven(engine, replace(launch, objective=objective, evaluations=3)).run(attempt(0, hparams=sample))
        assert found == Success(5.0)
        assert sample == {"x": [1, 5]}

    def test_another_metric_than_loss(self, engine: Engine, launch: Launch) -> None:
        launch = replace(launch, objective=lambda _: {"accuracy": 0.9, "loss": 7}, metric="accuracy")
        assert Driven(engine, launch).run(attempt(0)) == [Success(0.9, {"loss": 7})]

    def test_nothing_is_told_of_what_was_cancelled(self, engine: Engine, launch: Launch) -> None:
        driven = Driven(engine, replace(launch, objective=square))
        driven.submit(*map(attempt, range(20)))
        engine.cancel([AttemptId(trial, 1) for trial in range(0, 20, 2)])
        driven.until(lambda: len(driven.ended()) == 10)
        driven.run(attempt(20))
        assert {one.trial for one in driven.ended()} == {*range(1, 20, 2), 20}

    def test_it_wakes_for_a_descriptor_and_leaves_it_readable(self, engine: Engine, launch: Launch) -> None:
        driven = Driven(engine, replace(launch, objective=square))
        reading, writing = os.pipe()
        try:
            os.write(writing, b"!")
            while driven.engine.wait(PATIENCE_S, reading):
                pass
            assert select.select([reading], [], [], 0)[0]
        finally:
            os.close(reading)
            os.close(writing)

    def test_it_closes_twice_and_without_having_been_opened(self, engine: Engine, launch: Launch) -> None:
        engine.close()
        Driven(engine, replace(launch, objective=square)).run(attempt(1))
        engine.close()
        engine.close()
        assert not launch.paths.sandboxes.exists()


SEGFAULT = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


class CommandSuite(EngineSuite):
    """What suites over shell commands need."""

    def script(self, launch: Launch, text: str, name: str = "my script.py", **changes: Any) -> Launch:
        """Return a launch that runs a Python script with this text."""
        path = launch.paths.root / name
        path.write_text(text, encoding="utf-8")
        return replace(launch, command=f"python '{name}'", input_files=(InputFile(path, name),), **changes)


class CommandContract(CommandSuite):
    """An engine that runs shell commands."""

    def failure(self, engine: Engine, launch: Launch) -> Failure:
        (found,) = Driven(engine, launch).run(attempt(0))
        assert isinstance(found, Failure)
        return found

    def test_a_script_runs_with_the_worker_module_and_what_it_prints_is_kept(self, engine: Engine, launch: Launch) -> None:
        text = "import shadho_worker\nprint('hello')\nshadho_worker.run(lambda p: {'loss': p['x'] * 2, 'who': 'me'})\n"
        launch = self.script(launch, text)
        assert Driven(engine, launch).run(*map(attempt, range(4))) == [Success(2.0 * n, {"who": "me"}) for n in range(4)]
        assert launch.paths.log(AttemptId(3, 1)).read_text() == "hello\n"

    @pytest.mark.parametrize("content", ["0.25", '{"loss": 0.25}', '{"status": "completed", "metric": 0.25, "metrics": {}}'])
    def test_a_command_needs_no_python(self, engine: Engine, launch: Launch, content: str) -> None:
        launch = shell(launch, f"grep -q '\"x\": 1' hyperparameters.json && echo '{content}' > result.json")
        assert Driven(engine, launch).run(attempt(1)) == [Success(0.25)]

    @pytest.mark.parametrize(
        ("command", "kind", "message"),
        [
            ("echo last words; exit 3", FailureKind.EXIT_CODE, "exited with status 3"),
            ("no-such-program", FailureKind.EXIT_CODE, "exited with status 127 (a command in it was not found)"),
            ("echo 1 > result.json; exit 3", FailureKind.EXIT_CODE, "exited with status 3, after it wrote its result"),
            ("kill -SEGV $$", FailureKind.SIGNAL, "killed by SIGSEGV"),
            (f"python -c '{SEGFAULT}'; exit $?", FailureKind.SIGNAL, "killed by SIGSEGV"),
            ("true", FailureKind.BAD_RESULT, "the command ended well but left no result.json"),
            ("echo garbage > result.json", FailureKind.BAD_RESULT, "result.json: no JSON, it begins with b'garbage\\n' (bytes)"),
            ("echo NaN > result.json", FailureKind.BAD_RESULT, "the objective returned nan, which is no finite number"),
            ("echo '\"low\"' > result.json", FailureKind.BAD_RESULT, "the objective returned 'low' (str), not a number"),
            ("echo '{}' > result.json", FailureKind.BAD_RESULT, "the objective returned no 'loss', only an empty mapping"),
        ],
    )
    def test_each_way_to_fail_is_a_failure_with_a_true_reason(
        self, engine: Engine, launch: Launch, command: str, kind: FailureKind, message: str
    ) -> None:
        found = self.failure(engine, shell(launch, command))
        assert found.kind is kind
        assert found.message.startswith(message)
        assert found.log_tail == ("last words" if "last words" in command else found.log_tail)

    def test_a_result_that_is_a_link_is_not_followed(self, engine: Engine, launch: Launch, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("0.5")
        found = self.failure(engine, shell(launch, f"ln -s '{secret}' result.json"))
        assert found.kind is FailureKind.BAD_RESULT

    def test_the_scripts_own_reason_is_truer_than_its_exit_status(self, engine: Engine, launch: Launch) -> None:
        found = self.failure(engine, self.script(launch, "import shadho_worker\nshadho_worker.run(lambda p: p['y'])\n"))
        assert (found.kind, found.message) == (FailureKind.ERROR, "KeyError: 'y'")
        assert "my script.py" in found.log_tail

    def test_a_trial_over_its_time_is_killed_with_its_children(self, engine: Engine, launch: Launch, tmp_path: Path) -> None:
        pipe = Pids(tmp_path / "pids")
        command = f"""sleep 1000 & echo $! > '{pipe.path}'; sh -c 'echo $$ > "{pipe.path}"; exec sleep 1000'"""
        driven = Driven(engine, shell(launch, command, trial_timeout_s=2.0))
        driven.submit(attempt(0))
        driven.until(lambda: bool(driven.ended()))
        found = driven.ended()[AttemptId(0, 1)]
        assert isinstance(found, Failure)
        assert found.kind is FailureKind.TIME_LIMIT
        # On a machine that is very busy the time may be over before both of them run.
        for pid in pipe.said():
            wait_gone(pid)

    def test_a_million_small_files_are_over_the_disk_limit(self, engine: Engine, launch: Launch) -> None:
        command = "python -c 'for n in range(10**6): open(str(n), \"w\").close()'; echo 1 > result.json"
        found = self.failure(engine, shell(launch, command, resources=Resources(disk_mb=8)))
        text = "its folder took more than the 8 MB of disk that a trial may"
        assert (found.kind, found.message) == (FailureKind.DISK, text)

    def test_a_cancelled_attempt_is_killed_and_its_slot_comes_back(self, engine: Engine, launch: Launch, tmp_path: Path) -> None:
        pipe = Pids(tmp_path / "pids")
        wait = f"""if grep -q '"x": 0' hyperparameters.json; then echo $$ > '{pipe.path}'; exec sleep 1000; fi"""
        driven = Driven(engine, shell(launch, f"{wait}; echo 1 > result.json"))
        driven.submit(attempt(0))
        pid = pipe.read()
        driven.until(lambda: any(isinstance(update, AttemptStarted) for update in driven.updates))
        engine.cancel([AttemptId(0, 1)])
        wait_gone(pid)
        driven.run(*map(attempt, range(1, 6)))
        assert AttemptId(0, 1) not in driven.ended()

    def test_files_go_in_and_come_back(self, engine: Engine, launch: Launch) -> None:
        folder = launch.paths.root / "data set"
        folder.mkdir()
        (folder / "a").write_text("7")
        launch = replace(
            shell(launch, "cp 'in put/a' out.txt; echo changed > 'in put/a'; echo 1 > result.json"),
            input_files=(InputFile(folder / "a", "in put/a"),),
            output_files=(OutputFile("kept.txt", "out.txt"), OutputFile("none.txt", "none.txt")),
        )
        assert Driven(engine, launch).run(attempt(0), attempt(1)) == [Success(1.0)] * 2
        for trial in range(2):
            assert (launch.paths.trial(trial) / "kept.txt").read_text() == "7"
        assert (folder / "a").read_text() == "7"
        assert not (launch.paths.trial(0) / "none.txt").exists()

    def test_an_output_that_is_a_link_out_of_the_sandbox_is_not_fetched(self, engine: Engine, launch: Launch) -> None:
        launch = replace(
            shell(launch, "ln -s /etc/passwd out.txt; echo 1 > result.json"),
            output_files=(OutputFile("out.txt", "out.txt"),),
        )
        Driven(engine, launch).run(attempt(0))
        assert not os.path.lexists(launch.paths.trial(0) / "out.txt")

    def test_each_attempt_of_a_trial_keeps_its_log(self, engine: Engine, launch: Launch) -> None:
        driven = Driven(engine, shell(launch, "grep attempt trial.json; exit 1"))
        driven.run(attempt(5, 1))
        driven.run(attempt(5, 2))
        assert '"attempt": 2' in launch.paths.log(AttemptId(5, 2)).read_text()
        assert '"attempt": 1' in launch.paths.earlier_log(AttemptId(5, 1)).read_text()

    def test_a_batch_has_a_result_for_each_trial(self, engine: Engine, launch: Launch) -> None:
        launch = self.script(launch, "import shadho_worker\nshadho_worker.run(lambda p: 6 / p['x'])\n", trials_per_task=4)
        found = Driven(engine, launch).run(*map(attempt, range(6)))
        assert found[1:] == [Success(6 / n) for n in range(1, 6)]
        assert isinstance(found[0], Failure)
        assert found[0].message == "ZeroDivisionError: division by zero"

    def test_a_crash_in_a_batch_is_the_failure_of_one_trial(self, engine: Engine, launch: Launch) -> None:
        text = f"import shadho_worker\ndef f(p):\n  if p['x'] == 2:\n    {SEGFAULT}\n  return p['x']\nshadho_worker.run(f)\n"
        found = Driven(engine, self.script(launch, text, trials_per_task=4)).run(*map(attempt, range(8)))
        assert [outcome for n, outcome in enumerate(found) if n != 2] == [Success(float(n)) for n in range(8) if n != 2]
        assert isinstance(found[2], Failure)
        assert (found[2].kind, found[2].message) == (FailureKind.SIGNAL, "killed by SIGSEGV")


class Pids:
    """A named pipe by which a trial says that it runs, and as which process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # Held for writing as well, so that a reader never sees an end.
        self._file = open(os.open(path, os.O_RDWR), encoding="ascii")  # noqa: SIM115

    def __del__(self) -> None:
        self._file.close()

    def read(self) -> int:
        """Wait for the next one."""
        return int(self._file.readline())

    def said(self) -> list[int]:
        """Return those that nobody has read, without waiting: the end of all that could say more was seen."""
        os.set_blocking(self._file.fileno(), False)
        try:
            return [int(line) for line in iter(self._file.readline, "")]
        finally:
            os.set_blocking(self._file.fileno(), True)


def wait_gone(pid: int) -> None:
    """Wait until a process has ended, and fail if it does not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], f"process {pid} still runs"
    finally:
        os.close(descriptor)
