"""The lock of an experiment's driver: who only looks keeps no driver out."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from shadho_like import filelock
from shadho_like.errors import ExperimentInUse
from shadho_like.filelock import FileLock


@dataclass
class Clock:
    """Time that goes by in sleep only; at some time, a file is closed."""

    closes: int
    after_s: float
    now_s: float = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        before_s, self.now_s = self.now_s, self.now_s + seconds
        if before_s < self.after_s <= self.now_s:
            os.close(self.closes)


def held(path: Path, how: int) -> int:
    """Lock a file; return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, how)
    return descriptor


def test_a_reader_that_has_no_processor_for_a_while_keeps_no_driver_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filelock, "time", clock := Clock(held(tmp_path / "lock", fcntl.LOCK_SH), 20))
    FileLock(tmp_path / "lock").release()
    assert clock.now_s == pytest.approx(20, abs=0.1)


def test_another_driver_is_not_waited_for_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filelock, "time", clock := Clock(held(tmp_path / "lock", fcntl.LOCK_EX), 20))
    with pytest.raises(ExperimentInUse):
        FileLock(tmp_path / "lock")
    assert clock.now_s < 1
    os.close(clock.closes)
