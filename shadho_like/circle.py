"""One trial through the whole circle on this machine: it trains for one unit of length, validates, saves a checkpoint, and goes on
from it in another attempt. Says at which of these stages it fails; what it makes is removed.
"""

from __future__ import annotations

import io
import json
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shadho_worker
from shadho_storage import NOT_SAVED

from shadho_like.checkpoint import ids
from shadho_like.checkpoint_storage import CheckpointStorage
from shadho_like.configured import search_of
from shadho_like.context_command import ARCHIVE_FILE, HOOK_EXITED, HOOK_FAILED, HOOK_FILE, UNPACKING_FAILED
from shadho_like.context_dir import pack
from shadho_like.errors import JournalError
from shadho_like.events import AttemptFinished, AttemptReported, Event, event_from_json
from shadho_like.experiment_config import ExperimentConfig
from shadho_like.journal import JournalReader
from shadho_like.known_experiments import forget
from shadho_like.operations import Close, Create, ExitedReason, Operation, Shutdown, ValidateAfter
from shadho_like.paths import ExperimentPaths
from shadho_like.reports import Lost, Progressed, Report, Resumed, Saved
from shadho_like.searcher import SearcherState, SearchMethod
from shadho_like.space import Space, TrialGenerator
from shadho_like.trial import AttemptId, Failure, FailureKind, RequestId

_SEED = 0
_TRIAL = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Stage:
    """How a stage went.

    Attributes:
        name: context, startup, train, validate, checkpoint or restore.
        said: what is to be said of it.
        passed: True; False where it failed; None where there was nothing to see.
        log: what the attempt printed, where it failed.
    """

    name: str
    said: str
    passed: bool | None = True
    log: str = ""


class _Circle(SearchMethod):
    """Trains one trial for one unit of length, and for another one if it left a checkpoint to go on from.

    Args:
        space: what its point is drawn from.
        saved: whether there is a checkpoint.

    Attributes:
        reported: what the trial reported, at each length.
    """

    def __init__(self, space: Space, saved: Callable[[], bool]) -> None:
        self.reported: list[Any] = []
        self._space, self._saved = space, saved

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        point = self._space.sample(TrialGenerator(_SEED, 0), 0)
        return [Create(_TRIAL, point), ValidateAfter(_TRIAL, 1)]

    def on_trial_created(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        return []

    def on_validation_completed(self, state: SearcherState, request_id: RequestId, metric: Any, train_length: int) -> list[Operation]:
        self.reported.append(metric)
        return [ValidateAfter(_TRIAL, 2)] if train_length == 1 and self._saved() else [Close(_TRIAL)]

    def on_trial_closed(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        return [Shutdown()]

    def on_trial_exited_early(self, state: SearcherState, request_id: RequestId, exited_reason: ExitedReason) -> list[Operation]:
        return []

    def progress(self, state: SearcherState) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What is known of an attempt: what it reported, how it ended, in how many seconds, and what it printed."""

    reports: Sequence[Report]
    finished: AttemptFinished
    log: str

    def of(self, kind: type[Report]) -> list[Any]:
        """Return its reports of a kind."""
        return [report for report in self.reports if isinstance(report, kind)]

    @property
    def failure(self) -> Failure | None:
        """Why it failed; None if it ended well."""
        return self.finished.outcome if isinstance(self.finished.outcome, Failure) else None


def go_round(config: ExperimentConfig, context: str | Path | None, includes: Iterable[str | Path] = ()) -> Iterator[Stage]:
    """Take one trial through the circle; yield each stage that was seen. One that fails is the last.

    Raises:
        UserError: the context cannot be packed, or the configuration makes no search.
        KeyboardInterrupt: the user ended it.
    """
    with tempfile.TemporaryDirectory(prefix="shadho-test-") as made:
        paths = ExperimentPaths(Path(made) / "experiment")
        packed = pack(context, Path(made) / "context.tar", includes)
        yield Stage("context", str(packed))
        method = _Circle(config.space, lambda: bool(ids(paths.checkpoints, 0)))
        try:
            _run(config, method, packed.archive, paths)
        finally:
            _forget(paths.root)
        with JournalReader(paths.root) as journal:
            attempts = _attempts([event_from_json(json.loads(record.event)) for record in journal.records()], paths)
        if not attempts:
            raise KeyboardInterrupt
        if HOOK_FILE in packed.names and not _failed_before(attempts[0]):
            yield Stage("startup", HOOK_FILE)
        yield from _stages(attempts, method.reported, config)
        if len(attempts) < len(method.reported):
            raise KeyboardInterrupt


def _run(config: ExperimentConfig, method: SearchMethod, archive: Path, paths: ExperimentPaths) -> None:
    """Run the search; what a driver says is not for whoever tests."""
    here = replace(config, resources={}, max_restarts=0, checkpoint_storage=CheckpointStorage())
    opt = search_of(here, name="test", directory=paths.root, method=method, engine="local", workers=1)
    opt.add_input_file(archive, ARCHIVE_FILE)
    with redirect_stdout(io.StringIO()):
        opt.run()


def _forget(root: Path) -> None:
    """Have the test be no experiment that is listed, however far it came."""
    with suppress(JournalError, OSError), JournalReader(root) as journal:
        if journal.id is not None:
            forget(journal.id)


def _attempts(events: Iterable[Event], paths: ExperimentPaths) -> list[_Attempt]:
    reports: dict[AttemptId, list[Report]] = {}
    finished: dict[AttemptId, AttemptFinished] = {}
    for event in events:
        if isinstance(event, AttemptReported):
            reports.setdefault(event.attempt, []).extend(event.reports)
        elif isinstance(event, AttemptFinished):
            finished[event.attempt] = event
    newest = max(finished, default=None)
    logs = {attempt: paths.log(attempt) if attempt == newest else paths.earlier_log(attempt) for attempt in finished}
    return [_Attempt(reports.get(attempt, []), end, _text(logs[attempt])) for attempt, end in sorted(finished.items())]


def _text(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _failed_before(attempt: _Attempt) -> bool:
    """Return whether an attempt ended before its command began."""
    return attempt.failure is not None and attempt.failure.message.startswith((HOOK_FAILED, HOOK_EXITED, UNPACKING_FAILED))


def _stages(attempts: Sequence[_Attempt], reported: Sequence[Any], config: ExperimentConfig) -> Iterator[Stage]:
    first, unit = attempts[0], f"length 1 ({config.searcher.unit})" if config.searcher.unit else "length 1"
    fault = _metric_fault(reported[0], config) if reported else first.failure.message if first.failure else "it was interrupted"
    failed_at = _failed_stage(first) if first.failure else "validate" if fault else ""
    saved = first.of(Saved)
    if failed_at not in {"startup", "train"}:
        yield Stage("train", f"{unit} in {first.finished.time_s - first.finished.started_s:.1f} s")
    if reported and not fault:
        yield Stage("validate", _shown(reported[0], config))
    if failed_at:
        yield Stage(failed_at, fault, passed=False, log=first.log)
    elif not saved:
        yield Stage("checkpoint", "it saves none: a trial that is interrupted, paused or trained further starts over", passed=None)
    else:
        yield Stage("checkpoint", f"{saved[-1].size:,} bytes at length {saved[-1].length:g}")
        yield from _restored(attempts[1:], reported[1:], config)


def _failed_stage(attempt: _Attempt) -> str:
    """Return the stage at which an attempt failed, as far as what it left tells."""
    assert attempt.failure is not None
    if _failed_before(attempt):
        return "startup"
    if attempt.failure.kind is FailureKind.BAD_RESULT:
        return "validate"
    if NOT_SAVED in attempt.log:
        return "checkpoint"
    reached = max((report.length or 0 for report in (*attempt.of(Progressed), *attempt.of(Saved))), default=0)
    return "train" if reached < 1 else "validate"


def _restored(attempts: Sequence[_Attempt], reported: Sequence[Any], config: ExperimentConfig) -> Iterator[Stage]:
    if not attempts:
        return
    (second,) = attempts
    origin = next((report.checkpoint for report in second.of(Resumed)), None)
    fault = second.failure.message if second.failure else _metric_fault(reported[0], config) if reported else ""
    if not fault and origin is None:
        fault = next((lost.reason for lost in second.of(Lost)), "it did not look for its checkpoint (context.latest_checkpoint)")
    if fault or origin is None:
        yield Stage("restore", fault, passed=False, log=second.log)
    else:
        yield Stage("restore", f"from length {origin.length:g} to 2, {_shown(reported[0], config)}")


def _metrics(config: ExperimentConfig) -> list[str]:
    """Return the names of what each trial is to report, the one to show first."""
    return list(dict.fromkeys((config.searcher.metric, *(config.searcher.keys.get("metrics") or ()))))


def _metric_fault(reported: Any, config: ExperimentConfig) -> str:
    """Return what is wrong with what a trial reported; empty if nothing is."""
    results = (shadho_worker.result_of(reported, name) for name in _metrics(config))
    return next((result["message"] for result in results if result["status"] != "completed"), "")


def _shown(reported: Any, config: ExperimentConfig) -> str:
    return ", ".join(f"{name} {shadho_worker.result_of(reported, name)['metric']:.6g}" for name in _metrics(config))
