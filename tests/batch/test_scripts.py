"""The scripts to copy: they are shell, and every directive is one that the batch system has. Slurm's are run in `e2e/test_slurm.py`."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
SHELL = sorted(path for system in ("slurm", "sge", "pbs") for path in (SCRIPTS / system).iterdir())
MARKS = {".sbatch": "#SBATCH ", ".sge": "#$ ", ".pbs": "#PBS "}
KNOWN = {
    ".sbatch": {
        "--array", "--cpus-per-task", "--exclusive", "--gpus-per-task", "--gres", "--job-name", "--mem", "--no-requeue", "--nodes",
        "--ntasks", "--ntasks-per-node", "--open-mode", "--output", "--requeue", "--signal", "--time",
    },
    ".sge": {"-N", "-S", "-cwd", "-j", "-l", "-notify", "-pe", "-r"},
    ".pbs": {"-N", "-j", "-l", "-r"},
}
COMMANDS = {
    "arguments", "batch_name", "error", "executable", "getenv", "job_max_vacate_time", "kill_sig", "log", "on_exit_remove", "output",
    "remove_kill_sig", "request_cpus", "request_gpus", "request_memory", "should_transfer_files", "transfer_executable", "universe",
}


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_they_are_shell(path: Path) -> None:
    subprocess.run([path.read_text().splitlines()[0][2:], "-n", path], check=True)


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_their_directives(path: Path) -> None:
    mark = MARKS[path.suffix]
    lines = path.read_text().splitlines()
    words = [word for line in lines if line.startswith(mark) for word in shlex.split(line[len(mark) :])]
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= KNOWN[path.suffix]
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first_command:] if line.startswith(mark)], "what comes after a command is not read"


@pytest.mark.parametrize("path", sorted((SCRIPTS / "htcondor").iterdir()), ids=lambda path: path.name)
def test_the_descriptions_for_htcondor(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert re.fullmatch(r"queue( \d+)?", lines.pop())
    assert {line.partition(" = ")[0] for line in lines} <= COMMANDS


@pytest.mark.parametrize("path", [path for path in SHELL if path.name == "driver.sge"], ids=lambda path: path.name)
def test_a_driver_that_was_told_asks_to_run_again(path: Path, tmp_path: Path) -> None:
    """The signal goes to the whole job, and the driver gets SIGTERM alone."""
    python = tmp_path / "python"
    # The signal comes when the job's shell catches it, which is after it has started the driver.
    caught = "$((0x$(grep SigCgt /proc/$PPID/status | tail -c 9) & 0x200))"
    waits = f"while [ {caught} = 0 ]; do sleep 0.01; done"
    python.write_text(f"#!/bin/sh\ntrap 'exit 0' TERM\n{waits}\nkill -USR1 0\nwhile :; do sleep 0.1; done\n")
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", path, "driver.py"], env=environment, check=False, start_new_session=True)
    assert done.returncode == 99
