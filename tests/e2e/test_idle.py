"""A driver that waits for long trials, with all its processes, takes under 1 % of a core."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.processes import Environment, running, until

WATCHED_S = 6.0
DRIVER = """
import sys
from shadho_like import Shadho
opt = Shadho("echo $$ >> {started}; exec sleep 1000", {{"x": 1}}, max_tasks=1, name=sys.argv[1], engine=sys.argv[1], preemption_timeout=1)
opt.config.workqueue.name = "idle"
opt.config.workqueue.address = "127.0.0.1"
opt.run()
"""


def cpu_s(process: int) -> float:
    """Return the processor time of a process and its descendants, but not of the trial that sleeps."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(cpu_s, children))


@pytest.mark.usefixtures("work_queue_installed")
def test_waiting_costs_next_to_nothing(tmp_path: Path, environment: Environment) -> None:
    started = tmp_path / "started"
    (tmp_path / "driver.py").write_text(DRIVER.format(started=started))
    with ExitStack() as stack:
        drivers = [
            stack.enter_context(running(["python", "driver.py", engine], tmp_path, environment)) for engine in ("local", "workqueue")
        ]
        stack.enter_context(running([sys.executable, "-m", "wq_worker", "-M", "idle", "--cores", "1"], tmp_path, environment))
        until(lambda: started.exists() and len(started.read_text().split()) == 2, "both trials")
        # Starting up is no part of it: a driver imports, and Work Queue's manager takes its first steps.
        time.sleep(2)
        before = [cpu_s(driver.pid) for driver in drivers]
        time.sleep(WATCHED_S)
        after = [cpu_s(driver.pid) for driver in drivers]
    spent = [late - early for early, late in zip(before, after, strict=True)]
    assert max(spent) < 0.01 * WATCHED_S, spent
