"""A driver that waits for long trials, with all its processes, takes under 1 % of a core."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from e2e.processes import Environment, running, until

MOST = 0.01
SETTLED_S, WATCHED_S = 1.5, 6.0
DRIVER = """
import sys
from shadho_like import Shadho
opt = Shadho("echo $$ >> {started}; exec sleep 1000", {{"x": 1}}, max_tasks=1, name=sys.argv[1], engine=sys.argv[1], preemption_timeout=1)
opt.config.workqueue.name = "idle"
opt.config.workqueue.address = "127.0.0.1"
opt.run()
"""


def cpu_s(process: int) -> float:
    """Return the processor time of a process and its descendants, those that have ended too."""
    # Also while they start, when some end between one look and the next.
    with suppress(FileNotFoundError, ProcessLookupError):
        tasks = Path(f"/proc/{process}/task").iterdir()
        below = sum(cpu_s(int(child)) for task in tasks for child in (task / "children").read_text().split())
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return below + sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def share(processes: list[int], watched_s: float) -> float:
    """Return the largest share of a core that one of them takes while it is watched."""
    before, began_s = [cpu_s(process) for process in processes], time.monotonic()
    time.sleep(watched_s)
    after, ended_s = [cpu_s(process) for process in processes], time.monotonic()
    return max(late - early for early, late in zip(before, after, strict=True)) / (ended_s - began_s)


@pytest.mark.usefixtures("work_queue_installed")
def test_waiting_costs_next_to_nothing(tmp_path: Path, environment: Environment) -> None:
    started = tmp_path / "started"
    (tmp_path / "driver.py").write_text(DRIVER.format(started=started))
    with ExitStack() as stack:
        drivers = [
            stack.enter_context(running(["python", "driver.py", engine], tmp_path, environment)) for engine in ("local", "workqueue")
        ]
        # Its trial does not listen, so that the worker's end takes all of the grace.
        worker = [sys.executable, "-m", "wq_worker", "-M", "idle", "--cores", "1", "--drain-grace", "1"]
        stack.enter_context(running(worker, tmp_path, environment))
        until(lambda: started.exists() and len(started.read_text().split()) == 2, "both trials")
        pids = [driver.pid for driver in drivers]
        # Starting up is no part of it, however long it takes: a driver imports, and Work Queue's manager takes its first steps.
        until(lambda: share(pids, SETTLED_S) < MOST, "the end of their starting up")
        assert share(pids, WATCHED_S) < MOST
