"""The files that travel with an attempt: what goes into its folder, and what is made of the folder that it left.

What comes back was written by foreign code and is believed in nothing: it is read within bounds, never through a link, and
whatever is wrong with it is that trial's failure. No process is started or watched here.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import cloudpickle
import shadho_worker

from shadho_like.errors import UserError, WorldError
from shadho_like.launch import Launch
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Outcome, Success

_LARGEST_RESULT = 10 * 1024 * 1024
_LARGEST_BATCH = 64 * 1024 * 1024
_LARGEST_TAIL = 16 * 1024
_TAIL_LINES = 20
_SHELL_SIGNAL_BASE = 128
_SHELL_REASONS = {126: " (a command in it cannot be executed)", 127: " (a command in it was not found)"}
_RESULT_KINDS = {kind.value: kind for kind in (FailureKind.ERROR, FailureKind.BAD_RESULT, FailureKind.INVALID_HP)}


def attempt_files(launch: Launch, attempts: Sequence[Attempt]) -> dict[str, bytes]:
    """Return the JSON files that go in, by name: those of one trial, or of a batch where trials share tasks."""
    if launch.trials_per_task > 1:
        batch = [{"trial": _trial_json(launch, attempt), "hyperparameters": attempt.hparams} for attempt in attempts]
        return {shadho_worker.BATCH_FILE: _dump(batch)}
    (attempt,) = attempts
    return {
        shadho_worker.HYPERPARAMETERS_FILE: _dump(attempt.hparams),
        shadho_worker.TRIAL_FILE: _dump(_trial_json(launch, attempt)),
    }


def _trial_json(launch: Launch, attempt: Attempt) -> dict[str, Any]:
    return {
        "version": shadho_worker.WIRE_VERSION,
        "experiment": launch.experiment,
        "trial": attempt.id.trial,
        "attempt": attempt.id.attempt,
        "seed": attempt.seed,
        "length": attempt.length,
        "start_from": attempt.start_from,
        "checkpoints": str(launch.checkpoints) if launch.checkpoints else None,
        "min_checkpoint_period": launch.min_checkpoint_period,
        "min_validation_period": launch.min_validation_period,
        "slice_s": launch.slice_s,
        "slice_length": launch.slice_length,
        "metric": launch.metric,
        "any_json": launch.any_json,
        "evaluations": launch.evaluations,
    }


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def worker_modules() -> list[Path]:
    """Return the modules that travel with every attempt: the worker module, and what it imports when a script asks for it."""
    folder = Path(shadho_worker.__file__).parent
    return [folder / name for name in shadho_worker.MODULES]


def save_objective(objective: Callable[..., Any], path: Path) -> None:
    """Pickle a callable for the processes that will evaluate it.

    Raises:
        UserError: it cannot be pickled; the message says why.
    """
    try:
        data = cloudpickle.dumps(objective)
    except Exception as error:
        name = getattr(objective, "__qualname__", type(objective).__name__)
        message = (
            f"the objective {name} cannot be sent to other processes: {shadho_worker.describe(error)[0]}\n"
            "make what it uses (open files, locks, connections) inside of it, or evaluate in this process with workers=0"
        )
        raise UserError(message) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def outcome_of(result: Any, launch: Launch) -> Outcome:
    """Return the outcome that a result says: a result object, or what an objective may return."""
    if isinstance(result, dict) and result.get("status") == "failed":
        kind = _RESULT_KINDS.get(str(result.get("kind")), FailureKind.ERROR)
        message = shadho_worker.one_line(str(result.get("message") or "it failed without saying why"))
        trace = str(result.get("traceback") or "")[-_LARGEST_TAIL:]
        return Failure(kind, message, shadho_worker.encodable(trace))
    if isinstance(result, dict) and result.get("status") == "preempted":
        return Failure(FailureKind.PREEMPTED, "it was asked to end, and took a checkpoint")
    if isinstance(result, dict) and result.get("status") == "completed":
        result = _returned(result, launch)
    checked = shadho_worker.result_of(result, launch.metric, launch.any_json)
    if checked["status"] != "completed":
        return Failure(FailureKind.BAD_RESULT, checked["message"])
    if launch.any_json and "reported" in checked:
        return _of_any_json(checked["reported"], launch.metric)
    reported = {launch.metric: checked["metric"], **checked["metrics"]} if launch.other_metrics else None
    for name in launch.other_metrics:
        if (other := shadho_worker.result_of(reported, name))["status"] != "completed":
            return Failure(FailureKind.BAD_RESULT, other["message"])
    return Success(checked["metric"], checked["metrics"], reported)


def _returned(result: dict[str, Any], launch: Launch) -> Any:
    """Return what an objective returned, from a result object that says that it did."""
    if launch.any_json and "reported" in result:
        return result["reported"]
    if "metric" not in result:
        return result
    metrics = result.get("metrics")
    if launch.any_json and not metrics:
        return result["metric"]
    return {**(metrics if isinstance(metrics, dict) else {}), launch.metric: result["metric"]}


def _of_any_json(reported: Any, metric: str) -> Success:
    """Return the outcome for a method that takes any JSON value; the number in it, if there is one, is what people are shown."""
    checked = shadho_worker.result_of(reported, metric)
    if checked["status"] == "completed":
        return Success(checked["metric"], checked["metrics"], None if type(reported) in {int, float} else reported)
    return Success(None, reported if isinstance(reported, dict) else {metric: reported}, reported)


def preempted(outcome: Outcome | None) -> Outcome:
    """Return the outcome of what was asked to end: whatever went wrong after that is no fault of its own."""
    if isinstance(outcome, Success) or (outcome is not None and outcome.kind in {FailureKind.INVALID_HP, FailureKind.PREEMPTED}):
        return outcome
    tail = outcome.log_tail if outcome else ""
    return Failure(FailureKind.PREEMPTED, "it was asked to end", tail)


def read_results(
    folder: Path, attempts: Sequence[AttemptId], launch: Launch, failure: Failure | None
) -> dict[AttemptId, Outcome | None]:
    """Return what became of each attempt that shared a folder; None for one that was never begun and is to run again.

    A result that says why it failed is truer than the exit status. A good one counts only if the command ended well too: what
    came after it was part of the command. In a batch every line counts as it stands; after a crash the first trial without a line
    is the one that crashed, and those behind it are blameless.

    Args:
        folder: where they ran, with their output still in it.
        attempts: in the order of the batch.
        launch: what they ran.
        failure: what the exit status said; None if the command ended well.
    """
    if len(attempts) == 1 and not os.path.lexists(folder / shadho_worker.RESULTS_FILE):
        return {attempts[0]: _read_result(folder, launch, failure)}
    lines = _read_lines(folder, launch)
    outcomes: dict[AttemptId, Outcome | None] = {attempt: lines.get(attempt.trial) for attempt in attempts}
    missing = [attempt for attempt, outcome in outcomes.items() if outcome is None]
    if failure is None:
        text = f"the command ended well but left no line for this trial in {shadho_worker.RESULTS_FILE}"
        nothing = Failure(FailureKind.BAD_RESULT, text, log_tail(folder / shadho_worker.LOG_FILE))
        return {**outcomes, **dict.fromkeys(missing, nothing)}
    return {**outcomes, **dict.fromkeys(missing[:1], failure)}


def _read_result(folder: Path, launch: Launch, failure: Failure | None) -> Outcome:
    said, outcome = _result_file(folder, launch)
    said = said or (isinstance(outcome, Failure) and outcome.kind is FailureKind.PREEMPTED)
    if failure is None or said:
        if isinstance(outcome, Success) or outcome.log_tail:
            return outcome
        return Failure(outcome.kind, outcome.message, log_tail(folder / shadho_worker.LOG_FILE))
    if isinstance(outcome, Success):
        return Failure(failure.kind, f"{failure.message}, after it wrote its result", failure.log_tail)
    return failure


def _result_file(folder: Path, launch: Launch) -> tuple[bool, Outcome]:
    """Return what `result.json` says, and whether it says itself that and why the trial failed."""
    try:
        result = _parse(read_regular(folder / shadho_worker.RESULT_FILE, _LARGEST_RESULT))
    except FileNotFoundError:
        text = f"the command ended well but left no {shadho_worker.RESULT_FILE}: it is to call shadho_worker.run, or to write it"
        return False, Failure(FailureKind.BAD_RESULT, text)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return False, Failure(FailureKind.BAD_RESULT, f"{shadho_worker.RESULT_FILE}: {shadho_worker.one_line(reason)}")
    return isinstance(result, dict) and result.get("status") == "failed", outcome_of(result, launch)


def _read_lines(folder: Path, launch: Launch) -> dict[int, Outcome]:
    """Return the outcomes in `results.jsonl` by trial; a line that is torn or foreign is as good as none."""
    try:
        data = read_regular(folder / shadho_worker.RESULTS_FILE, _LARGEST_BATCH)
    except (OSError, ValueError):
        return {}
    outcomes: dict[int, Outcome] = {}
    for line in data.splitlines():
        try:
            result = _parse(line)
        except ValueError:
            continue
        if isinstance(result, dict) and type(trial := result.pop("trial", None)) is int:
            outcomes.setdefault(trial, outcome_of(result, launch))
    return outcomes


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except RecursionError:
        message = "nested too deep"
        raise ValueError(message) from None
    except ValueError as error:
        message = f"no JSON, it begins with {shadho_worker.short(data[:40])}: {error}"
        raise ValueError(message) from None


def read_regular(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file, never following a link in its last part.

    Raises:
        OSError: it cannot be opened, or is a link.
        ValueError: it is no regular file, or larger than `limit`.
    """
    try:
        # Non-blocking, so that a named pipe does not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        if path.is_symlink():
            message = "it is a link, and links are not followed"
            raise ValueError(message) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            message = "it is no regular file"
            raise ValueError(message)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        message = f"it is larger than {limit} bytes"
        raise ValueError(message)
    return data


def exit_failure(returncode: int, log: Path | bytes = b"") -> Failure | None:
    """Return what an exit status says: None for 0; a signal is negative, or 128 and its number where a shell passes it on."""
    if returncode == 0:
        return None
    tail = log_tail(log)
    number = -returncode if returncode < 0 else returncode - _SHELL_SIGNAL_BASE
    try:
        name = signal.Signals(number).name
    except ValueError:
        if returncode < 0:
            return Failure(FailureKind.SIGNAL, f"killed by signal {number}", tail)
        return Failure(FailureKind.EXIT_CODE, f"exited with status {returncode}{_SHELL_REASONS.get(returncode, '')}", tail)
    return Failure(FailureKind.SIGNAL, f"killed by {name}", tail)


def log_tail(log: Path | bytes) -> str:
    """Return the last lines of an output, bounded, whatever bytes it has; empty where there is none."""
    data = log if isinstance(log, bytes) else _last_bytes(log)
    text = data[-_LARGEST_TAIL:].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return "\n".join(text.splitlines()[-_TAIL_LINES:])


def _last_bytes(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return b""
        return os.pread(descriptor, _LARGEST_TAIL, max(0, status.st_size - _LARGEST_TAIL))
    finally:
        os.close(descriptor)


def store_outputs(launch: Launch, folder: Path, attempt: AttemptId) -> None:
    """Move what an attempt printed, and the user's output files, from its folder to where its trial is kept.

    Only regular files are taken, and none through a link. An output file that is not there is no failure: the log says so.
    """
    log = folder / shadho_worker.LOG_FILE
    files = launch.output_files
    missing = [file.remote for file in files if not store(folder, file.remote, launch.paths.trial(attempt.trial) / file.local)]
    if missing:
        _append(log, "".join(f"shadho_like: the output file {name} is not there as a regular file\n" for name in missing))
    store_log(launch, log, attempt)


def store_log(launch: Launch, log: Path, attempt: AttemptId) -> None:
    """Move a log, if it is not empty, to where its trial is kept; the log of the attempt before it gets that one's number."""
    if attempt.attempt > 1:
        with suppress(FileNotFoundError):
            launch.paths.log(attempt).replace(launch.paths.earlier_log(AttemptId(attempt.trial, attempt.attempt - 1)))
    try:
        status = os.lstat(log)
    except OSError:
        return
    if stat.S_ISREG(status.st_mode) and status.st_size:
        store(log.parent, log.name, launch.paths.log(attempt))


def _append(log: Path, text: str) -> None:
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError:
        return
    with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)


def store(folder: Path, remote: str, kept: Path) -> bool:
    """Move a regular file that is really beneath `folder` to `kept`; return whether it was there.

    Raises:
        WorldError: it is there, and cannot be kept.
    """
    *parents, name = PurePosixPath(remote).parts
    with ExitStack() as opened:
        try:
            directory = _open_beneath(folder, parents, opened)
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        except OSError:
            return False
        opened.callback(os.close, descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            _move(name, directory, descriptor, kept)
        except OSError as error:
            message = f"{kept} cannot be written: {error.strerror}"
            raise WorldError(message, transient=True) from error
    return True


def _open_beneath(folder: Path, parents: Sequence[str], opened: ExitStack) -> int:
    """Return a descriptor of the directory `folder`/`parents`, entered step by step and through no link."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, directory)
    for part in parents:
        directory = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        opened.callback(os.close, directory)
    return directory


def _move(name: str, directory: int, descriptor: int, kept: Path) -> None:
    try:
        os.rename(name, kept, src_dir_fd=directory)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with open(descriptor, "rb", closefd=False) as source, kept.open("wb") as target:
            shutil.copyfileobj(source, target)
