"""What no connected worker can run is said, with what is missing and what there is, and said again when that changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from contracts.engine_contract import PATIENCE_S, Driven, attempt
from engine.conftest import Workers

from shadho_like.engine.base import Launch, Notice
from shadho_like.engine.workqueue import WorkQueueEngine
from shadho_like.engine.workqueue_demand import Demand
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Resources


def test_it_is_said_once_after_a_while_and_again_when_it_changes() -> None:
    demand = Demand({"cores": 4, "gpus": 1, "memory": 9000}, ["gpu_model=a100"])
    assert demand.say(1e9) is None
    demand.hear("resources", [[2, 8, 0, 4000, 100]], 100.0)
    demand.hear("resources", [[2, 8, 0, 4000, 100]], 120.0)
    assert demand.due_s == 130.0
    assert demand.say(129.9) is None
    assert demand.say(130.0) == (
        "no connected worker can run a trial, which asks for 4 cores, 1 GPU, 9,000 MB of memory, gpu_model=a100; connected: "
        "2 with 8 cores, 0 GPUs, 4,000 MB of memory; ask for less in config.workqueue, or start workers that have more"
    )
    assert demand.say(1e9) is None
    demand.hear("resources", [[1, 1, 1, 4000, 100], [2, 8, 0, 4000, 100]], 200.0)
    assert "connected: 1 with 1 core, 1 GPU, 4,000 MB of memory; 2 with 8 cores" in str(demand.say(230.0))


def test_what_can_be_met_meanwhile_is_not_said() -> None:
    demand = Demand({"cores": 1}, [])
    demand.hear("resources", [[1, 0, 0, 0, 0]], 0.0)
    demand.hear("", [], 29.0)
    assert demand.say(1e9) is None


def test_gpus_that_nobody_decided_about_are_told_of_once() -> None:
    demand = Demand({"cores": 1}, [])
    assert demand.unused(0) is None
    expected = "trials are shown none of the workers' 1 GPU, as config.workqueue.gpus is not set: 1 gives each trial one, 0 none"
    assert demand.unused(1) == expected
    assert demand.unused(2) is None
    assert Demand({"cores": 1, "gpus": 0}, []).unused(2) is None
    assert Demand({"gpus": 1}, []).unused(2) is None


@pytest.fixture
def until_said(monkeypatch: pytest.MonkeyPatch, bare_engine: WorkQueueEngine, workers: Workers, tmp_path: Path) -> Callable[..., None]:
    """Run a trial that asks for something with a worker that has two cores, until a line is said. What the worker has may come late."""
    monkeypatch.setattr("shadho_like.engine.workqueue_demand._PATIENCE_S", 1.0)

    def wait(expected: str, resources: Resources, *options: str) -> None:
        launch = Launch("demand", ExperimentPaths(tmp_path / "search"), command="echo 1 > result.json", resources=resources)
        bare_engine.open(replace(launch))
        workers.start(bare_engine.port, *options)
        bare_engine.submit([attempt(0)])
        give_up_s = bare_engine.now() + PATIENCE_S
        lines: list[str] = []
        while not any(line.startswith(expected) for line in lines):
            assert bare_engine.now() < give_up_s, lines
            lines += [update.text for update in bare_engine.wait(1) if isinstance(update, Notice)]

    return wait


def test_more_than_any_worker_has(until_said: Callable[..., None]) -> None:
    text = "no connected worker can run a trial, which asks for 1 core, 2 GPUs; connected: 1 with 2 cores, 1 GPU; ask"
    until_said(text, Resources(gpus=2, cores=1), "--gpus", "1")


def test_a_model_that_no_worker_advertises(until_said: Callable[..., None]) -> None:
    there = "connected: 1 with 2 cores, 1 GPU; none of them seems to advertise"
    text = f"no connected worker can run a trial, which asks for 1 GPU, gpu_model=h100; {there}"
    until_said(text, Resources(gpu_model="H100"), "--gpus", "1", "--feature", "gpu_model=a100")


def test_features_that_a_worker_names_by_hand(bare_engine: WorkQueueEngine, workers: Workers, tmp_path: Path) -> None:
    resources = Resources(gpu_model="H100", gpu_memory_mb=1000)
    launch = Launch("demand", ExperimentPaths(tmp_path / "search"), command="echo 1 > result.json", resources=resources)
    driven = Driven(bare_engine, launch)
    workers.start(bare_engine.port, "--gpus", "1", "--feature", "gpu_model=h100", "--feature", "gpu_memory=1")
    assert len(driven.run(attempt(0))) == 1
