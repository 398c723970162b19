"""`GPUScheduler`: jobs for asyncio, and which devices a machine has."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest
from e2e.processes import until
from wild_jobs import Call, end_of, fail, family, start_family, visible

from shadho_like import hardware
from shadho_like.errors import OptionError
from shadho_like.runner import GPUScheduler

SMI = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5f3a)
  MIG 1g.10gb     Device  0: (UUID: MIG-c1)
  MIG 1g.10gb     Device  1: (UUID: MIG-c2)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-77aa)
"""


class Job:
    def __init__(self, function: Any, *arguments: Any, out_file: str | None = None) -> None:
        self.call, self.out_file = Call(function, arguments), out_file

    def run(self) -> Any:
        return self.call.run()


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hardware.VISIBLE, "2,GPU-ab")


def test_jobs_share_the_gpus(two_gpus: None, tmp_path: Path) -> None:
    async def all_of_them(scheduler: GPUScheduler) -> list[Any]:
        jobs = [Job(visible), Job(visible), Job(fail, 1, out_file=str(tmp_path / "a/log")), Job(visible), Job(fail, 8, out_file=str(tmp_path / "b"))]
        results = await asyncio.gather(*map(scheduler.run_job, jobs))
        assert [result.job for result in results] == jobs
        return results

    with GPUScheduler(simultaneous_jobs_per_gpu=2) as scheduler:
        assert scheduler.gpu_ids == ["2", "GPU-ab"]
        for _ in range(2):
            first, second, third, fourth, fifth = asyncio.run(all_of_them(scheduler))
            assert {(result.gpu_id, result.result) for result in (first, second)} == {(2, "2"), ("GPU-ab", "GPU-ab")}
            assert fourth.success
            assert (third.success, third.result, third.out_file) == (False, None, str(tmp_path / "a/log"))
            assert third.error.startswith("ValueError: no such thing\nabout to raise\nTraceback")
            assert (fifth.error, (tmp_path / "b").read_text()) == (None, "of a child\nof no line")


def test_a_job_that_takes_too_long_and_one_that_is_cancelled(two_gpus: None, tmp_path: Path) -> None:
    async def story() -> None:
        with GPUScheduler(max_gpus=1, job_timeout=1.0) as scheduler:
            result = await scheduler.run_job(Job(time.sleep, 1000))
            assert result.error == "ran longer than the 1 s that a job may"
        with GPUScheduler(max_gpus=1) as scheduler:
            job = Job(start_family, str(tmp_path / "children"), out_file=str(tmp_path / "log"))
            task = asyncio.create_task(scheduler.run_job(job))
            waiting = asyncio.create_task(scheduler.run_job(Job(visible)))
            await asyncio.sleep(0)
            await asyncio.to_thread(until, lambda: len(family(tmp_path)) == 3, "three processes")
            task.cancel()
            assert (await waiting).result == "2"
            assert all(map(end_of, family(tmp_path)))

    asyncio.run(story())


def test_without_gpus_there_are_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hardware.VISIBLE, "")
    with GPUScheduler() as scheduler:
        result = asyncio.run(scheduler.run_job(Job(fail, 0)))
    assert (result.gpu_id, result.result) == (None, 0)
    assert scheduler.gpu_ids == []


def test_what_is_refused() -> None:
    with pytest.raises(OptionError, match="simultaneous_jobs_per_gpu must be a whole number of at least 1, not 0"):
        GPUScheduler(simultaneous_jobs_per_gpu=0)
    with GPUScheduler(max_gpus=0) as scheduler, pytest.raises(OptionError, match="a job needs a method run, and 5 has none"):
        asyncio.run(scheduler.run_job(5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("visible", "found"),
    [("0,1", "0 1"), ("GPU-ab, MIG-GPU-5/1/0", "GPU-ab MIG-GPU-5/1/0"), ("", ""), ("-1", ""), ("0,-1,1", "0"), ("1,1,0", "1 0"), ("all", "")],
)
def test_the_variable_decides(visible: str, found: str) -> None:
    assert hardware.gpus({hardware.VISIBLE: visible}) == tuple(found.split())


@pytest.mark.parametrize(("said", "status", "found"), [(SMI, 0, ("MIG-c1", "MIG-c2", "1")), ("NVIDIA-SMI has failed\n", 9, ())])
def test_the_driver_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, status: int, found: tuple[str, ...]) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{said}E\nexit {status}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert hardware.gpus({}) == found


def test_a_machine_without_a_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.gpus({}) == ()
