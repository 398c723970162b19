"""The package as a newcomer gets it, and the rules of the house that no tool knows."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import shadho_like

ROOT = Path(__file__).parent.parent
LONGEST = 400
COMMANDS = ("shadho", "wq_worker", "shadho_wq_worker")
PATIENT = {"PIP_DEFAULT_TIMEOUT": "120", "PIP_RETRIES": "10"}
"""The index of packages may be busy."""


def metadata() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def sources() -> list[Path]:
    return [path for folder in ("shadho_like", "worker", "scripts") for path in (ROOT / folder).rglob("*.py")]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy what a clone holds, as it is in this working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "clone" / name)
    return tmp_path / "clone"


def has_everything(python: Path, elsewhere: Path) -> None:
    """See that an environment has the package, the worker's modules and the commands."""
    modules = [module for module in metadata()["options"]["py_modules"].split() if (ROOT / f"worker/{module}.py").exists()]
    code = f"import {', '.join(modules)}; from shadho_like import Shadho, rand, spaces"
    done = subprocess.run([python, "-I", "-c", code], cwd=elsewhere, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert os.access(python.parent / command, os.X_OK)
    said = subprocess.run([python.parent / "shadho", "--version"], cwd=elsewhere, capture_output=True, text=True, check=True)
    assert said.stdout == f"shadho, version {shadho_like.__version__}\n"


def test_quickstart(clone: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run(["scripts/quickstart.sh"], cwd=clone, env={**PATIENT, **os.environ}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        best = re.search(r"^Optimal loss: (\S+)$", done.stdout, re.MULTILINE)
        assert best is not None
        assert 0 <= float(best[1]) < 0.01
    assert "installing" not in done.stdout
    has_everything(clone / ".venv/bin/python", tmp_path)


def test_pip_install(clone: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    command = [str(python), "-m", "pip", "install", "-q", "."]
    done = subprocess.run(command, cwd=clone, env={**PATIENT, **os.environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(clone)
    has_everything(python, tmp_path)


def test_an_import_loads_nothing_heavy() -> None:
    code = "import sys, shadho_like; print(sorted({'numpy', 'rich', 'sqlite3', 'cloudpickle', 'click'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_public_names() -> None:
    assert sorted(shadho_like.__all__) == ["Result", "Shadho", "ShadhoError", "UserError", "WorldError", "rand", "spaces"]
    for name in shadho_like.__all__:
        assert getattr(shadho_like, name) is not None
    with pytest.raises(AttributeError, match="module 'shadho_like' has no attribute 'shadho'"):
        _ = shadho_like.shadho


def test_every_module_of_the_worker_is_installed() -> None:
    assert sorted(metadata()["options"]["py_modules"].split()) == sorted(path.stem for path in (ROOT / "worker").glob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "it does not say what lives in it"
    lines = text.count("\n")
    assert lines <= LONGEST, "it holds two ideas: take it apart"
    assert "TODO" not in text


@pytest.mark.parametrize("name", [".ci/run", *(f"scripts/{name}.sh" for name in ("check", "environment", "quickstart", "test"))])
def test_scripts_can_be_run(name: str) -> None:
    subprocess.run(["bash", "-n", ROOT / name], check=True)
    assert os.access(ROOT / name, os.X_OK) is (name != "scripts/environment.sh")


def test_no_python_that_is_new_enough(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "cat", "cksum", "dirname"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    environment = {"PATH": str(tmp_path / "bin")}
    done = subprocess.run(["scripts/quickstart.sh"], cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: Python 3.10 or later is needed, and no python3 on the PATH is that new\n"
