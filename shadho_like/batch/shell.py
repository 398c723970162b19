"""The part of a script that turns a batch system's own signal into the worker's, where that signal goes to every process of the job."""

from __future__ import annotations

from shadho_like.batch.base import WorkerJob, lines


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
