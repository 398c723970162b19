"""On a real Slurm: submitted workers show trials the device that Slurm gave, a drained one hands its training on, a driver requeues."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.handed_on import was_handed_on, write_search
from e2e.processes import Environment, completed, running, until
from e2e.slurm import Slurm, need_slurm, running_slurm

from shadho_like.result import Result

pytestmark = pytest.mark.usefixtures("work_queue_installed")
SCRIPTS = Path(__file__).parents[2] / "scripts/slurm"

DEVICES = """
from shadho_like import Shadho, rand
command = ''': >"BEGUN/$SLURM_ARRAY_TASK_ID-$CUDA_VISIBLE_DEVICES"; until [ -e GATE ]; do sleep 0.1; done
echo '{"loss": 1, "device": "'$CUDA_VISIBLE_DEVICES'", "worker": "'$SLURM_ARRAY_TASK_ID'"}' > result.json'''
opt = Shadho(command, {"x": rand.uniform(0, 1)}, name="devices", max_tasks=40, timeout=None)
opt.config.workqueue.name = "devices"
opt.config.workqueue.address = "127.0.0.1"
opt.config.workqueue.gpus = 1
opt.run()
"""
# From the fourth on, each trial waits for the test.
DRIVER = """
from shadho_like import Shadho, rand
command = '''echo >>BEGUN; until [ $(wc -l <BEGUN) -le 3 ] || [ -e GATE ]; do sleep 0.1; done; echo '{"loss": 1}' > result.json'''
opt = Shadho(command, {"x": rand.uniform(0, 1)}, name="requeued", workers=1, max_tasks=12, timeout=None)
opt.run()
"""


@pytest.fixture
def slurm(tmp_path: Path, environment: Environment) -> Iterator[Slurm]:
    need_slurm()
    (tmp_path / "slurm").mkdir()
    with running_slurm(tmp_path / "slurm", environment) as started:
        yield started


def write_driver(folder: Path, text: str) -> tuple[Path, Path]:
    """Write `driver.py`; return where its trials say that they have begun, and the file for which they wait."""
    begun, gate = folder / "begun", folder / "gate"
    (folder / "driver.py").write_text(text.replace("BEGUN", str(begun)).replace("GATE", str(gate)))
    return begun, gate


def shadho(slurm: Slurm, *words: str) -> list[str]:
    return slurm.run("shadho", "workers", *words).splitlines()


def submit(slurm: Slurm, name: str, *options: str) -> list[str]:
    return shadho(slurm, "submit", "--batch", "slurm", "--name", name, "--worker-option=--disk", "--worker-option=1000", *options)


def test_trials_see_the_device_that_slurm_gave(tmp_path: Path, slurm: Slurm) -> None:
    begun, gate = write_driver(tmp_path, DEVICES)
    begun.mkdir()
    with running(["python", "driver.py"], tmp_path, slurm.environment) as driver:
        ids = submit(slurm, "devices", "-n", "2", "--gpus", "1", "--memory", "500M", "--", "--comment=two of them")
        assert len(ids) == 2
        until(lambda: len(list(begun.iterdir())) == 2, "a trial on each of two workers", driver)
        assert "2 running" in shadho(slurm, "status", "devices")[0]
        given = {each.partition("_")[2]: _device(slurm, each) for each in ids}
        gate.touch()
        assert "completed" in driver.communicate()[0]
        assert driver.returncode == 0
    trials = Result(tmp_path / "experiments/devices").trials
    assert len(trials) == 40
    assert {(str(trial.metrics["worker"]), str(trial.metrics["device"])) for trial in trials} == set(given.items())
    until(lambda: shadho(slurm, "status", "devices") == ["devices: none in a queue"], "the end of the workers")


def _device(slurm: Slurm, job: str) -> str:
    """Return the index of the GPU that a job was given."""
    found = re.search(r"GRES=gpu(?::\w+)?:1\(IDX:(\d)\)", slurm.run("scontrol", "--details", "show", "job", job))
    assert found
    return found[1]


def test_workers_are_added_and_taken_out(tmp_path: Path, slurm: Slurm) -> None:
    ids = submit(slurm, "nobody", "-n", "3", "--cores", "2", "--memory", "500M")
    until(lambda: shadho(slurm, "status", "nobody")[0] == "nobody: 1 waiting, 2 running", "two workers that have room")
    assert shadho(slurm, "scale", "nobody", "2") == [f"drained {ids[2]}"]
    [said] = shadho(slurm, "scale", "nobody", "3")
    assert re.fullmatch(r"submitted \d+_1", said)
    assert shadho(slurm, "scale", "nobody", "3") == ["nobody has 3 already"]
    assert shadho(slurm, "drain", "nobody") == ["nobody: 1 waiting, 2 running; told to end"]
    until(lambda: shadho(slurm, "status", "nobody") == ["nobody: none in a queue"], "the end of all workers")


@pytest.mark.parametrize("end", ["drain", "time limit"])
def test_a_worker_that_is_to_end_hands_its_training_on(tmp_path: Path, slurm: Slurm, end: str) -> None:
    sign = write_search(tmp_path, "long")
    # 40 s at least to begin, for Slurm may tell of the end 30 s too early; 20 s to end; and the 30 s that a worker leaves free.
    options = ["--memory", "500M", *(["--time", "0:02:00", "--drain-grace", "20"] if end == "time limit" else [])]
    with running(["python", "driver.py"], tmp_path, slurm.environment) as driver:
        [first] = submit(slurm, "long", *options)
        until(sign.exists, "a training", driver)
        if end == "drain":
            assert shadho(slurm, "drain", "long") == ["long: 1 running; told to end"]
        until(lambda: shadho(slurm, "status", "long") == ["long: none in a queue"], "the end of the worker", driver)
        # By itself, and not killed by Slurm.
        assert slurm.state(first) == "FAILED"
        assert shadho(slurm, "scale", "long", "1")[0].startswith("submitted ")
        assert "completed" in driver.communicate()[0]
    assert was_handed_on(tmp_path, "long")


def test_a_driver_puts_itself_into_the_queue_again_and_carries_on(tmp_path: Path, slurm: Slurm) -> None:
    _, gate = write_driver(tmp_path, DRIVER)
    script = str(SCRIPTS / "driver.sbatch")
    directory = tmp_path / "experiments/requeued"
    command = ["sbatch", "--parsable", f"--chdir={tmp_path}", "--mem=500M", "--output=driver.log", script, "driver.py"]
    job = slurm.run(*command)
    until(lambda: completed(directory) >= 3, "three trials")
    slurm.run("scancel", "--batch", "--signal=TERM", job)
    log = tmp_path / "driver.log"
    until(lambda: "the driver goes on when this job runs again" in log.read_text(), "the driver's end")
    assert completed(directory) == 3
    gate.touch()
    until(lambda: slurm.state(job) == "PENDING", "the job in the queue again")
    # It would wait there for two minutes; begun in the second of its end, Slurm would take it for the job that has ended.
    slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now+5")
    until(lambda: slurm.state(job) == "COMPLETED", f"the end of the job after its requeue; see {log}")
    result = Result(directory)
    assert result.counts == {"COMPLETED": 12}
    assert sum(trial.attempt for trial in result.trials) <= 13
    assert log.read_text().count("Optimal loss: ") == 2


def test_a_canceled_driver_stays_canceled(tmp_path: Path, slurm: Slurm) -> None:
    write_driver(tmp_path, DRIVER)
    command = ["sbatch", "--parsable", f"--chdir={tmp_path}", "--mem=500M", "--output=driver.log", str(SCRIPTS / "driver.sbatch"), "driver.py"]
    job = slurm.run(*command)
    until(lambda: completed(tmp_path / "experiments/requeued") >= 1, "a trial")
    slurm.run("scancel", job)
    until(lambda: slurm.state(job) == "CANCELLED", "the end of the job")
    assert "the driver goes on" not in (tmp_path / "driver.log").read_text()


SIZES = {
    "wq_worker.sbatch": ["--gres=gpu:1"],
    "array.sbatch": ["--array=1-2", "--gres=gpu:1"],
    "per_node.sbatch": ["--nodes=1", "--gres=gpu:2"],
    "per_gpu.sbatch": ["--ntasks=2"],
}


@pytest.mark.parametrize("name", SIZES)
def test_trials_run_on_the_workers_of_the_scripts(tmp_path: Path, slurm: Slurm, name: str) -> None:
    begun, gate = write_driver(tmp_path, DEVICES)
    begun.mkdir()
    expected = {"0"} if name == "wq_worker.sbatch" else {"0", "1"}
    small = [*SIZES[name], "--cpus-per-task=1", "--mem=100M", f"--chdir={tmp_path}", "--output=worker.log"]
    with running(["python", "driver.py"], tmp_path, slurm.environment) as driver:
        limits = ["--memory", "200", "--disk", "1000"]
        slurm.run("sbatch", *small, str(SCRIPTS / name), "devices", *limits)
        until(lambda: {path.name.rpartition("-")[2] for path in begun.iterdir()} >= expected, "a trial on each device", driver)
        gate.touch()
        assert "completed" in driver.communicate()[0], (tmp_path / "worker.log").read_text()
    devices = {str(trial.metrics["device"]) for trial in Result(tmp_path / "experiments/devices").trials}
    assert devices == expected


@pytest.mark.parametrize("name", sorted(path.name for path in SCRIPTS.glob("*.sbatch")))
def test_slurm_takes_the_scripts(tmp_path: Path, slurm: Slurm, name: str) -> None:
    """The directives are those of this Slurm; the sizes are made to fit the small one of the test."""
    small = ["--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--mem=100M", "--array=1", "--gres=gpu:1", "--gpus-per-task=1"]
    done = subprocess.run(
        ["sbatch", "--test-only", *small, str(SCRIPTS / name), "any"], env=slurm.environment, capture_output=True, text=True, check=False
    )
    assert "to start at" in done.stderr, done.stderr
