"""Workers that `work_queue_factory` keeps: how many there are to be, and what it is told of each batch system."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from shadho_like.batch import auto
from shadho_like.batch.base import WorkerJob
from shadho_like.batch.factory import Limits, answer, wanted
from shadho_like.batch.manager_status import ManagerStatus
from shadho_like.batch.workers import factory_words
from shadho_like.errors import OptionError


def job(**changed: Any) -> WorkerJob:
    return WorkerJob(**{"search": "digits", "count": 1, "worker": "/env/wq_worker", "home": "/home/me", "logs": "/logs", "cores": 4, **changed})


def status(jobs_per_gpu: int = 1, **numbers: int) -> ManagerStatus:
    return ManagerStatus(numbers, jobs_per_gpu)


@pytest.mark.parametrize(
    ("stands", "each", "workers"),
    [
        (None, {}, 0),
        (status(), {}, 0),
        (status(tasks_waiting=32, tasks_total_cores=32), {}, 8),
        (status(tasks_waiting=1, tasks_on_workers=8, tasks_total_cores=9), {}, 3),
        (status(tasks_waiting=12, tasks_total_gpus=12), {"gpus": 2}, 6),
        (status(3, tasks_waiting=12, tasks_total_gpus=12), {"gpus": 2}, 2),
        (status(tasks_waiting=6, tasks_total_cores=6, tasks_total_memory=24000), {"memory_mb": 8000}, 3),
        (status(tasks_waiting=5), {}, 5),
        (status(tasks_waiting=2, tasks_total_cores=64), {}, 2),
    ],
)
def test_so_many_workers_as_the_tasks_fill(stands: ManagerStatus | None, each: dict[str, Any], workers: int) -> None:
    assert wanted(stands, job(**each)) == workers


def test_workers_of_a_full_queue_count_as_connected() -> None:
    said = answer(status(tasks_waiting=40, tasks_total_cores=40, workers=1), job(), Limits(0, 20), 6, draining=False)
    assert (said["tasks_waiting"], said["workers"]) == (10, 6)


def test_the_factory_hears_which_protocol_the_manager_speaks() -> None:
    said = answer(ManagerStatus({"protocol": 11, "tasks_total_cores": 9, "type": "wq_master"}, 1), job(), Limits(0, 2), 0, draining=False)
    assert (said["protocol"], said["type"], "tasks_total_cores" in said) == (11, "wq_master", False)


def test_a_factory_that_drains_submits_nothing() -> None:
    limits, submitted = Limits(5, 20), 3
    said = answer(None, job(), limits, submitted, draining=True)
    connected = said["workers"]
    assert isinstance(connected, int)
    assert limits.least - submitted - abs(submitted - connected) <= 0


@pytest.mark.parametrize("text", ["", "5", "3:2", "0:0", "-1:4", "a:b", "1:2:3"])
def test_limits_that_are_none(text: str) -> None:
    with pytest.raises(OptionError) as error:
        Limits.read(text)
    assert str(error.value) == f"--auto takes MIN:MAX workers, such as 0:20, not {text!r}: MAX is at least 1, and MIN not above it"


OPTIONS = {
    "slurm": "--job-name=wq_digits --gres=gpu:2 --mem=500M --time=1:00:00 --signal=B:TERM@90 --no-requeue --partition=a",
    "sge": "-N wq_digits -notify -r n -l gpu=2 -l h_vmem=125M -l h_rt=1:00:00 --partition=a",
    "htcondor": (
        r"batch_name = wq_digits\nrequest_gpus = 2\nrequest_memory = 500\nallowed_job_duration = 3600\n"
        r"kill_sig = SIGTERM\nremove_kill_sig = SIGTERM\njob_max_vacate_time = 90\n--partition=a"
    ),
    "local": "",
}


@pytest.mark.parametrize(("system", "options"), OPTIONS.items())
def test_what_jobs_ask_for(system: str, options: str) -> None:
    asked = job(gpus=2, memory_mb=500, time_s=3600, batch_options=("--partition=a",))
    assert factory_words(system).options(asked) == options


def test_pbs_has_no_gpus_through_the_factory() -> None:
    assert factory_words("pbs").options(job(time_s=3600)) == "-N wq_digits -r n -l walltime=1:00:00"
    with pytest.raises(OptionError, match="no way to ask PBS for GPUs"):
        auto.wished("pbs", "0:4", job(gpus=1))


def test_workers_of_this_machine_do_not_share_its_gpus() -> None:
    assert auto.wished("local", "0:1", job(gpus=1)).limits == Limits(0, 1)
    with pytest.raises(OptionError, match="the same GPUs of this machine"):
        auto.wished("local", "0:2", job(gpus=1))


def test_nothing_is_told_to_a_catalog_of_others() -> None:
    first, *_ = auto.preview(auto.wished("slurm", "0:4", job())).splitlines()
    words = shlex.split(first.lstrip("# "))
    assert [word for word in words if word.startswith("--catalog")] == ["--catalog=127.0.0.1:0"]
    assert words[-2:] == ["127.0.0.1", "0"]
