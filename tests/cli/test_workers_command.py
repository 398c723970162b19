"""`shadho workers submit` before anything is submitted: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shadho_like.batch import SYSTEMS
from shadho_like.cli.main import cli


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    return tmp_path


def workers(*words: str) -> Result:
    return CliRunner().invoke(cli, ["workers", *words])


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_dry_run_prints_the_script_and_leaves_nothing(home: Path, system: str) -> None:
    said = workers("submit", "--batch", system, "--name", "digits", "--wq-worker", "/env/wq_worker", "--dry-run", "--", "-q", "gpu")
    assert said.exit_code == 0
    assert "/env/wq_worker" in said.stdout
    assert "-M digits --cores 1 --gpus 0 --drain-grace 60" in said.stdout
    assert not (home / "home").exists()


def test_options_that_cannot_be_are_said_in_a_line() -> None:
    said = workers("submit", "--batch", "slurm", "--name", "digits", "--time", "soon")
    assert said.exit_code == 2
    assert said.stderr == "error: 'soon' is no time: give minutes (90), hours:minutes:seconds (1:30:00) or days-hours (2-12)\n"


def test_without_the_batch_system_nothing_is_submitted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    said = workers("submit", "--batch", "sge", "--name", "digits", "--wq-worker", "/env/wq_worker")
    assert said.exit_code == 1
    assert said.stderr == "error: qsub is not on the PATH: is this a machine from which jobs are submitted?\n"


def test_a_search_without_workers(home: Path) -> None:
    for command in (["status", "digits"], ["drain", "digits"], ["scale", "digits", "2"]):
        said = workers(*command)
        assert said.exit_code == 2
        assert said.stderr == f"error: no workers were submitted for 'digits': {home}/home/workers/digits holds none; see shadho workers submit\n"
