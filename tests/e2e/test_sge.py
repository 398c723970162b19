"""On a real Grid Engine: workers are submitted, seen and drained, and the training of a drained one goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.processes import Environment, running, until
from e2e.sge import need_sge, running_sge
from e2e.test_auto import LONG, SMALL, TRAIN, hand_on, said

from shadho_like.result import Result

pytestmark = pytest.mark.usefixtures("work_queue_installed")


@pytest.fixture
def sge(tmp_path: Path, environment: Environment) -> Iterator[Environment]:
    need_sge()
    with running_sge(tmp_path / "sge", environment) as inside:
        yield inside


def test_a_drained_worker_hands_its_training_on(tmp_path: Path, sge: Environment) -> None:
    sign = tmp_path / "sign"
    (tmp_path / "driver.py").write_text(LONG)
    (tmp_path / "train.py").write_text(f"SIGN = {str(sign)!r}\n{TRAIN}")
    with running(["python", "driver.py"], tmp_path, sge) as driver:
        ids = said(sge, "submit", "--name", "auto", "--batch", "sge", "-n", "2", "--drain-grace", "15", *SMALL).splitlines()[:2]
        assert ids == ["1.1", "1.2"]
        until(lambda: sign.exists() and said(sge, "status", "auto").startswith("auto: 2 running\n"), "a training, and both workers", driver)
        assert said(sge, "drain", "auto") == "auto: 2 running; told to end\n"
        until(lambda: said(sge, "status", "auto") == "auto: none in a queue\n", "the end of the workers", driver)
        assert said(sge, "scale", "auto", "1") == "submitted 2.1\n"
        assert "completed" in driver.communicate()[0]
    [trial] = Result(tmp_path / "experiments/auto").trials
    assert float(str(trial.metrics["began"])) > 0
    assert trial.attempt > 1


def test_workers_that_come_with_the_work(tmp_path: Path, sge: Environment) -> None:
    try:
        hand_on(tmp_path, sge, "sge", *SMALL)
    finally:
        said(sge, "drain", "auto")
        until(lambda: "ended" in said(sge, "status", "auto"), "the factory's end")
