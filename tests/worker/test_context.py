"""A training script's context: operations in their order, checkpoints there whole or not at all, ends that say what happened."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shadho_checkpoint
import shadho_context
import shadho_worker
from shadho_checkpoint import CheckpointError
from shadho_context import Context, MisuseError


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def start(sandbox: Path, tmp_path: Path) -> Callable[..., Context]:
    """Give the context of an attempt, whose checkpoints are on a common file system."""

    def context(**changes: Any) -> Context:
        trial = {"version": 1, "experiment": "e", "trial": 12, "attempt": 1, "seed": 5, "length": 4, "metric": "loss", "evaluations": 1}
        trial |= {"start_from": None, "checkpoints": str(tmp_path / "kept"), **changes}
        (tmp_path / "kept").mkdir(exist_ok=True)
        (sandbox / "trial.json").write_text(json.dumps(trial))
        (sandbox / "hyperparameters.json").write_text('{"x": 3}')
        made: Context = shadho_worker.init()
        return made

    return context


def save(context: Context, text: str, **metadata: Any) -> str:
    with context.checkpoint.store_path(metadata) as (path, checkpoint):
        Path(path, "deep").mkdir()
        Path(path, "deep/model").write_text(text)
    return checkpoint


def result(sandbox: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((sandbox / "result.json").read_text())
    return found


def events(sandbox: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (sandbox / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def test_what_a_script_sees_and_reports(start: Callable[..., Context], sandbox: Path) -> None:
    with start() as context:
        assert (context.hparams, context.trial.id, context.trial.seed, context.trial.attempt) == ({"x": 3}, "12", 5, 1)
        assert context.latest_checkpoint is None
        assert (context.distributed.rank, context.distributed.allgather(7)) == (0, [7])
        for operation in context.searcher.ops():
            assert operation.length == 4
            operation.report_progress(2)
            context.train.report_training_metrics(2, {"loss": 0.5})
            operation.report_completed({"loss": 0.25, "accuracy": 0.9})
    assert result(sandbox) == {"status": "completed", "metric": 0.25, "metrics": {"accuracy": 0.9}}
    assert events(sandbox, "training") == [{"kind": "training", "steps_completed": 2, "metrics": {"loss": 0.5}}]


def test_it_is_time_for_a_checkpoint_and_for_a_validation(start: Callable[..., Context]) -> None:
    periods = {"length": 9, "min_checkpoint_period": 3, "min_validation_period": 2}

    def asked(context: Context) -> list[tuple[int, bool, bool]]:
        said = []
        for operation in context.searcher.operations():
            for step in range(int(context.searcher.length) + 1, 6 if context.trial.attempt == 1 else 9):
                operation.report_progress(step)
                due = context.checkpoint.should_save(), context.train.should_validate()
                said.append((step, *due))
                if due[0]:
                    save(context, "state", steps_completed=step)
                if due[1]:
                    context.train.report_validation_metrics(step, {"loss": 1})
            operation.report_completed(1)
        return said

    assert asked(start(**periods)) == [(1, False, False), (2, False, True), (3, True, False), (4, False, True), (5, False, False)]
    # What was done before the checkpoint counts in the next attempt, and what came after it does not.
    assert asked(start(**periods, attempt=2)) == [(4, False, False), (5, False, True), (6, True, False), (7, False, True), (8, False, False)]
    assert not any(due for _, *both in asked(start(attempt=1)) for due in both)


def test_calls_out_of_order_are_said(start: Callable[..., Context]) -> None:
    context = start()
    operations = context.searcher.operations()
    operation = next(operations)
    with pytest.raises(MisuseError, match="before report_completed of this one"):
        next(operations)
    operation.report_completed(1)
    with pytest.raises(MisuseError, match="report_progress came after report_completed"):
        operation.report_progress(3)
    with pytest.raises(MisuseError, match="twice"):
        operation.report_completed(1)


@pytest.mark.parametrize(
    ("error", "kind"), [(ValueError("no"), "error"), (shadho_worker.InvalidHP("no"), "invalid_hp"), (None, "bad_result")]
)
def test_how_a_script_ended(start: Callable[..., Context], sandbox: Path, error: Exception | None, kind: str) -> None:
    def script() -> None:
        with start():
            if error is not None:
                raise error

    if error is None:
        script()
    else:
        with pytest.raises((ValueError, SystemExit)):
            script()
    assert (result(sandbox)["status"], result(sandbox)["kind"]) == ("failed", kind)


def test_a_signal_at_any_moment_is_heard(start: Callable[..., Context]) -> None:
    """One that comes while the other reasons are asked is heard at the next question, if not at this one."""
    preempt = start().preempt

    def at_that_moment() -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    preempt.reasons = (at_that_moment,)
    preempt.should_preempt()
    preempt.reasons = ()
    assert preempt.should_preempt()


def test_a_preempted_script_goes_on_later(start: Callable[..., Context], sandbox: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with start() as context:
            assert not context.preempt.should_preempt()
            os.kill(os.getpid(), signal.SIGTERM)
            assert context.preempt.should_preempt()
            save(context, "half")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert result(sandbox) == {"status": "preempted"}


@pytest.mark.parametrize("saves", [True, False])
def test_a_slice_ends_with_a_checkpoint_or_it_is_a_failure(start: Callable[..., Context], sandbox: Path, saves: bool) -> None:
    with start(length=9, slice_length=3) as context:
        for operation in context.searcher.operations():
            for step in range(1, 9):
                operation.report_progress(step)
                if context.preempt.should_preempt():
                    break
            if saves:
                save(context, "three")
            break
    assert step == 3
    found = result(sandbox)
    assert found["status"] == ("preempted" if saves else "failed")
    assert saves or "saved no checkpoint to go on from" in found["message"]


@pytest.mark.parametrize(("left_s", "near"), [(60, True), (3600, False), (None, False)])
def test_the_end_of_the_allocation_is_a_reason(
    start: Callable[..., Context], monkeypatch: pytest.MonkeyPatch, left_s: float | None, *, near: bool
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    if left_s is not None:
        monkeypatch.setenv(shadho_context.DEADLINE, str(time.time() + left_s))
    try:
        assert start().preempt.should_preempt() is near
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_machine_that_does_not_see_the_storage_says_so(start: Callable[..., Context], sandbox: Path, tmp_path: Path) -> None:
    context = start(checkpoints=str(tmp_path / "mounted" / "experiment"))
    with pytest.raises(CheckpointError, match="the checkpoint storage .*/mounted/experiment is not there on"), context.checkpoint.save_path():
        pass
    assert not (tmp_path / "mounted").exists()


def test_what_an_attempt_left_half_written_is_gone_with_the_next(start: Callable[..., Context], tmp_path: Path) -> None:
    save(start(), "one")
    half = tmp_path / "kept/12/.partial-12.1.2"
    half.mkdir()
    assert start(attempt=2).latest_checkpoint is not None
    assert not half.exists()


def test_many_pieces_have_a_checksum_each(start: Callable[..., Context], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shadho_checkpoint, "_PIECE_BYTES", 3)
    checkpoint = save(start(), "0123456789")
    found = shadho_checkpoint.read(str(tmp_path / "kept"), checkpoint)
    assert found.size == 10
    [(size, checksum)] = shadho_checkpoint.read_manifest(found.path)["files"].values()
    assert (size, len(checksum)) == (10, 4 * 8)
    data = Path(found.path, "deep/model")
    data.write_text("0123456798")
    with pytest.raises(CheckpointError, match="is not as it was saved: deep/model"):
        shadho_checkpoint.read(str(tmp_path / "kept"), checkpoint)


def test_the_newest_whole_checkpoint_is_offered(start: Callable[..., Context], sandbox: Path, tmp_path: Path) -> None:
    first = start()
    ids = [save(first, text, steps_completed=steps, note=text) for steps, text in ((1, "one"), (2, "two"), (3, "three"))]
    assert ids == ["12.1.1", "12.1.2", "12.1.3"]
    assert [event["id"] for event in events(sandbox, "checkpoint")] == ids
    (tmp_path / "kept/12/12.1.3/deep/model").write_text("threE")
    (tmp_path / "kept/12/12.1.2/added").touch()
    again = start(attempt=2)
    assert again.latest_checkpoint is not None
    with again.latest_checkpoint as path:
        assert Path(path, "deep/model").read_text() == "one"
    assert (again.latest_checkpoint.id, again.latest_checkpoint.length) == ("12.1.1", 1)
    assert again.latest_checkpoint.metadata == {"steps_completed": 1, "note": "one"}
    assert [event["id"] for event in events(sandbox, "checkpoint_lost")] == ["12.1.3", "12.1.2"]
    assert save(again, "four") == "12.2.1"


def test_what_fails_while_it_is_saved_is_no_checkpoint(start: Callable[..., Context], tmp_path: Path) -> None:
    context = start()
    with pytest.raises(ZeroDivisionError), context.checkpoint.save_path() as path:
        Path(path, "half").write_text(str(len(path) / 0))
    with pytest.raises(ValueError, match="etc is a link or no regular file"), context.checkpoint.save_path() as path:
        Path(path, "etc").symlink_to("/etc")
    assert start(attempt=2).latest_checkpoint is None
    assert not list((tmp_path / "kept/12").iterdir())


def test_another_trial_begins_where_one_is(start: Callable[..., Context]) -> None:
    checkpoint = save(start(), "one")
    for start_from in ("12", checkpoint):
        copy = start(trial=13, start_from=start_from)
        assert copy.latest_checkpoint is not None
        assert copy.latest_checkpoint.id == checkpoint
        with pytest.raises(CheckpointError, match="not this trial's"):
            copy.checkpoint.delete(checkpoint)
    with copy.checkpoint.restore_path(checkpoint) as path:
        assert Path(path, "deep/model").read_text() == "one"
    with pytest.raises(CheckpointError, match="'../12' is no checkpoint's id"), copy.checkpoint.restore_path("../12"):
        pass
    own = start()
    own.checkpoint.delete(checkpoint)
    with pytest.raises(CheckpointError, match="cannot be read"):
        own.checkpoint.get_metadata(checkpoint)


def test_another_trial_begins_where_one_was_or_before_if_that_is_lost(start: Callable[..., Context], tmp_path: Path) -> None:
    first, second, third = (save(start(), name) for name in ("one", "two", "three"))

    def begins() -> str | None:
        latest = start(trial=13, start_from=second).latest_checkpoint
        return None if latest is None else latest.id

    assert begins() == second
    (tmp_path / f"kept/12/{second}/deep/model").write_text("torn")
    assert begins() == first
    shutil.rmtree(tmp_path / f"kept/12/{second}")
    shutil.rmtree(tmp_path / f"kept/12/{first}")
    assert begins() is None
    assert third in shadho_checkpoint.ids(str(tmp_path / "kept"), 12)


def test_a_checkpoint_travels_in_one_file(start: Callable[..., Context], sandbox: Path) -> None:
    first = start(checkpoints=None)
    save(first, "one")
    save(first, "two", note="second")
    archive = (sandbox / "checkpoint.tar").read_bytes()
    for left in sandbox.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    (sandbox / "latest_checkpoint.tar").write_bytes(archive)
    second = start(checkpoints=None, attempt=2)
    assert second.latest_checkpoint is not None
    with second.latest_checkpoint as path:
        assert Path(path, "deep/model").read_text() == "two"
    assert second.latest_checkpoint.metadata == {"note": "second"}
    assert not (sandbox / "checkpoint.tar").exists()


@pytest.mark.parametrize("name", ["../outside", "{elsewhere}/outside", "deep/../../outside", "link"])
def test_an_archive_that_would_write_elsewhere_is_not_opened(start: Callable[..., Context], sandbox: Path, tmp_path: Path, name: str) -> None:
    with tarfile.open(sandbox / "latest_checkpoint.tar", "w") as tar:
        entry = tarfile.TarInfo(name.format(elsewhere=tmp_path))
        if name == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        entry.size = 0
        tar.addfile(entry, io.BytesIO())
    context = start(checkpoints=None)
    assert context.latest_checkpoint is None
    assert len(events(sandbox, "checkpoint_lost")) == 1
    assert not [path for path in tmp_path.rglob("*") if path.name in {"outside", "link"}]


def test_outside_of_any_trial_it_prints(sandbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with shadho_worker.init(hparams={"x": 1}) as context:
        operation = next(context.searcher.operations())
        save(context, "mine")
        operation.report_completed(context.hparams["x"])
    said = capsys.readouterr().out
    assert '"kind": "checkpoint"' in said
    assert "completed with" in said
    assert shadho_checkpoint.ids(str(sandbox / "checkpoints"), 0) == ["0.1.1"]
    assert shadho_context.init().latest_checkpoint is not None
