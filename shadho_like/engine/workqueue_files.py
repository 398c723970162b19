"""The files that travel with Work Queue's tasks: those that all share, and a folder for what comes back from each."""

from __future__ import annotations

import itertools
import math
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import cloudpickle
import shadho_checkpoint
import shadho_gpus
import shadho_warm
import shadho_worker

from shadho_like import checkpoint, sandbox
from shadho_like.checkpoint import Incoming
from shadho_like.engine.supervisor import remove_folder
from shadho_like.engine.workqueue_command import TIME_LIMIT, shell_text
from shadho_like.engine.workqueue_environment import ARCHIVE, archive
from shadho_like.engine.workqueue_options import WorkQueueOptions
from shadho_like.launch import Launch
from shadho_like.resources import Resources
from shadho_like.trial import Attempt, AttemptId

_LARGEST_OUTPUT = 16 * 1024**3
_ARCHIVE_LINK = "checkpoint.in"
_MIB = 1024 * 1024


class TaskFiles:
    """The files of the tasks on this side: `in`, which all share, and `out`, with a folder for what comes back from each.

    Args:
        launch: what the tasks run.
        options: the interpreter and the environment of trials on workers.

    Attributes:
        reports: whether what runs may report while it runs.
    """

    def __init__(self, launch: Launch, options: WorkQueueOptions) -> None:
        self._launch = launch
        self._python = options.python
        self._environment = options.environment_path
        self._in = launch.paths.sandboxes / "in"
        self.out = launch.paths.sandboxes / "out"
        self.log = launch.paths.sandboxes / "manager.log"
        self._numbers = itertools.count()
        self._empty: list[Path] = []
        takes_context = launch.objective is not None and shadho_worker.takes_context(launch.objective)
        self.reports = launch.trials_per_task == 1 and (launch.command is not None or takes_context)
        self._nested = {str(PurePosixPath(file.remote).parent) for file in launch.output_files} - {"."}

    def make(self) -> None:
        """Empty the folders and make what all tasks share.

        Raises:
            UserError: the objective cannot be sent to other processes.
        """
        remove_folder(self._launch.paths.sandboxes)
        for folder in (self._in, self.out):
            folder.mkdir(parents=True)
        if self._launch.objective is not None:
            with _by_value(self._launch.objective):
                sandbox.save_objective(self._launch.objective, self._launch.paths.objective)
            self._in.joinpath(shadho_warm.LAUNCHER_FILE).write_text(shadho_warm.LAUNCHER, encoding="utf-8")

    def remove(self) -> None:
        """Leave nothing."""
        remove_folder(self._launch.paths.sandboxes)
        self._launch.paths.objective.unlink(missing_ok=True)

    def plan(self) -> dict[str, Any]:
        """Return what the manager is to know of every task."""
        disk_mb = self._launch.resources.disk_mb
        watched = [shadho_worker.EVENTS_FILE] if self.reports else []
        outputs = [*(remote for remote, *_ in self._outputs()), *watched]
        return {
            "folder": str(self.out),
            "command": shell_text(self._launch, outputs, self._python, self._environment),
            "inputs": self._inputs(),
            "outputs": self._outputs(),
            "watched": watched,
            "resources": needs(self._launch.resources),
            "features": shadho_gpus.wanted(self._launch.resources.gpu_model, self._launch.resources.gpu_memory_mb),
            "largest_file": disk_mb * _MIB if disk_mb else _LARGEST_OUTPUT,
        }

    def _inputs(self) -> list[tuple[str, str, bool]]:
        """Return (path here, path there, may be kept); links stand for the files, in whose paths Work Queue would replace $OS."""
        files = [(path, path.name, True) for path in sandbox.worker_modules()]
        files += [(file.local, file.remote, file.cache) for file in self._launch.input_files]
        if self._launch.objective is not None:
            files += [(self._launch.paths.objective, shadho_worker.OBJECTIVE_FILE, True)]
            files += [(self._in / shadho_warm.LAUNCHER_FILE, shadho_warm.LAUNCHER_FILE, True)]
        if (packed := archive(self._environment)) is not None:
            files += [(packed, ARCHIVE, True)]
        inputs = []
        for number, (local, remote, cache) in enumerate(files):
            link = self._in / str(number)
            link.symlink_to(local)
            inputs.append((f"../in/{number}", remote, cache))
        return inputs

    def _outputs(self) -> list[tuple[str, bool, bool]]:
        """Return (path there, may be kept, only of tasks that Work Queue takes for failed)."""
        result = shadho_worker.RESULT_FILE if self._launch.trials_per_task == 1 else shadho_worker.RESULTS_FILE
        users = [(file.remote, file.cache, False) for file in self._launch.output_files]
        archive = [] if self._launch.checkpoints else [(shadho_checkpoint.ARCHIVE_FILE, False, False)]
        return [(result, False, False), (shadho_worker.LOG_FILE, False, True), *archive, *users]

    def missing_inputs(self) -> list[str]:
        """Return the input files that are not here any more."""
        files = [*(file.local for file in self._launch.input_files), *([self._environment] if self._environment else [])]
        return [str(file) for file in files if not file.exists()]

    def folder(self) -> Path:
        """Return an empty folder for what comes back from a task. They are used again: making one takes as long as a short task."""
        if self._empty:
            return self._empty.pop()
        folder = self.out / str(next(self._numbers))
        folder.mkdir()
        for nested in self._nested:
            folder.joinpath(nested).mkdir(parents=True, exist_ok=True)
        return folder

    def empty(self, folder: Path) -> None:
        """Take a folder back, to which nobody writes any more."""
        try:
            for name in os.listdir(folder):
                os.unlink(folder / name)
        except OSError:
            # There are folders in it.
            remove_folder(folder)
        else:
            self._empty.append(folder)

    def order(self, number: int, folder: Path, attempts: Sequence[Attempt], incoming: Incoming) -> dict[str, Any]:
        """Return the order that submits a task."""
        files = sandbox.attempt_files(self._launch, attempts)
        order: dict[str, Any] = {"submit": number, "folder": folder.name}
        order["buffers"] = {name: data.decode() for name, data in files.items()}
        if (archive := incoming.archive) is not None:
            folder.joinpath(_ARCHIVE_LINK).symlink_to(archive)
            order["inputs"] = [[f"{folder.name}/{_ARCHIVE_LINK}", shadho_checkpoint.INCOMING_FILE]]
        limit_s = self._launch.trial_timeout_s
        limit = {} if limit_s is None else {TIME_LIMIT: str(math.ceil(limit_s * len(attempts)))}
        return {**order, "environment": {**self._launch.environment, **limit}}

    def incoming(self, attempts: Sequence[Attempt]) -> Incoming:
        """Return the checkpoint that travels to a task's trial; trials that share a task have none."""
        if len(attempts) > 1 or not self.reports:
            return Incoming(None)
        shared = self._launch.checkpoints
        root, attempt = shared or self._launch.paths.checkpoints, attempts[0]
        return checkpoint.incoming(root, attempt.id.trial, attempt.start_from, pack=shared is None)

    def keep_archive(self, folder: Path, attempt: AttemptId) -> str | None:
        """Keep the checkpoint that a task sent back; return its id, None if it sent none.

        Raises:
            WorldError: it cannot be kept.
        """
        shared = self._launch.checkpoints is not None
        return None if shared else checkpoint.keep_archive(self._launch.paths.checkpoints, folder, attempt)


@contextmanager
def _by_value(objective: Callable[..., Any]) -> Iterator[None]:
    """Have the objective's own module travel in the pickle, unless it is installed: workers do not have the user's files."""
    module = sys.modules.get(getattr(objective, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    installed = any(Path(file).is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")) if file else True
    if installed or module is None or module.__name__ in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def needs(resources: Resources) -> dict[str, int]:
    """Return what a task asks of a worker. Without anything it would take a whole worker: so it takes one core."""
    asked = {"cores": resources.cores, "memory": resources.memory_mb, "disk": resources.disk_mb, "gpus": resources.gpu_slots}
    given = {name: amount for name, amount in asked.items() if amount is not None}
    return given if given.get("gpus") or "cores" in given else {"cores": 1, **given}
