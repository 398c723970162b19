"""What a driver is told when it does not describe the experiment that its directory holds, or names files that cannot travel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shadho_like.errors import ExperimentChanged, OptionError
from shadho_like.identity import check_unchanged
from shadho_like.input_files import input_file, output_file, warn_of_missing

HELD: dict[str, Any] = {
    "command": "bash ./sin_task.sh",
    "objective": None,
    "space": {"x": {"domain": "uniform", "lo": 0, "hi": 3}},
    "method": {"name": "random", "keys": {"max_concurrent_trials": 100}},
    "metric": "loss",
    "smaller_is_better": True,
    "evaluations": 1,
    "seed": 3,
}


def test_the_same_experiment_passes_also_with_another_queue_length() -> None:
    check_unchanged(HELD, {**HELD, "method": {"name": "random", "keys": {"max_concurrent_trials": 7}}}, Path("x"))


def test_a_tuple_is_the_list_that_it_becomes_in_a_journal() -> None:
    held = {**HELD, "method": {"name": "binary", "keys": {"range": [10, 100]}}}
    check_unchanged(held, {**HELD, "method": {"name": "binary", "keys": {"range": (10, 100)}}}, Path("x"))


def test_each_change_is_named_with_its_place_and_the_way_out() -> None:
    asked = {**HELD, "command": "bash ./cos_task.sh", "space": {"x": {"domain": "uniform", "lo": 0, "hi": 4}, "y": 1}}
    with pytest.raises(ExperimentChanged) as caught:
        check_unchanged(HELD, asked, Path("/runs/sin"))
    assert str(caught.value) == (
        "/runs/sin holds another experiment than this driver describes:\n"
        '  command was "bash ./sin_task.sh", now it is "bash ./cos_task.sh"\n'
        "  space.x.hi was 3, now it is 4\n"
        "  space.y is new: 1\n"
        "give this one another name= or directory=, or remove that folder, to start afresh"
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("")
    (tmp_path / "data file's.csv").write_text("")
    return tmp_path


def test_an_input_file_travels_under_its_name_or_another(folder: Path) -> None:
    assert input_file("train.py", None, cache=True, taken=[]).remote == "train.py"
    assert input_file("data file's.csv", "data/d.csv", cache=False, taken=[]).remote == "data/d.csv"


@pytest.mark.parametrize(
    ("local", "remote", "message"),
    [
        ("tran.py", None, "input file 'tran.py': there is no such file in "),
        ("train.py", "/etc/x", "must be a relative path that stays in the trial's folder"),
        ("train.py", "../x", "must be a relative path that stays in the trial's folder"),
        ("train.py", "hyperparameters.json", "'hyperparameters.json' is taken in the trial's folder; give another remotepath"),
    ],
)
def test_a_wrong_input_file_is_found_at_once(folder: Path, local: str, remote: str | None, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        input_file(local, remote, cache=True, taken=[])
    assert message in str(caught.value)


def test_a_name_that_is_taken_is_refused(folder: Path) -> None:
    first = input_file("train.py", None, cache=True, taken=[])
    with pytest.raises(OptionError, match="'train.py' is taken"):
        input_file("data file's.csv", "train.py", cache=True, taken=[first])
    model = output_file("model.pt", None, cache=False, taken=[])
    with pytest.raises(OptionError, match="the name is taken"):
        output_file("model.pt", "other.pt", cache=False, taken=[model])


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "", "result.json"])
def test_an_output_file_stays_in_the_trials_folder(folder: Path, path: str) -> None:
    with pytest.raises(OptionError):
        output_file(path, None, cache=False, taken=[])


def test_a_file_that_the_command_needs_and_nobody_sends_is_pointed_out(folder: Path) -> None:
    line = "the command names ./train.py, which is here but does not travel: add opt.add_input_file('train.py')"
    assert warn_of_missing("python ./train.py --lr 1", []) == [line]
    assert warn_of_missing("python train.py", [input_file("train.py", None, cache=True, taken=[])]) == []
    assert warn_of_missing("echo 'unclosed", []) == []
    assert warn_of_missing(print, []) == []
