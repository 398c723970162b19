"""The results of jobs, one file in each experiment's folder, named after the digest of its config: what is there is not run again."""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle

from shadho_like.engine.jobs import JobEnd
from shadho_like.errors import WorldError
from shadho_like.runner.jobs import ExperimentJob, GPUJobResult

_WORTH_SYNC_S = 0.5
_FIELDS = ("success", "error", "gpu_id", "out_file", "result")


def kept_path(job: ExperimentJob) -> Path:
    """Return the file of a job's result."""
    return Path(job.base_dir) / f"experiment_result_{job.digest}.pkl"


def keep(job: ExperimentJob, result: GPUJobResult, end: JobEnd) -> None:
    """Keep a result: its file is there whole when this returns, whatever becomes of this process.

    A loss of power does not take it either, unless the job is run again in less time than it takes to be sure of that.

    Raises:
        WorldError: the file system refuses.
    """
    value = {**{name: getattr(result, name) for name in _FIELDS}, "finished_s": end.finished_s}
    write_whole(kept_path(job), _pickled(value), sync=end.finished_s - end.started_s >= _WORTH_SYNC_S)


def _pickled(value: Any) -> bytes:
    """Return a value as bytes; classes of the user's script as their names, so that the same script finds its own again."""
    try:
        return pickle.dumps(value)
    except Exception:
        return bytes(cloudpickle.dumps(value))


def kept(job: ExperimentJob, since_s: float) -> GPUJobResult | None:
    """Return what became of a job, if it has finished since some time; a file that cannot be read is as good as none."""
    path = kept_path(job)
    # Loading runs code of the user's classes, which may have changed in any way.
    with suppress(Exception):
        value = pickle.loads(path.read_bytes())
        if value["finished_s"] >= since_s:
            return GPUJobResult(job=job, **{name: value[name] for name in _FIELDS})
    return None


def write_whole(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file such that it is there whole or not at all; with `sync`, after a loss of power too.

    Raises:
        WorldError: the file system refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        message = f"{path} cannot be written: {error.strerror}; all results that were shown as done are kept"
        raise WorldError(message, transient=True) from error
