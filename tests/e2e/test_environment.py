"""Trials in an environment of their own: packed on the driver's machine, unpacked once on a worker that has nothing but a bare Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest
from e2e.processes import Environment, running

from shadho_like.result import Result

ROOT = Path(__file__).parents[2]
OBJECTIVE = """
from shadho_like import Shadho, rand

def objective(params):
    import os, sys
    import numpy
    return {"loss": float(numpy.sum([params["x"]])), "prefix": sys.prefix, "numpy": numpy.__file__, "parent": os.getppid()}

if __name__ == "__main__":
    opt = Shadho(objective, {"x": rand.uniform(0, 1)}, max_tasks=12, name="packed", timeout=120)
    opt.config.workqueue.name = "packed"
    opt.config.workqueue.address = "127.0.0.1"
    opt.config.workqueue.environment = "ENVIRONMENT"
    opt.run()
"""
COMMAND = """
from shadho_like import Shadho, rand
opt = Shadho("greet; ls", {"x": rand.uniform(0, 1)}, max_tasks=2, name="packed", timeout=120)
opt.config.workqueue.name = "packed"
opt.config.workqueue.address = "127.0.0.1"
opt.config.workqueue.environment = "ENVIRONMENT"
opt.run()
"""
GREET = """#!{python}
import json, sys, numpy
json.dump({{"loss": 1, "prefix": sys.prefix, "numpy": numpy.__file__}}, open("result.json", "w"))
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A virtual environment with NumPy, cloudpickle and a program."""
    return environment_at(tmp_path / "made", "numpy*", "cloudpickle*")


def environment_at(path: Path, *packages: str) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    [there] = path.glob("lib/python*/site-packages")
    for pattern in packages:
        for package in Path(sysconfig.get_path("purelib")).glob(pattern):
            shutil.copytree(package, there / package.name, copy_function=_link)
    greet = path / "bin/greet"
    greet.write_text(GREET.format(python=path / "bin/python"))
    greet.chmod(0o755)
    return path


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def shadho(made: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this environment; the package itself lies elsewhere."""
    elsewhere = os.pathsep.join([str(ROOT), str(ROOT / "worker"), sysconfig.get_path("purelib")])
    command = [str(made / "bin/python"), "-c", "from shadho_like.cli.main import main; main()", "workers", *words]
    env = {**os.environ, "PYTHONPATH": elsewhere}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def search(folder: Path, environment: Environment, driver: str, value: str) -> Result:
    """Run a search with one worker, whose Python has no packages."""
    (folder / "driver.py").write_text(driver.replace("ENVIRONMENT", value))
    bare = environment_at(folder / "bare")
    with running(["python", "driver.py"], folder, environment) as process:
        here = {**environment, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "worker")}
        limits = ["--cores", "2", "--memory", "1000", "--disk", "2000", "--timeout", "60"]
        with running([str(bare / "bin/python"), "-m", "wq_worker", "-M", "packed", *limits], folder, here):
            said = process.communicate()[0]
    assert process.returncode == 0, said
    return Result(folder / "experiments/packed")


@pytest.mark.usefixtures("work_queue_installed")
def test_a_packed_environment_is_unpacked_once_and_kept_warm(tmp_path: Path, environment: Environment, made: Path) -> None:
    packed = shadho(made, tmp_path, "pack")
    assert packed.stdout == 'opt.config.workqueue.environment = "env.tar.gz"\n', packed.stderr
    assert shadho(made, tmp_path, "pack").stderr == "error: env.tar.gz exists: remove it, or give another name with --output\n"
    shutil.rmtree(made)
    result = search(tmp_path, environment, OBJECTIVE, "env.tar.gz")
    assert result.counts == {"COMPLETED": 12}
    [prefix] = {str(trial.metrics["prefix"]) for trial in result.trials}
    assert "/environment-" in prefix
    assert all(str(trial.metrics["numpy"]).startswith(prefix) for trial in result.trials)
    assert len({trial.metrics["parent"] for trial in result.trials}) < 12


@pytest.mark.usefixtures("work_queue_installed")
@pytest.mark.parametrize("shared", [False, True])
def test_programs_of_the_environment_are_found(tmp_path: Path, environment: Environment, made: Path, shared: bool) -> None:
    said = shadho(made, tmp_path, "pack", *(["--shared"] if shared else [])).stdout
    value = said.split('"')[1]
    assert value == (str(made) if shared else "env.tar.gz")
    result = search(tmp_path, environment, COMMAND, value)
    assert result.counts == {"COMPLETED": 2}
    for trial in result.trials:
        prefix = str(trial.metrics["prefix"])
        assert (prefix == str(made)) is shared
        assert str(trial.metrics["numpy"]).startswith(prefix)


def test_a_machine_without_the_python_says_so(tmp_path: Path) -> None:
    made = environment_at(tmp_path / "made")
    assert shadho(made, tmp_path, "pack").returncode == 0
    with tarfile.open(tmp_path / "env.tar.gz") as archive:
        script = archive.extractfile("bin/shadho-unpack")
        assert script is not None
        text = script.read().decode()
    (tmp_path / "there/bin").mkdir(parents=True)
    unpack = tmp_path / "there/bin/shadho-unpack"
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    unpack.write_text(text.replace(version, "3.99"))
    done = subprocess.run(["sh", str(unpack)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    expected = "it was packed for Python 3.99, and there is none here: install one, or have its folder on the worker's PATH\n"
    assert done.stderr == expected
