"""What trials printed, a search waited for, files taken out, limits set: on searches that are over, and on one that runs meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli.prepared import OVER, RUNGS, TRIALS, UNDER_WAY, set_phase
from click.testing import CliRunner
from command import shadho
from e2e.processes import Environment, counts, running, until
from searcher.play import Play, made

from shadho_like import rand
from shadho_like.cli.main import cli
from shadho_like.events import AttemptStarted
from shadho_like.journal import Journal, JournalReader
from shadho_like.paths import ExperimentPaths
from shadho_like.trial_logs import TrialLogs

COMMAND = [sys.executable, "-c", "from shadho_like.cli.main import main; main()"]
DRIVER = """
from shadho_like import Shadho, rand

Shadho({command!r}, {{"x": rand.randint(1, 9)}}, max_tasks=2, timeout=None, workers=2, directory="search", name="gated"{options}).run()
"""
# A trial prints a line, waits for its gate, prints another without an end and completes.
GATED = """
number=$(sed 's/.*"trial": *\\([0-9]*\\).*/\\1/' trial.json)
echo "$number begins"
until [ -e {gates}/$number ]; do sleep 0.05; done
printf "$number ends"
echo '{{"loss": 1}}' > result.json
"""

# Each attempt prints two lines, the second without an end; the first one fails.
RETRIED = """
number=$(sed 's/.*"attempt": *\\([0-9]*\\).*/\\1/' trial.json)
echo "attempt $number begins"
until [ -e {gates}/$number ]; do sleep 0.05; done
printf "attempt $number ends"
echo '{{"loss": 1}}' > result.json
[ $number = 2 ]
"""


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    (tmp_path / "gates").mkdir()
    return tmp_path / "gates"


@contextmanager
def gated(
    folder: Path, gates: Path, environment: Environment, command: str = GATED, options: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """Run a search whose trials wait for their gates."""
    (folder / "driver.py").write_text(DRIVER.format(command=command.format(gates=gates), options=options))
    with running([sys.executable, "driver.py"], folder, environment) as driver:
        until(lambda: counts(folder / "search") >= {"RUNNING": 2}.items(), "two running trials", driver)
        yield driver


def spoken(process: subprocess.Popen[str], lines: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(lines)]


def status_of(*arguments: str) -> int:
    return shadho(*arguments).returncode


@pytest.mark.usefixtures("place")
def test_the_log_of_a_trial_does_nothing_to_a_terminal() -> None:
    with JournalReader(Path(OVER)) as journal:
        trial = max(journal.trials(), key=lambda trial: trial.validated)
    number = trial.number
    said = shadho("trial", "logs", OVER, str(number))
    assert (said.returncode, said.stderr) == (0, "")
    each = ["to {} \\x1b]0;owned\\x07 caf\xe9", "end of {}"]
    reached = [length for length in RUNGS if length <= trial.validated]
    assert said.stdout.splitlines() == [line.format(length) for length in reached for line in each]
    lines = shadho("experiment", "logs", OVER).stdout.splitlines()
    assert {line.partition(" | ")[0] for line in lines} == {f"trial {number}" for number in range(TRIALS)}
    assert [line for line in lines if line.startswith(f"trial {number} |")] == [f"trial {number} | {line}" for line in said.stdout.splitlines()]
    assert shadho("experiment", "logs", OVER, "--trial", str(number), "-f").stdout == said.stdout


@pytest.mark.usefixtures("place")
def test_what_a_log_was_replaced_by_is_not_read() -> None:
    log = Path(OVER, "trials/000000/output.log")
    log.unlink()
    os.mkfifo(log)
    assert shadho("trial", "logs", OVER, "0").stdout == ""
    log.unlink()
    log.symlink_to("/etc/passwd")
    assert shadho("trial", "logs", OVER, "0").stdout == ""


@pytest.mark.usefixtures("place")
def test_the_logs_of_what_ran_when_the_driver_was_killed() -> None:
    assert shadho("trial", "logs", UNDER_WAY, "7").stdout == "begun\n"


def test_logs_are_followed_to_the_end(tmp_path: Path, environment: Environment, gates: Path) -> None:
    with gated(tmp_path, gates, environment) as driver:
        with (
            running([*COMMAND, "experiment", "logs", "search", "-f"], tmp_path, environment) as all_of_it,
            running([*COMMAND, "trial", "logs", "search", "1", "-f"], tmp_path, environment) as one,
            running([*COMMAND, "experiment", "wait", "search"], tmp_path, environment) as wait,
        ):
            assert sorted(spoken(all_of_it, 2)) == ["trial 0 | 0 begins", "trial 1 | 1 begins"]
            assert spoken(one, 1) == ["1 begins"]
            (gates / "1").touch()
            assert one.communicate()[0] == "1 ends\n"
            assert one.returncode == 0
            assert spoken(all_of_it, 1) == ["trial 1 | 1 ends"]
            assert (all_of_it.poll(), wait.poll()) == (None, None)
            (gates / "0").touch()
            assert all_of_it.communicate()[0] == "trial 0 | 0 ends\n"
            assert wait.communicate()[0] == "search: completed; 2 completed\n"
            assert (all_of_it.returncode, wait.returncode) == (0, 0)
        driver.wait()


def test_each_line_of_each_attempt_is_shown_once(tmp_path: Path, environment: Environment, gates: Path) -> None:
    with (
        gated(tmp_path, gates, environment, command=RETRIED, options=", max_resubmissions=1") as driver,
        running([*COMMAND, "trial", "logs", "search", "0", "-f"], tmp_path, environment) as logs,
    ):
        assert spoken(logs, 1) == ["attempt 1 begins"]
        (gates / "1").touch()
        assert spoken(logs, 2) == ["attempt 1 ends", "attempt 2 begins"]
        (gates / "2").touch()
        assert logs.communicate()[0] == "attempt 2 ends\n"
        driver.wait()
    assert (tmp_path / "search/trials/000000/output.1.log").read_text() == "attempt 1 begins\nattempt 1 ends"
    lines = ["attempt 1 begins", "attempt 1 ends", "attempt 2 begins", "attempt 2 ends"]
    assert shadho("trial", "logs", tmp_path / "search", "0").stdout.splitlines() == lines


@pytest.mark.parametrize("looks_before", [0, 1])
def test_an_attempt_that_begins_while_one_looks_is_followed(tmp_path: Path, looks_before: int) -> None:
    paths, play = ExperimentPaths(tmp_path), Play(made("random", {"x": rand.uniform(0, 1)}, max_trials=1))
    driver = Journal(paths, {"name": "e", "metric": "loss", "smaller_is_better": True})
    driver.append(play.turns)
    (attempt,) = play.wanted
    log = paths.sandbox(attempt) / "output.log"
    log.parent.mkdir(parents=True)

    class Busy(JournalReader):
        """Of a search whose driver begins an attempt once the first thing has been read."""

        def _rows(self, query: str, *values: Any) -> list[Any]:
            rows = super()._rows(query, *values)
            if len(play.turns) == 1:
                play.handle(AttemptStarted(1.0, attempt, "here"))
                driver.append(play.turns[1:])
            return rows

    logs = TrialLogs(tmp_path)
    for kind in (*[JournalReader] * looks_before, Busy):
        with kind(tmp_path) as journal:
            assert list(logs.more(journal)) == []
    log.write_text("it begins\n")
    with JournalReader(tmp_path) as journal:
        assert list(logs.more(journal)) == [(0, "it begins")]
    driver.close()


def test_ctrl_c_ends_what_follows_without_a_word(tmp_path: Path, environment: Environment, gates: Path) -> None:
    with gated(tmp_path, gates, environment):
        with running([*COMMAND, "experiment", "logs", "search", "-f"], tmp_path, environment) as logs:
            spoken(logs, 2)
            logs.send_signal(signal.SIGINT)
            assert logs.communicate()[0] == ""
            assert logs.returncode == 130
        assert status_of("experiment", "wait", str(tmp_path / "search"), "--timeout", "0.1") == 124


@pytest.mark.usefixtures("place")
def test_ctrl_c_ends_a_wait_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        del seconds
        raise KeyboardInterrupt

    monkeypatch.setattr("shadho_like.watching.time.sleep", interrupted)
    said = CliRunner().invoke(cli, ["experiment", "wait", UNDER_WAY])
    assert (said.exit_code, said.output) == (130, "")


@pytest.mark.usefixtures("place")
def test_the_exit_status_of_wait_says_how_it_ended() -> None:
    assert status_of("experiment", "wait", OVER) == 0
    for phase, status in (("CANCELED", 3), ("FAILED", 4)):
        set_phase(Path(OVER), phase)
        assert status_of("experiment", "wait", OVER) == status
    assert status_of("experiment", "wait", UNDER_WAY) == 5


def test_limits_are_set_while_a_search_runs(
    tmp_path: Path, environment: Environment, gates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = tmp_path / "search"
    monkeypatch.setattr("shadho_like.cli.steering._PATIENCE_S", 600.0)
    with gated(tmp_path, gates, environment) as driver:
        said = CliRunner().invoke(cli, ["experiment", "set", str(search), "max_trials=4", "max_slots=1"])
        assert said.stdout == f"{search}: max_trials is 4 now\n{search}: max_slots is 1 now\n", said.stderr
        (gates / "0").touch()
        until(lambda: counts(search) >= {"COMPLETED": 1}.items(), "the end of a trial", driver)
        assert dict(counts(search)) == {"COMPLETED": 1, "RUNNING": 1, "PENDING": 2}
        for number in range(1, 4):
            (gates / str(number)).touch()
        driver.wait()
    assert dict(counts(search)) == {"COMPLETED": 4}
    with JournalReader(search) as journal:
        one, two, three = (trial.started_s or 0 for trial in list(journal.trials())[1:])
        ended = [trial.finished_s or 0 for trial in journal.trials()][1:]
    assert ended[0] <= two
    assert ended[1] <= three
    assert one < two < three
    assert "the user set max_trials to 4" in shadho("trial", "explain", search, "0").stdout


@pytest.mark.usefixtures("place")
def test_a_limit_waits_for_the_next_driver() -> None:
    assert shadho("experiment", "set", UNDER_WAY, "max_trials=9").stdout == f"no driver runs {UNDER_WAY}: the next one does it when it starts\n"
    assert len(list(Path(UNDER_WAY, "requests").iterdir())) == 1


@pytest.mark.usefixtures("place")
def test_a_trial_is_downloaded_whole() -> None:
    with JournalReader(Path(OVER)) as journal:
        trial = max(journal.trials(), key=lambda trial: trial.validated)
        kept = [row["id"] for row in journal.checkpoints(trial.number) if row["state"] == "KEPT"]
    said = shadho("trial", "download", OVER, str(trial.number))
    target = Path(f"trial-{trial.number}")
    assert said.stdout.startswith(f"{target}: "), said.stderr
    assert said.stdout.endswith(f", latest checkpoint {kept[-1]}\n")
    assert (target / "output/model.txt").read_text() == repr(trial.hparams["x"])
    assert (target / "output/output.log").read_bytes().endswith(f"end of {trial.validated}".encode())
    assert (target / "latest/length").read_text() == str(trial.validated)
    assert (target / "best/length").is_file()
    again = shadho("trial", "download", OVER, str(trial.number))
    assert (again.returncode, again.stderr) == (2, f"error: {target} is there already: name a folder that is to be made\n")
    nowhere = shadho("trial", "download", OVER, "0", "no/such/folder/x")
    assert (nowhere.returncode, nowhere.stderr) == (1, "error: no/such/folder/x cannot be written: No such file or directory\n")


@pytest.mark.usefixtures("place")
def test_a_trial_of_which_nothing_is_kept_is_not_downloaded() -> None:
    said = shadho("trial", "download", UNDER_WAY, "0")
    reason = "nothing is kept of trial 0: it printed nothing, and has no output files and no checkpoints"
    assert (said.returncode, said.stderr) == (2, f"error: {reason}\n")


@pytest.mark.usefixtures("place")
def test_nothing_is_left_of_a_download_that_fails() -> None:
    for path in Path(OVER, "checkpoints").glob("0/*/length"):
        path.write_text("something else")
    said = shadho("trial", "download", OVER, "0", "mine")
    assert said.returncode == 1
    assert "not as it was saved" in said.stderr
    assert not [path for path in Path().iterdir() if path.name.startswith("mine")]
