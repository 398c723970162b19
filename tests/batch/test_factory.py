"""Workers that `work_queue_factory` keeps: how many there are to be, and what it is told of each batch system."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shadho_rendezvous

from shadho_like.batch import auto, record
from shadho_like.batch.base import WorkerJob
from shadho_like.batch.factory import Limits, answer, wanted
from shadho_like.batch.factory_record import SILENT_S, FactoryFolder, Standing, Wish
from shadho_like.batch.manager_status import ManagerStatus
from shadho_like.batch.workers import factory_words
from shadho_like.errors import OptionError, WorldError


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


@pytest.fixture
def wish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wish:
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    return Wish("local", Limits(0, 2), job(home=str(tmp_path / "home"), logs=str(tmp_path / "logs")))


def silent(folder: FactoryFolder, for_s: float) -> None:
    path = folder.path / "standing.json"
    then_s = path.stat().st_mtime - for_s
    os.utime(path, (then_s, then_s))


def test_a_factory_of_a_machine_that_was_restarted_is_dead_when_it_has_been_silent_for_long(wish: Wish) -> None:
    with record.locked("digits"):
        folder = FactoryFolder.make(wish)
    folder.stand(Standing(os.getpid(), 1, "another start of this machine", "login-1"))
    assert (found := auto.live("digits")) is not None
    assert found.path == folder.path
    silent(folder, 2 * SILENT_S)
    assert auto.live("digits") is None
    assert auto.places(folder) == {}
    assert f"its process {os.getpid()} on login-1 died" in auto.described(folder)
    assert auto.scale("digits", 3) is None
    assert not folder.draining
    # Its workers, which may have outlived it, hear of the drain all the same.
    assert auto.drain("digits") is None
    assert folder.draining


def test_a_factory_of_this_machine_lives_as_long_as_its_process(wish: Wish) -> None:
    with record.locked("digits"):
        folder = FactoryFolder.make(wish)
    folder.stand(Standing.begin())
    silent(folder, 2 * SILENT_S)
    assert auto.live("digits") is not None
    pid = os.getpid()
    folder.stand(Standing(pid, (shadho_rendezvous.process_started(pid) or 0) + 1, shadho_rendezvous.this_machine(), "here"))
    assert auto.live("digits") is None


def test_a_keeper_that_does_not_begin_in_time_is_ended(wish: Wish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def start(argv: list[str], **keys: Any) -> subprocess.Popen[bytes]:
        begun.append(popen(["sleep", "600"], **keys))
        return begun[-1]

    popen = subprocess.Popen
    (tmp_path / "work_queue_factory").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(auto, "_START_S", 0.0)
    monkeypatch.setattr(subprocess, "Popen", start)
    try:
        with pytest.raises(WorldError, match="was not started"):
            auto.begin(wish)
        assert begun[0].returncode is not None
    finally:
        begun[0].kill()
        begun[0].wait()
