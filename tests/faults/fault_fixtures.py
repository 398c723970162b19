"""The fault tests' size, seed and ledger, and their one line at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger import SIZES, Ledger

_LEDGER = pytest.StashKey[Ledger]()


def _ledger(config: pytest.Config) -> Ledger:
    if _LEDGER not in config.stash:
        config.stash[_LEDGER] = Ledger(SIZES[config.getoption("--faults")], config.getoption("--faults-seed"))
    return config.stash[_LEDGER]


@pytest.fixture
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """Where faults are counted, with the size and the seed."""
    return _ledger(request.config)


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: these tests are about what is written when, not about the disk's speed."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="shadho-faults-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the line. A fault test that fails found a promise broken, and names it above."""
    ledger = _ledger(config)
    reports = [*terminalreporter.stats.get("failed", []), *terminalreporter.stats.get("error", [])]
    ledger.broken = [report.nodeid for report in reports if "faults/" in report.nodeid]
    if ledger.injected or ledger.broken:
        terminalreporter.write_line(ledger.line(), bold=True)
