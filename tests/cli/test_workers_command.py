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


CONFIG = """
name: digits
entrypoint: python train.py
searcher: {name: random, metric: loss}
resources: {slots_per_trial: 1, cores: 4, memory: 8000}
slurm: {workers: 3, slots_per_node: 2, gpu_type: a100, time: 4:00:00, sbatch_args: [--partition=gpu]}
"""


def test_a_configuration_says_which_workers(home: Path) -> None:
    path = home / "exp.yaml"
    path.write_text(CONFIG)
    given = ("submit", "--config", str(path), "--wq-worker", "/env/wq_worker", "--dry-run")
    script = workers(*given).stdout
    wanted = ("--array=1-3", "--cpus-per-task=8", "--gres=gpu:a100:2", "--mem=16000M", "--time=4:00:00", "--partition=gpu")
    assert all(f"#SBATCH {option}\n" in script for option in wanted)
    assert "-M digits --cores 8 --gpus 2 --memory 16000 --wall-time 14400" in script
    changed = workers(*given, "-n", "5", "--name", "other", "--gpus", "0", "--", "--qos=low").stdout
    assert "#SBATCH --array=1-5\n" in changed
    assert "--gres" not in changed
    assert "#SBATCH --partition=gpu --qos=low\n" in changed
    assert "-M other " in changed
    assert "#PBS -l select=1:ncpus=4:ngpus=1:mem=8000mb\n" in workers(*given, "--batch", "pbs").stdout


def test_a_configuration_that_does_not_say_which_workers(home: Path) -> None:
    path = home / "exp.yaml"
    path.write_text(CONFIG.replace("slurm:", "pbs: {}\nslurm:"))
    assert workers("submit", "--config", str(path)).stderr == f"error: {path} has both slurm and pbs: say which batch system it is, as in --batch slurm\n"
    path.write_text(CONFIG.partition("slurm:")[0])
    assert "has neither slurm nor pbs" in workers("submit", "--config", str(path)).stderr
    path.write_text(CONFIG.replace("workers: 3", "workers: 0"))
    said = workers("submit", "--config", str(path))
    assert (said.exit_code, said.stderr) == (2, f"error: {path}:6: slurm.workers: must be a whole number of at least 1, not 0\n")
    assert workers("submit").stderr == "error: --batch and --name: give it, or --config with an experiment's YAML that says it\n"


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
