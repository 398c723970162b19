"""Trials on this machine see the GPUs that they ask for, least loaded first, and no others."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contracts.engine_contract import Driven, attempt

from shadho_like.engine.base import Launch
from shadho_like.engine.gpu_share import GpuShare
from shadho_like.engine.local import LocalEngine
from shadho_like.errors import EngineError
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Resources
from shadho_like.trial import Success

COMMAND = """echo "{\\"loss\\": 0, \\"seen\\": \\"${CUDA_VISIBLE_DEVICES-all}\\"}" > result.json"""


@pytest.fixture(autouse=True)
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,GPU-6")


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch("gpus", ExperimentPaths(tmp_path / "experiment"))


def seen(launch: Launch, trials: int, workers: int = 8) -> Counter[str]:
    """Return how many trials saw what."""
    engine = LocalEngine(workers)
    try:
        outcomes = Driven(engine, launch).run(*map(attempt, range(trials)))
    finally:
        engine.close()
    assert all(isinstance(outcome, Success) for outcome in outcomes), outcomes
    return Counter(str(outcome.metrics["seen"]) for outcome in outcomes if isinstance(outcome, Success))


def look(_: Any) -> dict[str, Any]:
    return {"loss": 0, "seen": os.environ.get("CUDA_VISIBLE_DEVICES", "all")}


@pytest.mark.parametrize("objective", [look, None], ids=["callable", "command"])
@pytest.mark.parametrize(
    ("gpus", "found"),
    [
        (1, {"4", "5", "GPU-6"}),
        (0.5, {"4", "5", "GPU-6"}),
        (2, {"4,5", "GPU-6,4", "5,GPU-6"}),
        (3, {"4,5,GPU-6"}),
        (0, {""}),
        (None, {"4,5,GPU-6"}),
    ],
)
def test_a_trial_sees_its_own(launch: Launch, objective: Any, gpus: float | None, found: set[str]) -> None:
    launch = replace(launch, objective=objective, command=None if objective else COMMAND, resources=Resources(gpus=gpus))
    trials = seen(launch, 12)
    assert trials.total() == 12
    assert set(trials) <= found


def test_the_least_loaded_first_then_in_turns() -> None:
    share = GpuShare(Resources(gpus=0.5), os.environ)
    assert share.slots == 6
    assert [share.take(task)["CUDA_VISIBLE_DEVICES"] for task in range(6)] == ["4", "5", "GPU-6"] * 2
    share.give_back(2)
    share.give_back(1)
    assert [share.take(task)["CUDA_VISIBLE_DEVICES"] for task in (6, 7)] == ["5", "GPU-6"]


def test_the_gpus_bound_how_many_run(launch: Launch) -> None:
    engine = LocalEngine(8)
    engine.open(replace(launch, command=COMMAND, resources=Resources(gpus=1)))
    assert (engine.room(), engine.status().slots) == (3, 3)
    engine.close()


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (Resources(gpus=4), "each trial asks for 4 GPUs, and this process may use 3 GPUs: ask for less in config.workqueue"),
        (
            Resources(gpu_model="A100"),
            "each trial asks for 1 GPU with gpu_model=a100, and this process may use 3 GPUs: ask for less in config.workqueue",
        ),
    ],
)
def test_too_few_are_said_before_the_first_trial(launch: Launch, resources: Resources, said: str) -> None:
    with pytest.raises(EngineError) as caught:
        LocalEngine().open(replace(launch, command=COMMAND, resources=resources))
    assert str(caught.value) == said
