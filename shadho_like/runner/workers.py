"""Jobs on the workers of a cluster, by Work Queue. What a worker sends back is JSON, or bytes for a user's own codec: no pickle.

Objects cross outwards only. The user's own modules go with them, since workers do not have the user's files; they do have this
package, with what strict configs need.
"""

from __future__ import annotations

import base64
import os
import sys
import sysconfig
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import shadho_worker

from shadho_like.engine.base import Notice
from shadho_like.engine.job_file import dumps, loads
from shadho_like.engine.jobs import Job, JobEnd
from shadho_like.engine.supervisor import remove_folder
from shadho_like.engine.workqueue import WorkQueueEngine
from shadho_like.errors import WorldError
from shadho_like.events import AttemptFinished, AttemptLost, AttemptStarted
from shadho_like.hardware import VISIBLE
from shadho_like.launch import Launch
from shadho_like.paths import ExperimentPaths
from shadho_like.runner.codec import Codec
from shadho_like.settings import Settings
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Outcome

_SLOTS = 32
_MOST_LOSSES = 20
_METRIC = "ended"


@dataclass(slots=True)
class _Sent:
    """A job that Work Queue has."""

    data: str
    log: Path | None
    attempt: AttemptId
    started_s: float


class WorkerJobs:
    """Runs jobs on whatever workers come.

    Args:
        folder: for what travels, made and removed here.
        name: by which workers find the jobs, unless a setting says otherwise.
        settings: of the cluster, which override those of `.shadhorc`.
        known: objects that jobs refer to, which go to each worker once.
        slots: how many jobs are sent at once; None for enough for some machines.
        job_timeout_s: a job that runs longer is killed; None for no limit.
        codec: how results come back; None for JSON.

    Attributes:
        notices: lines for the person at the terminal, not yet taken.

    Raises:
        OptionError: a setting that cannot be.
        UserError: the searches' configs cannot be sent to other processes.
        WorldError: Work Queue is not installed, or its port is in use.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        settings: Mapping[str, Any],
        known: Sequence[Any],
        *,
        slots: int | None = None,
        job_timeout_s: float | None = None,
        codec: Codec | None = None,
    ) -> None:
        workqueue = Settings.load().workqueue
        for key, value in settings.items():
            setattr(workqueue, key, value)
        self.notices: list[str] = []
        self.slots = slots or _SLOTS
        self._known = known
        self._codec = codec
        self._sent: dict[int, _Sent] = {}
        self._ends: list[JobEnd] = []
        self._by_value = _users_modules()
        for module in self._by_value:
            cloudpickle.register_pickle_by_value(module)
        self._paths = ExperimentPaths(folder.absolute())
        self._engine = WorkQueueEngine(workqueue.engine_options(name))
        launch = Launch(
            experiment=name,
            paths=self._paths,
            objective=_RunJob(known, codec),
            metric=_METRIC,
            resources=workqueue.resources(),
            trial_timeout_s=job_timeout_s,
        )
        try:
            self._engine.open(launch)
        except BaseException:
            self.close()
            raise

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._engine.now()

    def free(self) -> int:
        """Return how many more jobs can be sent now: with more than the workers can take, what is next were decided too early."""
        taken = (self._engine.status().slots or 0) + 1
        return max(0, min(self.slots, taken) - len(self._sent))

    def start(self, ticket: int, job: Job, log: Path | None = None) -> str | None:
        """Send a job; which device it gets, its worker decides."""
        try:
            data = base64.b64encode(dumps(job, self._known)).decode()
        except Exception as error:
            reason = f"it cannot be sent to another process: {shadho_worker.describe(error)[0]}"
            self._ends.append(JobEnd(ticket, None, self.now(), self.now(), failure=Failure(FailureKind.ERROR, reason)))
        else:
            self._submit(_Sent(data, log, AttemptId(ticket, 1), self.now()))
        return None

    def _submit(self, sent: _Sent) -> None:
        self._sent[sent.attempt.trial] = sent
        self._engine.submit([Attempt(sent.attempt, {"job": sent.data}, seed=0)])

    def end(self, tickets: Collection[int]) -> None:
        """Kill these jobs."""
        gone = [self._sent.pop(ticket).attempt for ticket in tickets if ticket in self._sent]
        self._engine.cancel(gone)
        self._ends = [end for end in self._ends if end.ticket not in tickets]

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[JobEnd]:
        """Return the jobs that ended, as `Jobs.wait`.

        Raises:
            EngineError: Work Queue's manager dies again and again.
            WorldError: a job's log cannot be kept.
        """
        for update in self._engine.wait(0 if self._ends else timeout_s, wake_fd):
            if isinstance(update, Notice):
                self.notices.append(update.text)
                continue
            sent = self._sent[update.attempt.trial]
            if isinstance(update, AttemptStarted):
                sent.started_s = update.time_s
            elif isinstance(update, AttemptFinished):
                self._finish(sent, update)
            elif isinstance(update, AttemptLost):
                self._lose(sent, update)
        ends, self._ends = self._ends, []
        return ends

    def _finish(self, sent: _Sent, update: AttemptFinished) -> None:
        ticket = update.attempt.trial
        del self._sent[ticket]
        self._keep_log(sent)
        device, value, failure = self._read(update.outcome)
        self._ends.append(JobEnd(ticket, device, update.started_s, update.time_s, value, failure))

    def _read(self, outcome: Outcome) -> tuple[str | None, Any, Failure | None]:
        """Return the device, the value and the failure that a worker tells of."""
        if isinstance(outcome, Failure):
            if outcome.kind is FailureKind.BAD_RESULT:
                outcome = replace(outcome, message=f"its result cannot come back as JSON, and needs a codec: {outcome.message}")
            return None, None, outcome
        device, value = outcome.metrics.get("device"), outcome.metrics.get("value")
        named = shadho_worker.one_line(device) if isinstance(device, str) and device else None
        if self._codec is None:
            return named, value, None
        try:
            return named, self._codec.decode(base64.b64decode(str(value), validate=True)), None
        except Exception as error:
            message = f"what came back cannot be decoded: {shadho_worker.describe(error)[0]}"
            return named, None, Failure(FailureKind.BAD_RESULT, message)

    def _lose(self, sent: _Sent, update: AttemptLost) -> None:
        """Send a job again whose worker went away."""
        if sent.attempt.attempt <= _MOST_LOSSES:
            sent.attempt = AttemptId(sent.attempt.trial, sent.attempt.attempt + 1)
            self._submit(sent)
            return
        del self._sent[sent.attempt.trial]
        message = f"lost {sent.attempt.attempt} machines in a row, the last one: {update.reason}"
        failure = Failure(FailureKind.LOST_WORKER, message)
        self._ends.append(JobEnd(sent.attempt.trial, None, sent.started_s, self.now(), failure=failure))

    def _keep_log(self, sent: _Sent) -> None:
        if sent.log is None:
            return
        came = self._paths.log(sent.attempt)
        try:
            sent.log.parent.mkdir(parents=True, exist_ok=True)
            sent.log.write_bytes(came.read_bytes() if came.is_file() else b"")
        except OSError as error:
            message = f"{sent.log} cannot be written: {error.strerror}"
            raise WorldError(message, transient=True) from error
        remove_folder(came.parent)

    def close(self) -> None:
        """End the manager, and with it what runs on workers; leave nothing here."""
        self._engine.close()
        remove_folder(self._paths.root)
        for module in self._by_value:
            with suppress(ValueError):
                cloudpickle.unregister_pickle_by_value(module)
        self._by_value = []


class _RunJob:
    """What a worker evaluates: loads the searches once, then runs a job for each task."""

    def __init__(self, known: Sequence[Any], codec: Codec | None) -> None:
        self._known = tuple(known)
        self._codec = codec

    def __call__(self, hparams: Any) -> dict[str, Any]:
        value = loads(base64.b64decode(hparams["job"]), self._known).run()
        if self._codec is not None:
            value = base64.b64encode(self._codec.encode(value)).decode()
        return {_METRIC: 1.0, "value": value, "device": os.environ.get(VISIBLE, "")}


def _users_modules() -> list[Any]:
    """Return the loaded modules that are neither installed nor part of this package."""
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    already = cloudpickle.list_registry_pickle_by_value()
    return [
        module
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None))
        and not any(Path(file).is_relative_to(path) for path in installed)
        and not name.startswith("shadho_")
        and name != "__main__"
        and name not in already
    ]
