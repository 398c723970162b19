"""What is believed of a folder that foreign code left: nothing that is not checked, whatever lies there."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import shadho_worker
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


LAUNCH = Launch("e", ExperimentPaths(Path("e")))
LAUNCHES = (LAUNCH, replace(LAUNCH, any_json=True), replace(LAUNCH, other_metrics=("trial",)))


def read(folder: Path, failure: Failure | None = None, launch: Launch = LAUNCH) -> Outcome:
    outcome = read_results(folder, [ONE], launch, failure)[ONE]
    assert outcome is not None
    return outcome


def check(outcome: Outcome | None) -> None:
    """Check that what was believed can be written down anywhere."""
    if isinstance(outcome, Success):
        json.dumps([outcome.metric, outcome.metrics, outcome.reported], allow_nan=False, ensure_ascii=False).encode("utf-8")
    elif outcome is not None:
        json.dumps(outcome.to_json(), ensure_ascii=False).encode("utf-8")
        assert "\n" not in outcome.message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary() | RESULTS.map(lambda value: json.dumps(value).encode()) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_content_raises(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "result.json").write_bytes(content)
    batch = tmp_path / "batch"
    batch.mkdir(exist_ok=True)
    (batch / "results.jsonl").write_bytes(content + b"\n" + content)
    for launch in LAUNCHES:
        check(read(tmp_path, launch=launch))
        for outcome in read_results(batch, [ONE, AttemptId(1, 1)], launch, None).values():
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


@pytest.mark.parametrize(
    ("returned", "outcome"),
    [
        (3, Success(3.0)),
        (True, Success(1.0, {}, True)),
        ([0.5, 2], Success(None, {"loss": [0.5, 2]}, [0.5, 2])),
        ("good", Success(None, {"loss": "good"}, "good")),
        ({"loss": 1, "size": 2}, Success(1.0, {"size": 2}, {"loss": 1, "size": 2})),
        ({"a": 1.5, "b": None}, Success(None, {"a": 1.5, "b": None}, {"a": 1.5, "b": None})),
        ({"loss": "low"}, Success(None, {"loss": "low"}, {"loss": "low"})),
        (None, "the objective returned None: does it end without a return?"),
        (float("nan"), "the objective returned nan, which is no finite number"),
        ([1, float("inf")], "'1' is inf, which is no finite number"),
        ({1}, "the objective returned {1} (set), which JSON cannot hold"),
    ],
)
def test_a_method_of_ones_own_takes_any_json_value(tmp_path: Path, returned: object, outcome: Success | str) -> None:
    result = shadho_worker.evaluate(lambda _: returned, {}, any_json=True)
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert read(tmp_path, launch=LAUNCHES[1]) == (outcome if isinstance(outcome, Success) else Failure(FailureKind.BAD_RESULT, outcome))
    if isinstance(outcome, Success):
        (tmp_path / "result.json").write_text(json.dumps(returned))
        assert read(tmp_path, launch=LAUNCHES[1]) == outcome


@pytest.mark.parametrize(
    ("returned", "outcome"),
    [
        ({"loss": 1, "size": True, "x": "a"}, Success(1.0, {"size": True, "x": "a"}, {"loss": 1.0, "size": True, "x": "a"})),
        ({"loss": 1, "y": 2}, "the objective returned no 'size', only 'loss', 'y'"),
        (1, "the objective returned no 'size', only 'loss'"),
        ({"loss": 1, "size": "a"}, "'size' is 'a' (str), not a number"),
        ({"size": 1}, "the objective returned no 'loss', only 'size'"),
    ],
)
def test_every_one_of_several_metrics_is_a_number(tmp_path: Path, returned: object, outcome: Success | str) -> None:
    launch = replace(LAUNCH, other_metrics=("size",))
    for result in (returned, shadho_worker.evaluate(lambda _: returned, {})):
        (tmp_path / "result.json").write_text(json.dumps(result))
        assert read(tmp_path, launch=launch) == (outcome if isinstance(outcome, Success) else Failure(FailureKind.BAD_RESULT, outcome))


def test_a_crash_in_a_batch_blames_the_first_trial_without_a_line(tmp_path: Path) -> None:
    ids = [AttemptId(n, 1) for n in range(4)]
    lines: list[dict[str, object]] = [{"trial": trial, "status": "completed", "metric": 1.0, "metrics": {}} for trial in (0, 9)]
    (tmp_path / "results.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"trial": 1, "sta')
    failure = Failure(FailureKind.SIGNAL, "killed by SIGSEGV")
    assert read_results(tmp_path, ids, LAUNCH, failure) == {ids[0]: Success(1.0), ids[1]: failure, ids[2]: None, ids[3]: None}


def test_what_goes_in_is_json_and_never_part_of_a_command(tmp_path: Path) -> None:
    launch = Launch("name", ExperimentPaths(tmp_path), command="true", metric="accuracy", evaluations=2)
    one = Attempt(AttemptId(7, 2), {"x": "$(reboot)"}, seed=5)
    files = attempt_files(launch, [one])
    assert json.loads(files["hyperparameters.json"]) == {"x": "$(reboot)"}
    trial = {"version": 1, "experiment": "name", "trial": 7, "attempt": 2, "seed": 5, "length": 1}
    trial |= {"start_from": None, "checkpoints": None, "slice_s": None, "slice_length": None}
    trial |= {"min_checkpoint_period": None, "min_validation_period": None}
    trial |= {"metric": "accuracy", "any_json": False, "evaluations": 2}
    assert json.loads(files["trial.json"]) == trial
    batch = attempt_files(replace(launch, trials_per_task=2), [one])
    assert json.loads(batch["batch.json"]) == [{"trial": trial, "hyperparameters": {"x": "$(reboot)"}}]
