"""More slots than the usual limit on open files has room for: it is raised where it can be, and where not that is said at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SLOTS = {"local": 16, "pool": 30}
DRIVERS = {
    "local": """
from shadho_like import Shadho, rand
opt = Shadho(lambda hparams: hparams["x"], {"x": rand.uniform(0, 1)}, max_tasks=16, workers=16, timeout=None, directory="search")
print(opt.run().counts["COMPLETED"], "ended")
""",
    "pool": """
import sys; sys.path.append(TESTS)
from contextlib import closing
from shadho_like.engine.devices import Devices
from shadho_like.engine.pool import JobPool
from wild_jobs import Call
with closing(JobPool(Devices((), 30))) as pool:
    for ticket in range(30):
        pool.start(ticket, Call(abs, (ticket,)))
    ends = []
    while len(ends) < 30:
        ends += pool.wait(60)
    print(sum(end.value is not None for end in ends), "ended")
""",
}
LIMITED = """
import resource, sys
TESTS = sys.argv[1]
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
"""


def drive(folder: Path, kind: str, soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    program = LIMITED.format(soft=soft, hard=hard) + DRIVERS[kind]
    tests = str(Path(__file__).parent.parent / "core")
    return subprocess.run([sys.executable, "-c", program, tests], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", DRIVERS)
def test_a_low_limit_that_may_be_raised_is(tmp_path: Path, kind: str) -> None:
    done = drive(tmp_path, kind, 48, 1024)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{SLOTS[kind]} ended"


@pytest.mark.parametrize("kind", DRIVERS)
def test_one_that_may_not_is_said_before_anything_runs(tmp_path: Path, kind: str) -> None:
    refused = drive(tmp_path, kind, 64, 64)
    assert refused.returncode != 0
    assert f"{SLOTS[kind]} at once need up to " in refused.stderr
    assert " open files in one process, and this machine allows 64: run fewer at once, or raise the limit" in refused.stderr
