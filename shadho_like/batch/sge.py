"""Workers in Grid Engine's queue (SGE, Univa, Altair; Notre Dame's CRC): an array job, each task of which is a worker."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from shadho_like.batch.base import BatchSystem, FactoryWords, Place, WorkerJob, clock, lines
from shadho_like.batch.shell import environment, run_worker


def _script(job: WorkerJob) -> str:
    return lines(
        "#!/bin/sh",
        "#$ -S /bin/sh",
        f"#$ -N {job.job_name}",
        f"#$ -t 1-{job.count}",
        "#$ -cwd -j y",
        f"#$ -o {shlex.quote(job.logs)}",
        "# The names of the parallel environment (smp) and of the resources are the site's: see qconf -spl and qconf -sc, and give",
        "# others after `--`, which stand below and win.",
        f"#$ -pe smp {job.cores}" if job.cores > 1 else None,
        f"#$ -l gpu={job.gpus}" if job.gpus else None,
        f"#$ -l h_vmem={-(-job.memory_mb // job.cores)}M" if job.memory_mb else None,
        f"#$ -l h_rt={clock(job.time_s)}" if job.time_s else None,
        "# USR2 comes as long before the end as the queue's `notify` says.",
        "#$ -notify -r n",
        f"#$ {shlex.join(job.batch_options)}" if job.batch_options else None,
        "",
        environment(job),
        run_worker(job, "USR2"),
    )


def _factory_options(job: WorkerJob) -> str:
    """Return what the factory leaves out; it asks for the parallel environment smp, and nothing else."""
    return shlex.join(
        [
            *("-N", job.job_name, "-notify", "-r", "n"),
            *(["-l", f"gpu={job.gpus}"] if job.gpus else []),
            *(["-l", f"h_vmem={-(-job.memory_mb // job.cores)}M"] if job.memory_mb else []),
            *(["-l", f"h_rt={clock(job.time_s)}"] if job.time_s else []),
            *job.batch_options,
        ]
    )


def _ids(said: str, count: int) -> tuple[str, ...]:
    match = re.search(r"^(\d+)(\.\d+-\d+:\d+)?$", said.strip(), re.MULTILINE)
    return tuple(f"{match[1]}.{number}" for number in range(1, count + 1)) if match else ()


def _places(said: str) -> Mapping[str, Place]:
    rows = [line.split() for line in said.splitlines()]
    return {f"{row[0]}.{row[-1]}": _place(row[4]) for row in rows if len(row) > 8 and row[0].isdigit() and row[-1].isdigit()}


def _place(state: str) -> Place:
    """Return what the letters say: d deleted, h held, q queued, w waiting, t transferring, r running, R restarted, s and T suspended."""
    if "d" in state:
        return Place.ENDING
    if "h" in state or "E" in state:
        return Place.HELD
    return Place.RUNNING if set(state) & set("rtsST") else Place.WAITING


def _remove(ids: Sequence[str]) -> list[list[str]]:
    return [["qdel", *ids]]


SGE = BatchSystem(
    name="sge",
    suffix=".sge",
    submit=("qsub", "-terse"),
    ids=_ids,
    listing=("qstat", "-g", "d"),
    places=_places,
    remove=_remove,
    # With -notify, qdel sends USR2 before it kills.
    drain=_remove,
    script=_script,
    factory=FactoryWords("sge", _factory_options),
)
