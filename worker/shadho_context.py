"""What a training script sees of its trial: hyperparameters, how far to train, where to report. Checkpoints are `shadho_storage`'s.

Standard library and Python 3.8 only; travels with every attempt beside `shadho_worker`, in whose files it writes. Outside of any
trial's folder the same script runs by itself: one operation, reports printed, checkpoints in `./checkpoints`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Callable, Iterator

import shadho_checkpoint
import shadho_worker
from shadho_distributed import Distributed
from shadho_storage import Checkpoints

DEADLINE = "SHADHO_DEADLINE_S"
"""The environment variable with the Unix time, in seconds, at which this machine's allocation ends."""

_NEAR_S = 120.0

_ALONE: dict[str, Any] = {"experiment": "", "trial": 0, "attempt": 1, "seed": 0, "length": 1, "metric": "loss"}
_PREEMPTED = "preempted"
_SHOULD_PREEMPT = "context.preempt.should_preempt"
_NOTHING_SAVED = "its slice ended, and it saved no checkpoint to go on from: save one where context.preempt.should_preempt() is true"
_NOT_FIRST = "only rank 0 saves and deletes checkpoints: put this under `if context.distributed.rank == 0`"


class MisuseError(Exception):
    """The script calls the context in an order that makes no sense; the message says which call is missing or too much."""


@dataclass(frozen=True)
class TrialInfo:
    """Which trial this is.

    Attributes:
        id: of the trial in its experiment, as a text.
        number: the same as a number, from 0.
        seed: the trial's own, in 0..2**31-1, the same in each attempt.
        attempt: from 1.
        experiment: its name; empty outside of any.
    """

    id: str
    number: int
    seed: int
    attempt: int
    experiment: str


class Events:
    """The file of what a trial reports while it runs, one JSON object a line; the screen where there is no trial.

    Attributes:
        muted: whether another process of this trial reports.
    """

    def __init__(self, path: str | None, *, muted: bool = False) -> None:
        self.muted = muted
        self._path = path

    def write(self, kind: str, **fields: Any) -> None:
        """Add a line, in one piece."""
        if self.muted:
            return
        line = json.dumps({"kind": kind, **fields}, default=_as_plain) + "\n"
        if self._path is None:
            print(f"shadho_worker: {line}", end="", flush=True)
            return
        with open(self._path, "ab", buffering=0) as file:
            file.write(line.encode())


def _as_plain(value: Any) -> Any:
    for name in ("tolist", "item"):
        if callable(getattr(value, name, None)):
            return getattr(value, name)()
    return repr(value)


class Operation:
    """Train up to `length`, then report the metric.

    Attributes:
        length: cumulative, in the experiment's unit; what an earlier attempt trained counts.
    """

    def __init__(self, searcher: Searcher, length: int) -> None:
        self.length = length
        self.done = False
        self._searcher = searcher

    def report_progress(self, length: float) -> None:
        """Say how far training is, in the unit of `length`.

        Raises:
            MisuseError: the operation is completed already.
        """
        if self.done:
            raise MisuseError("report_progress came after report_completed: a completed operation has no progress")
        self._searcher.length = length
        self._searcher.events.write("progress", length=length)

    def report_completed(self, metric: Any) -> None:
        """Report the searched metric: a number, or a mapping with it and other JSON values.

        A search method of your own takes any JSON value.

        Raises:
            MisuseError: it was reported before.
        """
        if self.done:
            raise MisuseError("report_completed was called twice for one operation")
        self.done = True
        self._searcher.length = self.length
        self._searcher.complete(metric)


class Searcher:
    """What the search method wants of this trial.

    Attributes:
        length: how far training is, as far as it was told.
    """

    def __init__(self, trial: dict[str, Any], events: Events, folder: str | None) -> None:
        self.events = events
        self.length: float = 0
        self.result: dict[str, Any] | None = None
        self._trial = trial
        self._folder = folder

    def operations(self) -> Iterator[Operation]:
        """Yield what is to be done, one operation after the other.

        Raises:
            MisuseError: the next one is asked for before the last was completed.
        """
        operation = Operation(self, self._trial["length"])
        yield operation
        if not operation.done:
            raise MisuseError("the next operation was asked for before report_completed of this one")

    ops = operations

    def complete(self, metric: Any) -> None:
        """Write the result, whole or not at all."""
        self.result = shadho_worker.result_of(metric, self._trial["metric"], self._trial.get("any_json", False))
        if self.events.muted:
            return
        if self._folder is None:
            print(f"shadho_worker: completed with {self.result}", flush=True)
        else:
            shadho_worker.write_result(self._folder, self.result)


class Train:
    """Reports for people, which no search method reads.

    Attributes:
        validated_length: how far training was at the last validation, or where this attempt began.
    """

    def __init__(self, events: Events, searcher: Searcher, period: float | None, agree: Callable[[bool], Any]) -> None:
        """Prepare.

        Args:
            events: where reports go.
            searcher: tells how far training is.
            period: how much training there may be from one validation to the next; None for any.
            agree: gives all processes of the trial the first one's answer.
        """
        self.validated_length: float = 0
        self._events = events
        self._searcher = searcher
        self._period = period
        self._agree = agree

    def should_validate(self) -> bool:
        """Return whether it is time to validate: `min_validation_period` of training has gone by since the last validation.

        How far training is, `report_progress` of the operation says. The processes of a trial are to ask together.
        """
        return bool(self._agree(self._period is not None and self._searcher.length - self.validated_length >= self._period))

    def report_training_metrics(self, steps_completed: int, metrics: dict[str, Any]) -> None:
        """Keep metrics of the training data."""
        self._events.write("training", steps_completed=steps_completed, metrics=metrics)

    def report_validation_metrics(self, steps_completed: int, metrics: dict[str, Any]) -> None:
        """Keep metrics of the validation data."""
        self.validated_length = self._searcher.length
        self._events.write("validation", steps_completed=steps_completed, metrics=metrics)

    def report_progress(self, fraction: float) -> None:
        """Say how much of the training is done, 0 to 1."""
        self._events.write("progress", fraction=fraction)


class Preempt:
    """Tells when the trial is to take a checkpoint and end, to go on later.

    Attributes:
        asked: whether the trial knows that it is to end.
        signaled: whether SIGTERM came.
        reasons: those that are asked, besides SIGTERM; one that says yes is enough.
    """

    def __init__(self, distributed: Distributed, *reasons: Callable[[], bool]) -> None:
        """Watch for SIGTERM; the processes of `distributed` end together."""
        self.asked = self.signaled = self._confirmed = False
        self.reasons = reasons
        self._distributed = distributed
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)

    def should_preempt(self) -> bool:
        """Return whether it is time: after SIGTERM, at the end of a slice, or shortly before the machine's allocation ends.

        The processes of a trial are to ask together, and all get the same answer. Rank 0 has it at once, or within some seconds where
        it is yes; the others wait for rank 0's. Who waits long says so in the trial's log.
        """
        # Between the question and the answer the signal may come, and set `asked` in vain: `signaled` stays.
        now = self.asked or self.signaled or any(reason() for reason in self.reasons)
        self.asked = bool(self._distributed.agree(now, _SHOULD_PREEMPT))
        if self.asked and not self._confirmed:
            # torchrun sends SIGTERM also when one of its processes has died: then the trial has failed, and nobody asked it to end.
            self._confirmed = True
            self._distributed.confirm(_SHOULD_PREEMPT)
        return self.asked

    def _on_signal(self, *_: Any) -> None:
        self.asked = self.signaled = True


def _deadline_is_near() -> bool:
    try:
        return time.time() > float(os.environ[DEADLINE]) - _NEAR_S
    except (KeyError, ValueError):
        return False


class Context:
    """Everything that a training script needs; use it as `with shadho_worker.init() as context`.

    Attributes:
        hparams: this trial's hyperparameters.
        trial: which trial this is.
        latest_checkpoint: where to go on from, or None: `with context.latest_checkpoint as path`.
        searcher: how far to train.
        train: reports.
        checkpoint: saves and restores.
        preempt: whether to end early.
        distributed: the other processes of this trial, where `torchrun` started several; only rank 0 reports and saves.
    """

    def __init__(self, folder: str | None, hparams: Any = None) -> None:
        """Read a trial's files; without a folder, these are its hyperparameters."""
        self._folder = folder
        trial = dict(_ALONE) if folder is None else _read(folder, shadho_worker.TRIAL_FILE)
        self.hparams: Any = (hparams or {}) if folder is None else _read(folder, shadho_worker.HYPERPARAMETERS_FILE)
        self.trial = TrialInfo(str(trial["trial"]), trial["trial"], trial["seed"], trial["attempt"], trial["experiment"])
        self.distributed = Distributed()
        first = self.distributed.rank == 0
        if folder is not None and first and self.distributed.size > 1:
            # Where torchrun starts its processes again, the end of those before is not the trial's.
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, shadho_worker.RESULT_FILE))
        events = Events(None if folder is None else os.path.join(folder, shadho_worker.EVENTS_FILE), muted=not first)
        self.searcher = Searcher(trial, events, folder)
        agree = self.distributed.agree
        should_validate = partial(agree, call="context.train.should_validate")
        self.train = Train(events, self.searcher, trial.get("min_validation_period"), should_validate)
        self.preempt = Preempt(self.distributed, _deadline_is_near, self._slice_is_over)
        base = os.path.join(folder or os.getcwd(), "checkpoints")
        self.checkpoint = Checkpoints(
            trial.get("checkpoints") or base,
            self.trial.number,
            self.trial.attempt,
            report=events.write,
            length=lambda: self.searcher.length,
            archive=None if folder is None or trial.get("checkpoints") else os.path.join(folder, shadho_checkpoint.ARCHIVE_FILE),
            refusal=None if first else _NOT_FIRST,
            period=trial.get("min_checkpoint_period"),
            agree=partial(agree, call="context.checkpoint.should_save"),
        )
        self.latest_checkpoint = self._latest(trial.get("start_from"))
        if self.latest_checkpoint is not None:
            self.searcher.length = self.latest_checkpoint.length
            self.checkpoint.saved_length = self.train.validated_length = self.searcher.length
        self._slice = trial.get("slice_s"), trial.get("slice_length")
        self._began = time.monotonic(), self.searcher.length

    def _slice_is_over(self) -> bool:
        done = time.monotonic() - self._began[0], self.searcher.length - self._began[1]
        return any(limit is not None and amount >= limit for amount, limit in zip(done, self._slice))

    def _latest(self, start_from: str | None) -> shadho_checkpoint.Checkpoint | None:
        """Return where to go on from: what rank 0 found is what all take."""
        found = self.checkpoint.latest(start_from) if self.distributed.rank == 0 else None
        latest: shadho_checkpoint.Checkpoint | None = self.distributed.agree(found, "shadho_worker.init")
        return latest

    def finish(self, returned: Any) -> None:
        """Take what a training function returned, if anything, for the metric that it did not report itself."""
        if returned is not None and self.searcher.result is None:
            self.searcher.complete(returned)

    @property
    def succeeded(self) -> bool:
        """Whether the trial left what was asked of it: a metric, or a checkpoint to go on from."""
        result = self.searcher.result or {}
        return self._folder is None or result.get("status") in {"completed", _PREEMPTED}

    def __enter__(self) -> Context:
        """Return the context itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the result of a trial that raised, was preempted, or reported nothing."""
        del kind, trace
        try:
            self._leave_result(error)
        finally:
            # Not before: what fails in the others because this one left them is not why the trial failed.
            self.distributed.close()

    def _leave_result(self, error: BaseException | None) -> None:
        if self._folder is None or self.searcher.result is not None:
            return
        if isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and error.code in {None, 0}):
            return
        self.searcher.result = self._unfinished(error)
        first = self.distributed.rank == 0
        told = self.distributed.size > 1 and os.path.exists(os.path.join(self._folder, shadho_worker.RESULT_FILE))
        # Of several processes that fail, the first says why.
        if not told and (first or error is not None):
            shadho_worker.write_result(self._folder, self.searcher.result)
        if isinstance(error, shadho_worker.InvalidHP):
            sys.exit(1)

    def _unfinished(self, error: BaseException | None) -> dict[str, Any]:
        if error is not None:
            kind = "invalid_hp" if isinstance(error, shadho_worker.InvalidHP) else "error"
            return shadho_worker.failed(kind, *shadho_worker.describe(error))
        if self.preempt.asked and not self.checkpoint.saved and not self.preempt.signaled and self._slice_is_over():
            # Every further attempt would come as far and no farther.
            return shadho_worker.failed("error", _NOTHING_SAVED)
        if self.preempt.asked:
            return {"status": _PREEMPTED}
        return shadho_worker.failed("bad_result", "the script ended without report_completed of its operation")


def _read(folder: str, name: str) -> Any:
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


def init(hparams: Any = None) -> Context:
    """Return the context of the trial in the current folder; outside of any, one with these hyperparameters, that prints."""
    folder = os.getcwd()
    inside = all(os.path.exists(os.path.join(folder, name)) for name in (shadho_worker.TRIAL_FILE, shadho_worker.HYPERPARAMETERS_FILE))
    with suppress(AttributeError):
        # What a killed script printed is in its log.
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return Context(folder if inside else None, hparams)
