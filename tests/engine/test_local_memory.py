"""A trial that the system kills for want of memory says so."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from contracts.engine_contract import Driven, attempt
from e2e.processes import until

from shadho_like.engine.local import LocalEngine
from shadho_like.launch import Launch
from shadho_like.paths import ExperimentPaths
from shadho_like.trial import Failure, FailureKind


@pytest.fixture
def cramped(nobody_short_of_memory: None) -> Iterator[Path]:
    """A control group whose processes have 64 MiB together; joined by writing to its `cgroup.procs`."""
    roots = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    root = next((root for root in roots if (root / "cgroup.procs").exists()), roots[0])
    group = root / f"shadho-{os.getpid()}"
    try:
        group.mkdir()
        limits = [group / "memory.limit_in_bytes", group / "memory.max"]
        next(limit for limit in limits if limit.exists()).write_text(str(64 * 1024 * 1024))
    except (OSError, StopIteration):
        pytest.skip("no control group for memory can be made here: be root, on a system that has them")
    yield group

    def removed() -> bool:
        with suppress(OSError):
            group.rmdir()
        return not group.exists()

    until(removed, "the end of the group, which its last process may outlast by a moment")


def test_a_trial_killed_for_memory_says_so_with_the_peak(cramped: Path, tmp_path: Path) -> None:
    code = "import os; parts = [os.urandom(1 << 20) for _ in range(500)]"
    command = f"echo $$ > {cramped}/cgroup.procs; exec python -c '{code}'"
    engine = LocalEngine(1)
    try:
        [found] = Driven(engine, Launch("memory", ExperimentPaths(tmp_path / "experiment"), command=command)).run(attempt(0))
    finally:
        engine.close()
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.OUT_OF_MEMORY
    match = re.fullmatch(r"killed by the system, which ran out of memory, when its largest process had (\d+) MiB", found.message)
    assert match is not None, found.message
    assert 20 <= int(match[1]) <= 80
