"""On a machine with a GPU: two jobs share it at once, each in a process of its own that sees nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from shadho_like import hardware
from shadho_like.runner import GPUScheduler

pytestmark = [
    pytest.mark.skipif(not hardware.gpus(os.environ), reason="there is no GPU on this machine"),
    pytest.mark.skipif(find_spec("torch") is None, reason="torch is missing: pip install torch"),
]


class Multiply:
    """Multiplies matrices on the GPU once two jobs are at it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self) -> Any:
        import torch

        product = (torch.eye(64, device="cuda") * 3 @ torch.ones(64, 64, device="cuda")).sum().item()
        (self.folder / str(os.getpid())).touch()
        give_up_s = time.monotonic() + 120
        while len(list(self.folder.iterdir())) < 2:
            assert time.monotonic() < give_up_s
            time.sleep(0.05)
        return os.getpid(), torch.cuda.device_count(), product


def test_two_jobs_on_one_gpu_at_once(tmp_path: Path) -> None:
    async def both(scheduler: GPUScheduler) -> list[Any]:
        return await asyncio.gather(*(scheduler.run_job(Multiply(tmp_path)) for _ in range(2)))

    with GPUScheduler(max_gpus=1, simultaneous_jobs_per_gpu=2) as scheduler:
        first, second = asyncio.run(both(scheduler))
    assert (first.error, second.error) == (None, None)
    assert first.result[0] != second.result[0]
    assert first.result[1:] == second.result[1:] == (1, 3 * 64 * 64)
    assert first.gpu_id == second.gpu_id is not None
