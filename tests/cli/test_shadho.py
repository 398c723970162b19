"""The command `shadho`, as a person or a script runs it: on a search that is done, that runs, that is not there."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import shadho

from shadho_like import Shadho, __version__, rand, spaces
from shadho_like.filelock import FileLock
from shadho_like.paths import ExperimentPaths


def objective(params: dict[str, dict[str, float]]) -> float:
    [(name, values)] = params.items()
    if name == "odd" and values["y"] < 0.5:
        raise ValueError("y is [bold]too[/bold] small, says :smile:")
    return sum(values.values())


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of twenty trials, some of which failed."""
    folder = tmp_path_factory.mktemp("experiments") / "small"
    space = spaces.scope(exclusive=True, even={"x": rand.uniform(0, 1)}, odd={"y": rand.uniform(0, 1)})
    Shadho(objective, space, directory=folder, name="small", max_tasks=20, workers=0, seed=3).run()
    return folder


def test_status(directory: Path) -> None:
    said = shadho("status", directory)
    assert (said.returncode, said.stderr) == (0, "")
    first, second, third, fourth = said.stdout.splitlines()
    assert first == "small: not running"
    value = json.loads(shadho("status", directory, "--json").stdout)
    counts, best = value["trials"], value["best"]
    assert counts["COMPLETED"] + counts["FAILED"] == 20
    assert second == f"trials: {counts['COMPLETED']} completed, {counts['FAILED']} failed"
    assert third == f"best loss: {best['metric']} (trial {best['number']})"
    assert fourth == f"hyperparameters: {json.dumps(best['hyperparameters'])}"
    assert (value["name"], value["metric"], value["driver"], value["lost_attempts"]) == ("small", "loss", None, 0)


def test_status_says_who_writes(directory: Path) -> None:
    lock = FileLock(ExperimentPaths(directory).lock)
    try:
        said = shadho("status", directory)
    finally:
        lock.release()
    assert said.stdout.startswith(f"small: running (process {os.getpid()} on {os.uname().nodename})\n")


def test_trials_as_csv_and_json(directory: Path) -> None:
    table = list(csv.DictReader(shadho("trials", directory, "--csv").stdout.splitlines()))
    assert [row["number"] for row in table] == [str(number) for number in range(20)]
    assert list(table[0]) == ["number", "state", "loss", "even.x", "odd.y", "attempts", "started", "finished", "host", "failure"]
    for row in table:
        assert (row["even.x"] == "") != (row["odd.y"] == "")
        assert (row["loss"] == "") == (row["state"] == "FAILED") == (row["failure"] != "")
    lines = [json.loads(line) for line in shadho("trials", directory, "--json").stdout.splitlines()]
    assert [str(line["loss"] or "") for line in lines] == [row["loss"] for row in table]


def test_trials_for_a_person(directory: Path) -> None:
    said = shadho("trials", directory)
    head, *lines = said.stdout.splitlines()
    assert head.split() == ["trial", "state", "loss", "hyperparameters", "attempts", "seconds", "host", "failure"]
    assert len(lines) == 20
    failed = [line for line in lines if "failed" in line]
    assert failed
    assert all("[bold]too[/bold] small, says :smile:" in line for line in failed)


def test_no_such_experiment(tmp_path: Path) -> None:
    for command in ("status", "trials"):
        said = shadho(command, tmp_path / "nowhere")
        assert (said.returncode, said.stdout) == (2, "")
        assert said.stderr == f"error: there is no experiment in {tmp_path}/nowhere: it has no journal.sqlite\n"


def test_a_journal_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("not a database, but long enough to look like a file of one" * 20, encoding="utf-8")
    said = shadho("status", tmp_path)
    assert said.returncode == 1
    assert said.stderr.startswith(f"error: {tmp_path}/journal.sqlite")
    assert len(said.stderr.splitlines()) == 1


def test_wrong_arguments_and_the_version() -> None:
    said = shadho("statsu", "x")
    assert said.returncode == 2
    assert "No such command 'statsu'" in said.stderr
    assert shadho("--version").stdout == f"shadho, version {__version__}\n"


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
def test_a_reader_that_goes_away(directory: Path, form: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from shadho_like.cli.main import main; main()", "trials", str(directory), *form]
    with os.fdopen(writing, "wb") as closed:
        said = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (said.returncode, said.stderr) == (1, "")


def test_a_start_imports_nothing_heavy() -> None:
    code = "import sys, shadho_like.cli.main; print(sorted({'numpy', 'rich', 'sqlite3', 'cloudpickle'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
