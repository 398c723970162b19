"""On a real Grid Engine: workers are submitted, seen and drained, and the training of a drained one goes on elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.handed_on import was_handed_on, write_search
from e2e.processes import Environment, running, until
from e2e.sge import need_sge, running_sge
from e2e.test_auto import SMALL, hand_on, said

pytestmark = pytest.mark.usefixtures("work_queue_installed")


@pytest.fixture
def sge(tmp_path: Path, environment: Environment) -> Iterator[Environment]:
    need_sge()
    with running_sge(tmp_path / "sge", environment) as inside:
        yield inside


def test_a_drained_worker_hands_its_training_on(tmp_path: Path, sge: Environment) -> None:
    # Jobs of Grid Engine begin with a bare PATH: the trials are told of this environment.
    sign = write_search(tmp_path, "auto", f"opt.config.workqueue.environment = {sys.prefix!r}")
    with running(["python", "driver.py"], tmp_path, sge) as driver:
        ids = said(sge, "submit", "--name", "auto", "--batch", "sge", "-n", "2", "--drain-grace", "15", *SMALL).splitlines()[:2]
        assert ids == ["1.1", "1.2"]
        until(lambda: sign.exists() and said(sge, "status", "auto").startswith("auto: 2 running\n"), "a training, and both workers", driver)
        assert said(sge, "drain", "auto") == "auto: 2 running; told to end\n"
        until(lambda: said(sge, "status", "auto") == "auto: none in a queue\n", "the end of the workers", driver)
        assert said(sge, "scale", "auto", "1") == "submitted 2.1\n"
        assert "completed" in driver.communicate()[0]
    assert was_handed_on(tmp_path, "auto")


def test_workers_that_come_with_the_work(tmp_path: Path, sge: Environment) -> None:
    try:
        hand_on(tmp_path, sge, "sge", *SMALL)
    finally:
        said(sge, "drain", "auto")
        until(lambda: "ended" in said(sge, "status", "auto"), "the factory's end")
