"""What all tests may ask for: the real Work Queue, and an environment in which nothing of the user's is read or written."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts import lack, need

pytest_plugins = ("fault_fixtures",)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the faults be chosen: how many, and which."""
    group = parser.getgroup("faults", "tests/faults")
    group.addoption("--faults", choices=("ci", "release"), default="ci", help="how many faults are injected (default: ci)")
    group.addoption("--faults-seed", type=int, default=20261121, metavar="N", help="which faults (default: %(default)s)")


@pytest.fixture(scope="session", autouse=True)
def home_of_all_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have searches that a test begins be known to nobody but the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADHO_HOME", str(tmp_path_factory.mktemp("shadho_home")))
        yield


def pytest_configure() -> None:
    """Have Ctrl-C reach what tests start: in a shell's background it is ignored, and that is passed on. No property is in a hurry."""
    from hypothesis import HealthCheck, settings

    signal.signal(signal.SIGINT, signal.default_int_handler)
    # In CI, every run draws the same.
    ci = bool(os.environ.get("CI"))
    settings.register_profile("unhurried", deadline=None, derandomize=ci, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def work_queue_installed() -> None:
    """Skip where there is no Work Queue, but fail in CI, which tests everything."""
    if shutil.which("work_queue_worker") is None or not any(map(_has_module, {sys.executable, "python3", "/usr/bin/python3"})):
        reason = "Work Queue is missing: apt-get install coop-computing-tools python3-workqueue, or conda-forge's ndcctools"
        lack(reason)


def _has_module(python: str) -> bool:
    code = "from importlib.util import find_spec; assert find_spec('ndcctools') or find_spec('work_queue')"
    return bool(shutil.which(python)) and subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder (`MPLCONFIGDIR`) by which matplotlib knows the fonts: it tells standard error where it looks for them longer than 5 s."""
    need("matplotlib")
    folder = str(tmp_path_factory.mktemp("fonts"))
    command = [sys.executable, "-c", "import matplotlib.font_manager"]
    subprocess.run(command, env={**os.environ, "MPLCONFIGDIR": folder}, capture_output=True, check=True)
    return folder


@pytest.fixture
def nobody_short_of_memory() -> Iterator[None]:
    """Let no two of these tests run at a time, side by side: the system counts whom it kills for want of memory on the whole machine."""
    with open(Path(tempfile.gettempdir()) / f"shadho-tests-{os.getuid()}.lock", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with an empty home and this Python's commands on the PATH."""
    home = tmp_path / "home"
    home.mkdir()
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHADHO", "CATALOG"))}
    return {**kept, "PATH": path, "HOME": str(home), "SHADHO_HOME": str(home / ".shadho_like")}
