"""What Work Queue's workers have, and how much of it is in use, is known to those who look."""

from __future__ import annotations

from pathlib import Path

from contracts.engine_contract import PATIENCE_S, attempt
from engine.conftest import Workers

from shadho_like.engine.base import Launch
from shadho_like.engine.workqueue import WorkQueueEngine
from shadho_like.engine.workqueue_fleet import Fleet
from shadho_like.engine_status import EngineStatus, Host, Load, WorkerGroup
from shadho_like.paths import ExperimentPaths


def test_what_is_told() -> None:
    fleet = Fleet()
    assert fleet.status(0, 0) == EngineStatus(0, None)
    fleet.hear({"cores": [3, 16], "gpus": [1, 2], "groups": [[2, 8, 1, 64000]]})
    fleet.saw("b", "gpu_model=nvidia-h100\tgpu_memory=80")
    fleet.saw("a", "gpu_model=none")
    hosts = (Host("a"), Host("b", "gpu_model=nvidia-h100, gpu_memory=80"))
    assert fleet.status(2, 16) == EngineStatus(2, 16, Load(3, 16), Load(1, 2), (WorkerGroup(2, 8, 1, 64000),), hosts)


def test_what_workers_say_of_themselves_is_bounded() -> None:
    fleet = Fleet()
    for number in range(2000):
        fleet.saw(f"{number}" + "h" * 1000, "x\n" * 5000)
    hosts = fleet.status(1, 1).hosts
    assert len(hosts) == 500
    assert max(len(host.name) for host in hosts) <= 100
    assert max(len(host.gpus) for host in hosts) <= 100
    assert not any("\n" in host.gpus for host in hosts)


def test_a_worker_that_is_connected(bare_engine: WorkQueueEngine, workers: Workers, tmp_path: Path) -> None:
    bare_engine.open(Launch("fleet", ExperimentPaths(tmp_path / "search"), command="sleep 60"))
    workers.start(bare_engine.port)
    bare_engine.submit([attempt(0)])
    give_up_s = bare_engine.now() + PATIENCE_S
    status = bare_engine.status()
    while bare_engine.now() < give_up_s and not (status.cores and status.cores.used):
        bare_engine.wait(1)
        status = bare_engine.status()
    assert status.workers == 1
    assert status.cores is not None
    assert 1 <= status.cores.used <= status.cores.total == status.slots
    assert [(group.workers, group.cores) for group in status.groups] == [(1, status.cores.total)]
