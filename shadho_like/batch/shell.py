"""The parts of a script that batch systems share which give their jobs no environment, and a signal to every process of the job: they
set the worker's environment, and turn that signal into the worker's.
"""

from __future__ import annotations

import shlex

from shadho_like.batch.base import WorkerJob, lines


def environment(job: WorkerJob) -> str:
    """Return the lines that set the worker's environment, and so that of its trials, in a job that begins with a bare PATH."""
    path = f'export PATH={shlex.quote(job.path)}:"${{PATH:-/usr/bin:/bin}}"' if job.path else None
    return lines(f"export SHADHO_HOME={shlex.quote(job.home)}", path).rstrip("\n")


def run_worker(job: WorkerJob, signal: str) -> str:
    """Return the lines that run the worker and let it drain at `signal` (USR2, say), which its trials do not feel."""
    return lines(
        f"# {signal} goes to every process of the job: only this shell answers it, and asks the worker to end.",
        f"trap '' {signal}",
        f"{job.command} &",
        "worker=$!",
        f"""trap 'kill -TERM "$worker"' {signal}""",
        'wait "$worker"',
        "status=$?",
        "# A signal ends the wait, and the worker is not gone yet.",
        'while kill -0 "$worker" 2>/dev/null; do',
        '    wait "$worker"',
        "    status=$?",
        "done",
        'exit "$status"',
    ).rstrip("\n")
