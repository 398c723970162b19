"""Workers in the queue of PBS Professional or OpenPBS: an array job, each of whose subjobs is a worker."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from shadho_like.batch.base import BatchSystem, FactoryWords, Place, WorkerJob, clock, lines
from shadho_like.batch.shell import environment, run_worker
from shadho_like.errors import OptionError

_PLACES = {
    "B": Place.RUNNING,
    "E": Place.ENDING,
    "F": Place.GONE,
    "H": Place.HELD,
    "M": Place.GONE,
    "Q": Place.WAITING,
    "R": Place.RUNNING,
    "S": Place.RUNNING,
    "T": Place.WAITING,
    "U": Place.RUNNING,
    "W": Place.WAITING,
    "X": Place.GONE,
}


def _script(job: WorkerJob) -> str:
    gpus = f":ngpus={job.gpus}" if job.gpus else ""
    memory = f":mem={job.memory_mb}mb" if job.memory_mb else ""
    return lines(
        "#!/bin/sh",
        f"#PBS -N {job.job_name}",
        # PBS has no arrays of one.
        f"#PBS -J 1-{job.count}" if job.count > 1 else None,
        "#PBS -j oe",
        f"#PBS -o {shlex.quote(job.logs)}",
        f"#PBS -l select=1:ncpus={job.cores}{gpus}{memory}",
        f"#PBS -l walltime={clock(job.time_s)}" if job.time_s else None,
        # Subjobs of an array must be able to run again.
        "#PBS -r n" if job.count == 1 else None,
        f"#PBS {shlex.join(job.batch_options)}" if job.batch_options else None,
        "",
        environment(job),
        run_worker(job, "USR1"),
    )


def _factory_options(job: WorkerJob) -> str:
    """Return what the factory leaves out; it asks for nodes=1:ppn=CORES, which goes with no `select`, and so with no GPUs.

    Raises:
        OptionError: the workers are to have GPUs.
    """
    if job.gpus:
        message = "--auto on PBS: work_queue_factory has no way to ask PBS for GPUs: submit a number of workers, -n, or leave --gpus out"
        raise OptionError(message)
    return shlex.join(
        [
            *("-N", job.job_name, "-r", "n"),
            *(["-l", f"mem={job.memory_mb}mb"] if job.memory_mb else []),
            *(["-l", f"walltime={clock(job.time_s)}"] if job.time_s else []),
            *job.batch_options,
        ]
    )


def _ids(said: str, count: int) -> tuple[str, ...]:
    match = re.search(r"^(\d+)(\[\])?(\.\S+)?$", said.strip(), re.MULTILINE)
    if match is None:
        return ()
    number, array, server = match[1], match[2], match[3] or ""
    return tuple(f"{number}[{index}]{server}" for index in range(1, count + 1)) if array else (f"{number}{server}",)


def _places(said: str) -> Mapping[str, Place]:
    jobs = json.loads(said or "{}").get("Jobs", {})
    return {name: _PLACES.get(fields.get("job_state", ""), Place.ENDING) for name, fields in jobs.items()}


def _remove(ids: Sequence[str]) -> list[list[str]]:
    return [["qdel", *ids]]


def _drain(ids: Sequence[str]) -> list[list[str]]:
    return [["qsig", "-s", "SIGUSR1", *ids]]


PBS = BatchSystem(
    name="pbs",
    suffix=".pbs",
    submit=("qsub",),
    ids=_ids,
    listing=("qstat", "-t", "-f", "-F", "json"),
    places=_places,
    remove=_remove,
    drain=_drain,
    script=_script,
    factory=FactoryWords("pbs", _factory_options),
)
