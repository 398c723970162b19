"""Searches found by their ids, listed, described, noted, put away and deleted, as a person or a script does it."""

from __future__ import annotations

import csv
import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli.prepared import OVER, TRIALS, UNDER_WAY
from command import shadho

from shadho_like import notes
from shadho_like.errors import WorldError
from shadho_like.filelock import FileLock
from shadho_like.journal import JournalReader
from shadho_like.paths import ExperimentPaths


def id_of(directory: str) -> str:
    with JournalReader(Path(directory)) as journal:
        assert journal.id is not None
        return journal.id


def ok(*arguments: str | Path) -> str:
    said = shadho(*arguments)
    assert (said.returncode, said.stderr) == (0, "")
    return said.stdout


def refused(*arguments: str | Path, status: int = 2) -> str:
    """Return the one line that a person who is mistaken gets."""
    said = shadho(*arguments)
    assert (said.returncode, said.stdout) == (status, ""), said.stderr
    assert said.stderr.startswith("error: ")
    assert said.stderr.count("\n") == 1
    return said.stderr.removeprefix("error: ").strip()


def listed(*options: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in map(json.loads, ok("experiment", "list", "--json", *options).splitlines())}


def test_the_list(place: Path) -> None:
    rows = listed()
    assert [row["id"] for row in rows.values()] == [id_of(UNDER_WAY), id_of(OVER)]
    digits, sin = rows["digits"], rows["sin"]
    assert (digits["state"], digits["trials"], digits["completed"], digits["failed"]) == ("completed", TRIALS, TRIALS, 0)
    assert (digits["metric"], digits["directory"], digits["host"]) == ("loss", str(place / OVER), os.uname().nodename)
    assert (sin["state"], sin["trials"], sin["best"]) == ("stopped", 8, None)
    assert [row["name"] for row in csv.DictReader(ok("experiment", "list", "--csv").splitlines())] == ["sin", "digits"]
    head, *lines = ok("experiment", "list").splitlines()
    assert head.split() == ["id", "name", "state", "trials", "failed", "best", "began", "directory"]
    assert lines[1].split()[:4] == [digits["id"], "digits", "completed", str(TRIALS)]


def test_an_empty_list_is_a_heading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path))
    assert ok("experiment", "list", "--json") == ""
    assert ok("experiment", "list", "--csv").startswith("id,name,state,")
    assert ok("experiment", "list").startswith("id  name  state")


@pytest.mark.usefixtures("place")
def test_a_running_search_is_said_to_run() -> None:
    lock = FileLock(ExperimentPaths(Path(UNDER_WAY)).lock)
    try:
        assert listed()["sin"]["state"] == "running"
        assert f"running, process {os.getpid()} on" in ok("experiment", "describe", UNDER_WAY)
    finally:
        lock.release()


def test_what_is_gone_is_shown_as_such_until_it_is_pruned(place: Path) -> None:
    shutil.rmtree(place / OVER)
    assert listed()["digits"]["state"] == "gone"
    pruned = shadho("experiment", "list", "--json", "--prune")
    assert pruned.stderr.startswith("forgotten: ")
    assert [json.loads(line)["name"] for line in pruned.stdout.splitlines()] == ["sin"]
    assert list(listed()) == ["sin"]


@pytest.mark.usefixtures("place")
def test_every_command_takes_an_id() -> None:
    number = id_of(OVER)
    for words in (["status"], ["trials"], ["experiment", "describe"], ["experiment", "config"], ["checkpoint", "list"]):
        assert ok(*words, number) == ok(*words, number[:5]) == ok(*words, Path(OVER).absolute())
    assert ok("trial", "describe", number, "3") == ok("trial", "describe", OVER, "3")
    assert ok("preview-search", number).startswith(f"async_halving: {TRIALS} trials\n")
    assert ok("preview-search", OVER) == ok("preview-search", number)


def test_the_description_and_the_configuration(place: Path) -> None:
    value = json.loads(ok("experiment", "describe", OVER, "--json"))
    assert (value["id"], value["state"], value["trials"], value["driver"]) == (id_of(OVER), "completed", {"COMPLETED": TRIALS}, None)
    assert value["started_by"] == {"argv": [sys.executable, "driver.py"], "cwd": str(place)}
    assert value["checkpoints"]["kept"] >= TRIALS
    lines = ok("experiment", "describe", OVER).splitlines()
    assert lines[0] == f"digits ({value['id']}): completed"
    assert f"started by: {sys.executable} driver.py (in {place})" in lines
    assert f"best loss: {value['best']['metric']} (trial {value['best']['number']}) at {json.dumps(value['best']['hyperparameters'])}" in lines
    held = yaml.safe_load(ok("experiment", "config", OVER))
    assert held == json.loads(ok("experiment", "config", OVER, "--json"))
    assert (held["name"], held["command"], held["method"]["keys"]["max_length"]) == ("digits", "python train.py", 27)


@pytest.mark.usefixtures("place")
def test_notes() -> None:
    said = ok("experiment", "set", OVER, "name=first try", "labels=paper, resnet,paper", "description=on CIFAR\nwith \x1b]0;tricks")
    assert said == f"{OVER}: noted description, labels, name\n"
    row = listed("--label", "resnet")["first try"]
    assert (row["labels"], row["id"]) == (["paper", "resnet"], id_of(OVER))
    assert listed("--label", "other") == {}
    described = ok("experiment", "describe", OVER)
    assert described.startswith(f"first try ({id_of(OVER)}): completed\n  on CIFAR\n  with \\x1b]0;tricks\nlabels: paper resnet\n")
    status = ok("status", OVER)
    assert status.startswith("first try: not running, completed\non CIFAR\nwith \\x1b]0;tricks\nlabels: paper, resnet\n")
    value = json.loads(ok("status", OVER, "--json"))
    assert (value["name"], value["description"], value["labels"]) == ("first try", "on CIFAR\nwith \x1b]0;tricks", ["paper", "resnet"])
    ok("experiment", "set", OVER, "name=", "labels=", "description=")
    assert listed()["digits"]["labels"] == []


LABELS = """
import sys
from dataclasses import replace
from pathlib import Path
from shadho_like.notes import change_notes
for number in range(30):
    label = f"{sys.argv[2]}-{number}"
    change_notes(Path(sys.argv[1]), lambda notes: replace(notes, labels=(*(notes.labels or ()), label)))
"""


@pytest.mark.usefixtures("place")
def test_notes_that_several_take_at_once_are_all_kept() -> None:
    writers = [subprocess.Popen([sys.executable, "-c", LABELS, OVER, str(writer)]) for writer in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert set(listed()["digits"]["labels"]) == {f"{writer}-{number}" for writer in range(4) for number in range(30)}


def test_notes_that_somebody_holds_are_not_waited_for_without_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_PATIENCE_S", 0.1)
    holder = FileLock(ExperimentPaths(place / OVER).notes_lock)
    with pytest.raises(WorldError, match="notes.json is being changed by another process for 0.1 s: end that, and try again"):
        notes.change_notes(place / OVER, lambda before: replace(before, name="first try"))
    holder.release()


@pytest.mark.usefixtures("place")
def test_what_cannot_be_set() -> None:
    assert refused("experiment", "set", OVER, "metric=x") == (
        "metric of an experiment that is there cannot be changed: Known: description, labels, max_slots, max_trials, name."
    )
    assert refused("experiment", "set", OVER, "name") == "'name' is no KEY=VALUE, such as max_slots=4"
    assert refused("experiment", "set", UNDER_WAY, "max_trials=0") == "max_trials must be a whole number of at least 1, not '0'"
    hint = "shadho experiment continue gives it more to do"
    said = f"{OVER} is over (completed), and no limit means anything to it; {hint}"
    assert refused("experiment", "set", OVER, "max_trials=20") == said
    assert refused("experiment", "set", OVER, "name=other", "max_trials=20") == said
    assert not Path(OVER, "notes.json").exists()


def test_a_driver_whose_interpreter_is_gone_is_not_started(place: Path) -> None:
    db = sqlite3.connect(place / UNDER_WAY / "journal.sqlite")
    with db:
        value = json.dumps({"argv": ["/gone/bin/python", "sin.py"], "cwd": str(place)})
        db.execute("UPDATE meta SET value = ? WHERE key = 'command'", (value,))
    db.close()
    said = shadho("experiment", "continue", UNDER_WAY)
    why = "No such file or directory; start the driver of experiments/sin yourself"
    assert (said.returncode, said.stderr) == (1, f"error: /gone/bin/python cannot be started in {place}: {why}\n")


@pytest.mark.usefixtures("place")
def test_an_archived_search_is_listed_on_demand() -> None:
    assert ok("experiment", "archive", OVER) == f"{OVER} is archived\n"
    assert ok("experiment", "archive", OVER) == f"{OVER} is archived already\n"
    assert list(listed()) == ["sin"]
    assert listed("--all")["digits"]["archived"] is True
    assert ok("experiment", "unarchive", OVER) == f"{OVER} is no longer archived\n"
    assert list(listed()) == ["sin", "digits"]


def test_delete_removes_what_the_search_made_and_nothing_else(place: Path) -> None:
    mine = place / OVER / "thesis.tex"
    mine.write_text("years")
    (place / "models").mkdir()
    (place / "models/best").write_text("weeks")
    (place / OVER / "sandboxes").symlink_to(place / "models")
    known = id_of(OVER)
    said = ok("experiment", "delete", known[:6], "--yes")
    assert said == f"{place / OVER} is deleted\nit is no experiment's any more, and still holds thesis.tex\n"
    assert list((place / OVER).iterdir()) == [mine]
    assert (place / "models/best").read_text() == "weeks"
    assert list(listed()) == ["sin"]
    assert ok("experiment", "delete", UNDER_WAY, "-y") == f"{UNDER_WAY} is deleted\n"
    assert not (place / UNDER_WAY).exists()


def test_delete_takes_no_file_of_the_users_own_for_the_searchs(place: Path) -> None:
    mine = ("experiment.yaml", "context.tar", "driver.log", "trials/data.csv", "checkpoints/best.pt", "requests/1.json", "objective.pkl", "notes.json")
    for name in mine:
        (place / OVER / name).parent.mkdir(exist_ok=True)
        (place / OVER / name).write_text('["milk"]')
    ok("experiment", "delete", OVER, "--yes")
    assert sorted(str(path.relative_to(place / OVER)) for path in (place / OVER).rglob("*") if path.is_file()) == sorted(mine)
    assert not list((place / OVER).glob("*/[0-9]*/"))


def test_delete_removes_the_notes(place: Path) -> None:
    ok("experiment", "set", OVER, "name=first try")
    ok("experiment", "delete", OVER, "--yes")
    assert not (place / OVER).exists()


def test_delete_removes_checkpoints_on_a_shared_file_system(place: Path) -> None:
    (place / "shared").mkdir()
    (place / OVER / "checkpoints").rename(place / "shared/digits.0123abcd")
    (place / "shared/other").write_text("")
    db = sqlite3.connect(place / OVER / "journal.sqlite")
    with db:
        db.execute("INSERT INTO meta VALUES ('checkpoint_root', ?)", (str(place / "shared/digits.0123abcd"),))
    db.close()
    ok("experiment", "delete", OVER, "--yes")
    assert [path.name for path in (place / "shared").iterdir()] == ["other"]


def test_delete_trusts_no_journal_that_points_elsewhere(place: Path) -> None:
    (place / "mine/0").mkdir(parents=True)
    db = sqlite3.connect(place / OVER / "journal.sqlite")
    with db:
        db.execute("INSERT INTO meta VALUES ('checkpoint_root', ?)", (str(place / "mine"),))
    db.close()
    ok("experiment", "delete", OVER, "--yes")
    assert (place / "mine/0").is_dir()


@pytest.mark.usefixtures("place")
def test_delete_asks_and_waits_for_the_driver() -> None:
    assert refused("experiment", "delete", OVER) == "to delete without being asked, give --yes"
    lock = FileLock(ExperimentPaths(Path(OVER)).lock)
    try:
        hint = "end it first (shadho experiment kill), then delete it"
        assert refused("experiment", "delete", OVER, "--yes") == f"{OVER} is being run by process {os.getpid()} on {os.uname().nodename}: {hint}"
    finally:
        lock.release()
    for answer, status in ((b"n\n", 1), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        command = [sys.executable, "-c", "from shadho_like.cli.main import main; main()", "experiment", "delete", OVER]
        said = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False)
        os.close(ours)
        os.close(theirs)
        assert said.returncode == status
        assert said.stdout.startswith(f"delete digits in {OVER} with {TRIALS} trials for good? [y/N]: ")
        assert Path(OVER).exists() is bool(status)


def test_delete_forgets_what_is_gone(place: Path) -> None:
    number = id_of(OVER)
    shutil.rmtree(place / OVER)
    assert ok("experiment", "delete", number[:4]) == f"{number} (digits) is forgotten; its directory {place / OVER} was gone already\n"
    assert list(listed()) == ["sin"]


def test_mistakes_are_said_in_a_line(place: Path) -> None:
    (place / "file").write_text("")
    for words in (["status"], ["experiment", "describe"], ["experiment", "logs"], ["experiment", "wait"], ["experiment", "delete", "-y"]):
        assert "neither a directory nor the beginning of an id" in refused(*words, "zzz")
        assert refused(*words, "file") == "file is a file, and an experiment is a directory"
        assert refused(*words, "nowhere/at/all").startswith("there is no experiment in nowhere/at/all")
        assert refused(*words, "").startswith("an experiment is called by its directory or its id")
    for words in (["describe"], ["logs"], ["kill"], ["download"], ["explain"]):
        assert refused("trial", *words, OVER, "9" * 30) == f"there is no trial {'9' * 30}; their numbers are 0 to {TRIALS - 1}"
    assert refused("experiment", "logs", OVER, "--trial", "99").startswith("there is no trial 99;")
    assert refused("checkpoint", "list", OVER, "--trial", "99").startswith("there is no trial 99;")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_directory_is_refused_in_a_line(place: Path) -> None:
    """All that is imported is imported before, as the interpreter may be root's own too."""
    become = "import os, sys, shadho_like.known_experiments; from shadho_like.cli.main import main; os.chdir('/'); os.setuid(65534)"
    command = [sys.executable, "-c", f"{become}; main()", "status", str(place / OVER)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.stderr == f"error: the experiment in {place / OVER} cannot be read: Permission denied\n"
    assert said.returncode == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_search_is_not_deleted(tmp_path: Path, place: Path) -> None:
    """In a place that everybody may look into."""
    with tempfile.TemporaryDirectory() as made:
        theirs = Path(made, "search")
        shutil.copytree(place / OVER, theirs)
        Path(made).chmod(0o755)
        become = "import os, sys, shadho_like.deletion, shadho_like.cli.put_away; from shadho_like.cli.main import main; os.setuid(65534)"
        command = [sys.executable, "-c", f"{become}; main()", "experiment", "delete", "--yes", str(theirs)]
        said = subprocess.run(command, capture_output=True, text=True, cwd="/", env={**os.environ, "SHADHO_HOME": str(tmp_path)}, check=False)
        hint = "an experiment is changed by those who may write in its directory"
        assert said.stderr == f"error: {theirs / 'driver.lock'} cannot be written: Permission denied; {hint}\n"
        assert (said.returncode, (theirs / "journal.sqlite").exists()) == (1, True)


def completed(words: str) -> list[str]:
    """Return what the shell offers for the last word of a command line."""
    code = "from shadho_like.cli.main import main; main()"
    environment = {**os.environ, "_SHADHO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return said.stdout.splitlines()


@pytest.mark.usefixtures("place")
def test_the_shell_completes_commands_and_ids() -> None:
    over, under_way = id_of(OVER), id_of(UNDER_WAY)
    assert completed("shadho experiment unar") == ["plain,unarchive"]
    assert completed("shadho status ") == ["dir,", f"plain,{under_way}", f"plain,{over}"]
    assert f"plain,{over}" in completed(f"shadho trial describe {over[:2]}")
    assert "plain,--trial" in completed(f"shadho experiment logs {over} --t")
    script = ok("completion", "bash")
    bash = 'complete() { :; }; eval "$1"; COMP_WORDS=(shadho experiment arc) COMP_CWORD=2; _shadho_completion shadho; echo "${COMPREPLY[@]}"'
    said = subprocess.run(["bash", "-c", bash, "bash", script], capture_output=True, text=True, check=False)
    assert said.stdout == "archive\n", said.stderr
