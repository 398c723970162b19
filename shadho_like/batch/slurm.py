"""Workers in Slurm's queue: an array of jobs, each of which is a worker."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from shadho_like.batch.base import BatchSystem, FactoryWords, Place, WorkerJob, clock, lines

_PLACES = {
    "COMPLETING": Place.ENDING,
    "PENDING": Place.WAITING,
    "CONFIGURING": Place.WAITING,
    "REQUEUED": Place.WAITING,
    "REQUEUE_FED": Place.WAITING,
    "REQUEUE_HOLD": Place.HELD,
    "SPECIAL_EXIT": Place.HELD,
    "RESV_DEL_HOLD": Place.HELD,
    "RUNNING": Place.RUNNING,
    "SUSPENDED": Place.RUNNING,
    "STOPPED": Place.RUNNING,
    "SIGNALING": Place.ENDING,
    "STAGE_OUT": Place.ENDING,
    "RESIZING": Place.RUNNING,
}


def _script(job: WorkerJob) -> str:
    return lines(
        "#!/bin/sh",
        f"#SBATCH --job-name={job.job_name}",
        f"#SBATCH --array=1-{job.count}",
        f"#SBATCH --output={shlex.quote(job.logs.replace('%', '%%') + '/%A_%a.log')}",
        "#SBATCH --nodes=1 --ntasks=1",
        f"#SBATCH --cpus-per-task={job.cores}",
        f"#SBATCH --gres={_gres(job)}" if job.gpus else None,
        f"#SBATCH --mem={job.memory_mb}M" if job.memory_mb else None,
        f"#SBATCH --time={clock(job.time_s)}" if job.time_s else None,
        f"# The worker hears of its end, by time or by preemption, {job.notice_s} s before.",
        f"#SBATCH --signal=B:TERM@{job.notice_s}",
        "#SBATCH --no-requeue",
        f"#SBATCH {shlex.join(job.batch_options)}" if job.batch_options else None,
        "",
        f"export SHADHO_HOME={shlex.quote(job.home)}",
        "# In the place of the shell: Slurm's signal to the script is the worker's.",
        f"exec {job.command}",
    )


def _gres(job: WorkerJob) -> str:
    return f"gpu:{f'{job.gpu_type}:' if job.gpu_type else ''}{job.gpus}"


def _factory_options(job: WorkerJob) -> str:
    """Return what the factory leaves out, memory too: some versions write it as two words."""
    return shlex.join(
        [
            f"--job-name={job.job_name}",
            *([f"--gres={_gres(job)}"] if job.gpus else []),
            *([f"--mem={job.memory_mb}M"] if job.memory_mb else []),
            *([f"--time={clock(job.time_s)}"] if job.time_s else []),
            *(f"--signal=B:TERM@{job.notice_s}", "--no-requeue", *job.batch_options),
        ]
    )


def _ids(said: str, count: int) -> tuple[str, ...]:
    match = re.search(r"^(\d+)(;.*)?$", said.strip(), re.MULTILINE)
    return tuple(f"{match[1]}_{number}" for number in range(1, count + 1)) if match else ()


def _places(said: str) -> Mapping[str, Place]:
    rows = [line.split("|") for line in said.splitlines() if "|" in line]
    return {row[0].strip(): _PLACES.get(row[1].strip(), Place.ENDING) for row in rows}


def _remove(ids: Sequence[str]) -> list[list[str]]:
    return [["scancel", *ids]]


def _drain(ids: Sequence[str]) -> list[list[str]]:
    return [["scancel", "--batch", "--signal=TERM", *ids]]


SLURM = BatchSystem(
    name="slurm",
    suffix=".sbatch",
    submit=("sbatch", "--parsable"),
    ids=_ids,
    listing=("squeue", "--me", "--noheader", "--array", "--format=%i|%T"),
    places=_places,
    remove=_remove,
    drain=_drain,
    script=_script,
    factory=FactoryWords("slurm", _factory_options),
)
