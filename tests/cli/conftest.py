"""Searches for the tests of commands: made once, copied for each test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cli import prepared


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the two searches were run."""
    folder = tmp_path_factory.mktemp("built") / "place"
    folder.mkdir()
    prepared.build(folder, {**os.environ, "PATH": _path(), "SHADHO_HOME": str(folder / "home")})
    return folder


@pytest.fixture
def place(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which is the current one."""
    folder = prepared.copy(built, tmp_path / "place")
    monkeypatch.setenv("SHADHO_HOME", str(folder / "home"))
    monkeypatch.setenv("PATH", _path())
    monkeypatch.chdir(folder)
    return folder


def _path() -> str:
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
