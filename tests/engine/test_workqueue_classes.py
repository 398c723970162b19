"""What is known of Work Queue's classes, from tasks that wait, begin and end."""

from __future__ import annotations

from pathlib import Path

import pytest

from shadho_like.engine.workqueue_classes import TaskClasses
from shadho_like.launch import Launch
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Capacity, ComputeClass, Resources


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    classes = (ComputeClass("graphics", "gpu_model", "A100"), ComputeClass("large", "cores", 16, max_queued_tasks=1))
    return Launch("e", ExperimentPaths(tmp_path), command="true", resources=Resources(memory_mb=500), compute_classes=classes)


def test_what_a_task_of_a_class_asks_for(launch: Launch) -> None:
    classes = TaskClasses(launch)
    assert classes.asked("graphics") == {"resources": {"memory": 500, "gpus": 1}, "features": ["gpu_model=a100"], "class": "graphics"}
    assert classes.asked("large") == {"resources": {"cores": 16, "memory": 500}, "features": [], "class": "large"}
    assert classes.asked(None) == {}


def test_a_class_has_as_many_slots_as_tasks_begin(launch: Launch) -> None:
    classes = TaskClasses(launch)
    assert classes.capacities(0.0, workers=1) == [Capacity("graphics", 1, 2, 0), Capacity("large", 1, 1, 0)]
    for number in range(10):
        classes.submitted(number, "graphics", 0.0)
    for number in range(8):
        classes.begun(number, 1.0)
    assert classes.capacities(2.0, workers=1)[0] == Capacity("graphics", 8, 0, 0)
    for number in (8, 9):
        classes.begun(number, 2.5)
    for number in (0, 1, 2):
        classes.over(number)
    assert classes.capacities(3.0, workers=1)[0] == Capacity("graphics", 10, 3, 3)
    for number in range(10, 14):
        classes.submitted(number, "graphics", 3.0)
    assert classes.capacities(6.0, workers=1)[0] == Capacity("graphics", 7, 0, 0)


def test_a_class_that_begins_nothing_is_given_up_for_a_while_and_said_once(launch: Launch) -> None:
    classes = TaskClasses(launch)
    classes.submitted(0, "large", 0.0)
    assert classes.capacities(50.0, workers=0)[1] == Capacity("large", 1, 0, 0)
    classes.more_workers(50.0)
    assert classes.capacities(59.0, workers=1)[1].slots == 1
    assert classes.capacities(60.0, workers=1)[1] == Capacity("large", 0, 0, 0)
    said = "no worker that is connected is of compute class 'large' (cores = 16, memory = 500); its trials go to the others until one is"
    assert list(classes.notices()) == [said]
    classes.over(0)
    assert list(classes.notices()) == []
    assert classes.capacities(125.0, workers=1)[1] == Capacity("large", 1, 1, 0)


def test_without_declared_classes_they_are_what_workers_advertise(tmp_path: Path) -> None:
    found = TaskClasses(Launch("e", ExperimentPaths(tmp_path), command="true"))
    found.saw("gpu_model=A100\tsite=x")
    assert found.capacities(0.0, workers=2) == []
    found.saw("site=x")
    assert [each.name for each in found.capacities(0.0, workers=2)] == ["gpu_model=A100, site=x", "site=x"]
    assert found.asked("gpu_model=A100, site=x")["features"] == ["gpu_model=A100", "site=x"]
    found.saw("")
    assert found.capacities(0.0, workers=3) == []
