"""Workers in HTCondor's queue: a cluster of jobs, each of which is a worker."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from shadho_like.batch.base import BatchSystem, FactoryWords, Place, WorkerJob, lines

_PLACES = {
    1: Place.WAITING,
    2: Place.RUNNING,
    3: Place.ENDING,
    4: Place.GONE,
    5: Place.HELD,
    6: Place.ENDING,
    7: Place.RUNNING,
}


def _script(job: WorkerJob) -> str:
    return lines(
        f"# condor_submit takes this file. {job.count} workers for {job.search}.",
        "universe = vanilla",
        f"batch_name = {job.job_name}",
        f"executable = {_literal(job.argv[0])}",
        f'arguments = "{" ".join(map(_quoted, job.argv[1:]))}"',
        "transfer_executable = false",
        "# The driver's rendezvous file is found on a common file system.",
        "should_transfer_files = NO",
        f'environment = "{" ".join(_quoted(f"{name}={value}") for name, value in _environment(job).items())}"',
        f"output = {_literal(job.logs)}/$(ClusterId).$(ProcId).log",
        f"error = {_literal(job.logs)}/$(ClusterId).$(ProcId).log",
        f"log = {_literal(job.logs)}/$(ClusterId).events",
        f"request_cpus = {job.cores}",
        f"request_gpus = {job.gpus}" if job.gpus else None,
        f"request_memory = {job.memory_mb}" if job.memory_mb else None,
        f"allowed_job_duration = {job.time_s}" if job.time_s else None,
        "# Told to end, a worker lets its trials take a checkpoint.",
        "kill_sig = SIGTERM",
        "remove_kill_sig = SIGTERM",
        f"job_max_vacate_time = {job.notice_s}",
        *job.batch_options,
        "",
        f"queue {job.count}",
    )


def _environment(job: WorkerJob) -> dict[str, str]:
    """Return what a job's environment has: it begins with none."""
    return {"SHADHO_HOME": job.home, **({"PATH": job.path} if job.path else {})}


def _factory_options(job: WorkerJob) -> str:
    """Return the lines that the factory adds to its submit description, as it reads them: in one argument, with codes for line ends."""
    described = [
        f"batch_name = {job.job_name}",
        f"request_gpus = {job.gpus}" if job.gpus else None,
        f"request_memory = {job.memory_mb}" if job.memory_mb else None,
        f"allowed_job_duration = {job.time_s}" if job.time_s else None,
        "kill_sig = SIGTERM",
        "remove_kill_sig = SIGTERM",
        f"job_max_vacate_time = {job.notice_s}",
        *job.batch_options,
    ]
    return "\\n".join(line.replace("\\", "\\\\") for line in described if line is not None)


def _quoted(word: str) -> str:
    """Return a word as it stands in HTCondor's own quoting: double quotes around the line, single ones around a word, both doubled."""
    text = _literal(word).replace('"', '""')
    return f"'{text.replace(chr(39), chr(39) * 2)}'" if re.search(r"[\s']", text) else text


def _literal(text: str) -> str:
    """Return a text of which HTCondor takes no part for a name of its own: $(...) is one."""
    return text.replace("$", "$(DOLLAR)")


def _ids(said: str, count: int) -> tuple[str, ...]:
    match = re.search(r"^(\d+)\.0( - \d+\.\d+)?$", said.strip(), re.MULTILINE)
    return tuple(f"{match[1]}.{number}" for number in range(count)) if match else ()


def _places(said: str) -> Mapping[str, Place]:
    rows = json.loads(said.strip() or "[]")
    return {f"{row['ClusterId']}.{row['ProcId']}": _PLACES.get(row["JobStatus"], Place.ENDING) for row in rows}


def _remove(ids: Sequence[str]) -> list[list[str]]:
    return [["condor_rm", *ids]]


HTCONDOR = BatchSystem(
    name="htcondor",
    suffix=".sub",
    submit=("condor_submit", "-terse"),
    ids=_ids,
    listing=("condor_q", "-json", "-attributes", "ClusterId,ProcId,JobStatus"),
    places=_places,
    remove=_remove,
    # It sends remove_kill_sig first, and waits for job_max_vacate_time.
    drain=_remove,
    script=_script,
    factory=FactoryWords("condor", _factory_options),
)
