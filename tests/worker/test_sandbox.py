"""What is believed of a folder that foreign code left: nothing that is not checked, whatever lies there."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadho_like.engine.base import Launch, OutputFile
from shadho_like.paths import ExperimentPaths
from shadho_like.sandbox import attempt_files, exit_failure, log_tail, read_results, store_outputs
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Outcome, Success

ONE = AttemptId(0, 1)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
RESULTS = st.dictionaries(st.sampled_from(["status", "metric", "metrics", "kind", "message", "traceback", "loss", "trial"]), JSON)


def read(folder: Path, failure: Failure | None = None) -> Outcome:
    outcome = read_results(folder, [ONE], "loss", failure)[ONE]
    assert outcome is not None
    return outcome


def check(outcome: Outcome | None) -> None:
    """Check that what was believed can be written down anywhere."""
    if isinstance(outcome, Success):
        json.dumps([outcome.metric, outcome.metrics], allow_nan=False, ensure_ascii=False).encode("utf-8")
    elif outcome is not None:
        json.dumps(outcome.to_json(), ensure_ascii=False).encode("utf-8")
        assert "\n" not in outcome.message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary() | RESULTS.map(lambda value: json.dumps(value).encode()) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_content_raises(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    check(read(tmp_path))
    batch = tmp_path / "batch"
    batch.mkdir(exist_ok=True)
    (batch / "results.jsonl").write_bytes(content + b"\n" + content)
    for outcome in read_results(batch, [ONE, AttemptId(1, 1)], "loss", None).values():
        check(outcome)


DEEP = b'{"loss": 1, "x": ' + b"[" * 500 + b"]" * 500 + b"}"


@pytest.mark.parametrize("content", [b"[" * 1_000_000, DEEP, b"9" * 5000, b"1e999", b" " * 10_485_761])
def test_content_made_to_hurt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    found = read(tmp_path)
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.BAD_RESULT


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_only_a_regular_file_is_read(tmp_path: Path, make: object) -> None:
    make(tmp_path / "result.json")  # type: ignore[operator]
    make(tmp_path / "output.log")  # type: ignore[operator]
    found = read(tmp_path)
    assert isinstance(found, Failure)
    assert (found.kind, found.log_tail) == (FailureKind.BAD_RESULT, "")


def test_only_regular_files_really_in_the_folder_are_kept(tmp_path: Path) -> None:
    folder, outside = tmp_path / "sandbox", tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (folder / "sub" / "good").write_text("good")
    (folder / "link").symlink_to(outside / "secret")
    (folder / "way").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    names = ("sub/good", "link", "way/secret", "pipe", "sub", "missing")
    outputs = tuple(OutputFile(f"out/{n}", name) for n, name in enumerate(names))
    launch = Launch("e", ExperimentPaths(tmp_path / "e"), output_files=outputs)
    store_outputs(launch, folder, ONE)
    kept = launch.paths.trial(0)
    assert (kept / "out" / "0").read_text() == "good"
    assert os.listdir(kept / "out") == ["0"]
    assert launch.paths.log(ONE).read_text().count("is not there as a regular file") == 5
    assert (outside / "secret").read_text() == "secret"


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (0, None, ""),
        (3, FailureKind.EXIT_CODE, "exited with status 3"),
        (126, FailureKind.EXIT_CODE, "exited with status 126 (a command in it cannot be executed)"),
        (-11, FailureKind.SIGNAL, "killed by SIGSEGV"),
        (139, FailureKind.SIGNAL, "killed by SIGSEGV"),
        (255, FailureKind.EXIT_CODE, "exited with status 255"),
        (-40, FailureKind.SIGNAL, "killed by signal 40"),
    ],
)
def test_what_an_exit_status_says(status: int, kind: FailureKind | None, message: str) -> None:
    failure = exit_failure(status)
    assert (failure and failure.kind, failure.message if failure else "") == (kind, message)


def test_the_tail_of_a_log_is_its_last_lines_within_bounds(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 10_000_000 + b"\n" + b"\n".join(b"line %d \xff" % n for n in range(100)))
    lines = log_tail(log).splitlines()
    assert lines == [f"line {n} \N{REPLACEMENT CHARACTER}" for n in range(80, 100)]
    assert len(log_tail(b"y" * 10_000_000)) <= 16 * 1024
    assert log_tail(tmp_path / "none") == ""


def test_a_crash_in_a_batch_blames_the_first_trial_without_a_line(tmp_path: Path) -> None:
    ids = [AttemptId(n, 1) for n in range(4)]
    lines: list[dict[str, object]] = [{"trial": trial, "status": "completed", "metric": 1.0, "metrics": {}} for trial in (0, 9)]
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"trial": 1, "sta')
    failure = Failure(FailureKind.SIGNAL, "killed by SIGSEGV")
    assert read_results(tmp_path, ids, "loss", failure) == {ids[0]: Success(1.0), ids[1]: failure, ids[2]: None, ids[3]: None}


def test_what_goes_in_is_json_and_never_part_of_a_command(tmp_path: Path) -> None:
    launch = Launch("name", ExperimentPaths(tmp_path), command="true", metric="accuracy", evaluations=2)
    one = Attempt(AttemptId(7, 2), {"x": "$(reboot)"}, seed=5)
    files = attempt_files(launch, [one])
    assert json.loads(files["hyperparameters.json"]) == {"x": "$(reboot)"}
    trial = {"version": 1, "experiment": "name", "trial": 7, "attempt": 2, "seed": 5, "length": 1}
    trial |= {"start_from": None, "checkpoints": None}
    trial |= {"metric": "accuracy", "evaluations": 2}
    assert json.loads(files["trial.json"]) == trial
    batch = attempt_files(replace(launch, trials_per_task=2), [one])
    assert json.loads(batch["batch.json"]) == [{"trial": trial, "hyperparameters": {"x": "$(reboot)"}}]
