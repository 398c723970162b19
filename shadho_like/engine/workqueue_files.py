"""What Work Queue's tasks run and which files travel with them: the command's text, the files that all share, a folder for each."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import shadho_warm
import shadho_worker

from shadho_like import sandbox
from shadho_like.engine.supervisor import remove_folder
from shadho_like.launch import Launch
from shadho_like.resources import Resources
from shadho_like.trial import Attempt

_LAUNCHER_FILE = "shadho_launch.sh"
_LARGEST_OUTPUT = 16 * 1024**3
_MIB = 1024 * 1024

# The shell that Work Queue starts waits for a second one, which is the command's own: so a signal that ends the command is seen
# as one, and what it left can be looked at. A worker would follow a link, wait for a pipe's writer, and send a whole folder.
_COMMAND = """exec >{log} 2>&1 </dev/null
trap : HUP INT TERM
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${{PYTHONPATH:+:$PYTHONPATH}}" {environment}
{command}
status=$?
for file in {outputs}; do
  if [ -L "$file" ] || {{ [ -e "$file" ] && [ ! -f "$file" ]; }}; then
    echo "shadho_like: $file is a link or no regular file, and is not sent back"
    rm -rf "$file"
  fi
done
exit $status
"""


class TaskFiles:
    """The files of the tasks on this side: `in`, which all share, and `out`, with a folder for what comes back from each.

    Args:
        launch: what the tasks run.
        python: the interpreter that evaluates callables on workers; None for a worker's own choice.
    """

    def __init__(self, launch: Launch, python: str | None) -> None:
        self._launch = launch
        self._python = python
        self._in = launch.paths.sandboxes / "in"
        self.out = launch.paths.sandboxes / "out"
        self.log = launch.paths.sandboxes / "manager.log"
        self._nested = {str(PurePosixPath(file.remote).parent) for file in launch.output_files} - {"."}

    def make(self) -> None:
        """Empty the folders, and put what all tasks share where a name has nothing in it that Work Queue would take for its own."""
        remove_folder(self._launch.paths.sandboxes)
        for folder in (self._in, self.out):
            folder.mkdir(parents=True)
        if self._launch.objective is not None:
            sandbox.save_objective(self._launch.objective, self._launch.paths.objective)
            self._in.joinpath(_LAUNCHER_FILE).write_text(shadho_warm.LAUNCHER, encoding="utf-8")

    def remove(self) -> None:
        """Leave nothing."""
        remove_folder(self._launch.paths.sandboxes)
        self._launch.paths.objective.unlink(missing_ok=True)

    def plan(self) -> dict[str, Any]:
        """Return what the manager is to know of every task."""
        disk_mb = self._launch.resources.disk_mb
        return {
            "folder": str(self.out),
            "command": self._command(),
            "inputs": self._inputs(),
            "outputs": self._outputs(),
            "resources": needs(self._launch.resources),
            "largest_file": disk_mb * _MIB if disk_mb else _LARGEST_OUTPUT,
        }

    def _command(self) -> str:
        python = shlex.quote(self._python or "")
        return _COMMAND.format(
            log=shadho_worker.LOG_FILE,
            environment=f"SHADHO_PYTHON={python} SHADHO_WARM=" if self._python else "",
            command=f"sh -c {shlex.quote(self._launch.command)}" if self._launch.command else f"sh ./{_LAUNCHER_FILE}",
            outputs=" ".join(shlex.quote(remote) for remote, _ in self._outputs()),
        )

    def _inputs(self) -> list[tuple[str, str, bool]]:
        """Return (path here, path there, may be kept). Links stand for the files: in a path, Work Queue replaces $OS and $ARCH."""
        files = [(sandbox.worker_module_path(), shadho_worker.WORKER_FILE, True)]
        files += [(file.local, file.remote, file.cache) for file in self._launch.input_files]
        if self._launch.objective is not None:
            files += [(self._launch.paths.objective, shadho_worker.OBJECTIVE_FILE, True)]
            files += [(self._in / _LAUNCHER_FILE, _LAUNCHER_FILE, True)]
        inputs = []
        for number, (local, remote, cache) in enumerate(files):
            link = self._in / str(number)
            link.symlink_to(local)
            inputs.append((f"../in/{number}", remote, cache))
        return inputs

    def _outputs(self) -> list[tuple[str, bool]]:
        result = shadho_worker.RESULT_FILE if self._launch.trials_per_task == 1 else shadho_worker.RESULTS_FILE
        return [(result, False), (shadho_worker.LOG_FILE, False), *((file.remote, file.cache) for file in self._launch.output_files)]

    def missing_inputs(self) -> list[str]:
        """Return the input files that are not here any more."""
        return [str(file.local) for file in self._launch.input_files if not file.local.exists()]

    def order(self, number: int, attempts: Sequence[Attempt]) -> dict[str, Any]:
        """Make the folder of a task and return the order that submits it."""
        folder = self.out / str(number)
        os.mkdir(folder)
        for nested in self._nested:
            folder.joinpath(nested).mkdir(parents=True, exist_ok=True)
        files = sandbox.attempt_files(self._launch, attempts)
        order: dict[str, Any] = {"submit": number, "buffers": {name: data.decode() for name, data in files.items()}}
        limit_s = self._launch.trial_timeout_s
        return order if limit_s is None else {**order, "timeout_s": limit_s * len(attempts)}


def needs(resources: Resources) -> dict[str, int]:
    """Return what a task asks of a worker. Without anything it would take a whole worker: so it takes one core."""
    asked = {"cores": resources.cores, "memory": resources.memory_mb, "disk": resources.disk_mb, "gpus": resources.gpus}
    given = {name: amount for name, amount in asked.items() if amount is not None}
    return given if given.get("gpus") or "cores" in given else {"cores": 1, **given}
