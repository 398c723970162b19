"""What `work_queue_factory` is told so that it keeps as many workers as there is work: its command, the script that its jobs run,
and the answer to its question. Pure text and numbers.

The factory knows no password, no rendezvous file and no `wq_worker`, and would announce itself to a public catalog. So it asks, in
the place of the manager and of a catalog, a port of the process that keeps it; and its jobs source a script of ours.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from shadho_like.batch.base import FactoryWords, WorkerJob, lines
from shadho_like.batch.manager_status import ManagerStatus
from shadho_like.batch.shell import environment
from shadho_like.errors import OptionError

PROGRAM = "work_queue_factory"
LOCAL = "local"
SCRIPT = "wq_worker.sh"
IDLE_S = 300
"""How long a worker without work stays, unless the user says otherwise."""
NO_DRIVER_S = 3600
"""How long the factory waits for a driver."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many workers there are at least and at most."""

    least: int
    most: int

    @classmethod
    def read(cls, text: str) -> Limits:
        """Return the limits that MIN:MAX says.

        Raises:
            OptionError: it says none.
        """
        match = re.fullmatch(r"(\d+):(\d+)", text)
        limits = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if limits.most < 1 or limits.least > limits.most:
            message = f"--auto takes MIN:MAX workers, such as 0:20, not {text!r}: MAX is at least 1, and MIN not above it"
            raise OptionError(message)
        return limits

    def __str__(self) -> str:
        return f"{self.least}:{self.most}"


ON_THIS_MACHINE = FactoryWords(LOCAL, lambda _: "")


def check_local(job: WorkerJob, limits: Limits) -> None:
    """Refuse workers of one machine that would share out the same GPUs.

    Raises:
        OptionError: there may be several.
    """
    if job.gpus and limits.most > 1:
        message = f"--batch {LOCAL}: several workers would each offer the same GPUs of this machine: --auto 0:1, or --gpus 0"
        raise OptionError(message)


def command(job: WorkerJob, limits: Limits, words: FactoryWords, folder: str, port: int) -> list[str]:
    """Return the factory's command, to be run in `folder`; `port`, on the loopback address, answers for the manager."""
    options = words.options(job)
    return [
        PROGRAM,
        *(f"--batch-type={words.batch_type}", "--parent-death", f"--scratch-dir={folder}/factory"),
        *(f"--min-workers={limits.least}", f"--max-workers={limits.most}", f"--workers-per-cycle={limits.most}"),
        # It reports to a catalog whatever it is told: to one that is not there.
        *(f"--catalog=127.0.0.1:{port}", f"--factory-timeout={NO_DRIVER_S}", f"--cores={job.cores}"),
        # Its jobs run `. ./wq_worker.sh` and words for a worker of Work Queue's own, which a sourced script does not see.
        *(f"--worker-binary={folder}/{SCRIPT}", "--wrapper=."),
        *([f"--batch-options={options}"] if options else []),
        *("127.0.0.1", str(port)),
    ]


def script(job: WorkerJob, folder: str) -> str:
    """Return the text that a job of the factory sources, in a shell that waits for its end to say that the job is over.

    It says in `folder/workers` that it runs, and drains when `folder/drain` is there.
    """
    return lines(
        f"# A worker of {job.search}, in a job of work_queue_factory; sourced, so that signals to the job's shell are answered here.",
        environment(job),
        f"shadho_auto={shlex.quote(folder)}",
        "shadho_own=$(uname -n).$$",
        "shadho_status=0",
        'if [ ! -e "$shadho_auto/drain" ]; then',
        '    : >"$shadho_auto/workers/$shadho_own"',
        "    # What a batch system sends to every process of the job before its end is for this shell alone.",
        "    trap '' USR1 USR2",
        f'    {job.command} >>{shlex.quote(job.logs)}/"${{shadho_auto##*/}}.$shadho_own.log" 2>&1 &',
        "    shadho_worker=$!",
        """    trap 'kill -TERM "$shadho_worker"' TERM USR1 USR2""",
        "    # A sleep that is waited for is where this shell learns of signals and ended children.",
        '    while kill -0 "$shadho_worker" 2>/dev/null; do',
        '        if [ -e "$shadho_auto/drain" ]; then kill -TERM "$shadho_worker"; break; fi',
        "        sleep 2 &",
        "        wait $!",
        "    done",
        '    while kill -0 "$shadho_worker" 2>/dev/null; do wait "$shadho_worker"; done',
        '    wait "$shadho_worker"',
        "    shadho_status=$?",
        "    trap - TERM USR1 USR2",
        '    rm -f "$shadho_auto/workers/$shadho_own"',
        "fi",
        '(exit "$shadho_status")',
    )


def wanted(status: ManagerStatus | None, job: WorkerJob) -> int:
    """Return how many workers the tasks of a search would fill that wait or run; 0 without a driver."""
    if status is None:
        return 0
    asked = {
        "cores": (status["tasks_total_cores"], job.cores),
        # A task asks for slots of a GPU, of which a worker offers as many on each as trials may share it.
        "gpus": (status["tasks_total_gpus"], job.gpus * status.jobs_per_gpu),
        "memory": (status["tasks_total_memory"], job.memory_mb or 0),
    }
    filled = [-(-total // offered) for total, offered in asked.values() if offered]
    tasks = status["tasks_waiting"] + status["tasks_on_workers"]
    return min(tasks, max(filled) or tasks)


def answer(status: ManagerStatus | None, job: WorkerJob, limits: Limits, submitted: int, *, draining: bool) -> dict[str, object]:
    """Return what the factory hears when it asks for the manager's status: as many tasks as workers are wanted.

    From the number it wants, the factory takes those that it has submitted, and once more those of them that are not connected: all
    of them count as connected here, or half of the workers would never be asked for while the queue is full. So too it is kept from
    submitting any while it drains.
    """
    numbers = status.numbers if status else {}
    connected = max(status["workers"] if status else 0, submitted)
    return {
        # Its version and protocol, without which the factory takes it for one that it cannot serve.
        **{name: value for name, value in numbers.items() if not name.startswith(("tasks_", "capacity_", "workers"))},
        "project": job.search,
        "tasks_waiting": 0 if draining else wanted(status, job),
        "tasks_running": 0,
        "tasks_on_workers": 0,
        "tasks_left": 0,
        "workers": submitted + limits.most if draining else connected,
    }
