"""Trials in an environment of their own: packed on the driver's machine, unpacked once on a worker that has nothing but a bare Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest
from e2e.processes import Environment, running
from parts import need

from shadho_like.result import Result

ROOT = Path(__file__).parents[2]
OBJECTIVE = """
from shadho_like import Shadho, rand

def objective(params):
    import glob, os, sys, time
    import numpy
    # A trial that is quicker than the server of warm interpreters waits for it, so that those after it find it.
    while not glob.glob(os.environ["SHADHO_WARM"] + "/slot.*"):
        time.sleep(0.02)
    places = {"prefix": sys.prefix, "base": sys.base_prefix, "numpy": numpy.__file__}
    return {"loss": float(numpy.sum([params["x"]])), "parent": os.getppid(), **places}

if __name__ == "__main__":
    opt = Shadho(objective, {"x": rand.uniform(0, 1)}, max_tasks=12, name="packed", timeout=None)
    opt.config.workqueue.name = "packed"
    opt.config.workqueue.address = "127.0.0.1"
    opt.config.workqueue.environment = "ENVIRONMENT"
    opt.run()
"""
COMMAND = """
from shadho_like import Shadho, rand
opt = Shadho("greet; ls", {"x": rand.uniform(0, 1)}, max_tasks=2, name="packed", timeout=None)
opt.config.workqueue.name = "packed"
opt.config.workqueue.address = "127.0.0.1"
opt.config.workqueue.environment = "ENVIRONMENT"
opt.run()
"""
# What another process is writing, and renames when it has.
UNFINISHED = shutil.ignore_patterns("*.pyc.*")
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
            shutil.copytree(package, there / package.name, copy_function=_link, ignore=UNFINISHED)
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


def conda_environment_at(path: Path) -> Path:
    """What conda makes, as far as conda-pack looks at it: an interpreter of its own, and a record of which files came in packages."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library = path / "lib" / version
    unwanted = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "test", "config-*")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=unwanted, copy_function=_link)
    for shared in Path(str(sysconfig.get_config_var("LIBDIR"))).glob(f"lib{version}*.so*"):
        _link(str(shared), str(path / "lib" / shared.name))
    (path / "bin").mkdir()
    shutil.copy2(Path(sys.executable).resolve(), path / "bin" / version)
    for name in ("python", "python3"):
        (path / "bin" / name).symlink_to(version)
    files = [str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir()]
    record = {"name": "python", "version": "3", "url": "", "link": None, "files": files}
    (path / "conda-meta").mkdir()
    (path / "conda-meta/history").touch()
    (path / "conda-meta/python-3-0.json").write_text(json.dumps(record))
    for pattern in ("numpy*", "cloudpickle*"):
        for package in Path(sysconfig.get_path("purelib")).glob(pattern):
            shutil.copytree(package, library / "site-packages" / package.name, copy_function=_link, ignore=UNFINISHED)
    return path


@pytest.mark.usefixtures("work_queue_installed")
def test_a_conda_environment_brings_its_python_along(tmp_path: Path, environment: Environment) -> None:
    need("conda_pack")
    made = conda_environment_at(tmp_path / "made")
    packed = shadho(made, tmp_path, "pack")
    assert packed.stdout == 'opt.config.workqueue.environment = "env.tar.gz"\n', packed.stderr
    shutil.rmtree(made)
    result = search(tmp_path, environment, OBJECTIVE, "env.tar.gz")
    assert result.counts == {"COMPLETED": 12}
    [prefix] = {str(trial.metrics["prefix"]) for trial in result.trials}
    assert "/environment-" in prefix
    assert all(trial.metrics["base"] == prefix and str(trial.metrics["numpy"]).startswith(prefix) for trial in result.trials)


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
