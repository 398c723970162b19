"""The engine in the driver's own process: what it cannot do it says at once, and an objective that forks doubles nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contracts.engine_contract import Driven, attempt

from shadho_like.engine.base import Launch, OutputFile
from shadho_like.engine.inprocess import InProcessEngine
from shadho_like.errors import OptionError
from shadho_like.paths import ExperimentPaths
from shadho_like.trial import Success


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch("inprocess", ExperimentPaths(tmp_path), objective=lambda hparams: hparams["x"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": None, "command": "true"}, "a shell command cannot be evaluated in this process: leave workers=0 out"),
        (
            {"trial_timeout_s": 1.0},
            "trial_timeout cannot end a trial that runs in this process: leave out either it or workers=0",
        ),
        (
            {"output_files": (OutputFile("a", "a"),)},
            "output files are fetched from a trial's folder, and in this process there is none: leave workers=0 out",
        ),
    ],
)
def test_what_takes_another_process_is_refused(launch: Launch, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        InProcessEngine().open(replace(launch, **changes))
    assert str(caught.value) == message


def test_a_slow_objective_gives_each_result_at_once(launch: Launch) -> None:
    engine = InProcessEngine()
    calls: list[int] = []

    def objective(hparams: dict[str, Any]) -> float:
        calls.append(hparams["x"])
        began_s = engine.now()
        while engine.now() < began_s + 0.03:
            pass
        return 0.0

    engine.open(replace(launch, objective=objective))
    engine.submit([attempt(n) for n in range(5)])
    assert len(engine.wait(10.0)) == 1
    assert calls == [0]


def test_a_copy_of_the_process_that_an_objective_forks_ends_with_it(launch: Launch, tmp_path: Path) -> None:
    def objective(hparams: dict[str, Any]) -> float:
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
        return float(hparams["x"])

    driven = Driven(InProcessEngine(), replace(launch, objective=objective))
    assert driven.run(attempt(0), attempt(1)) == [Success(0.0), Success(1.0)]
    assert not list(tmp_path.iterdir())
