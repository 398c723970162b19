"""Every example in the command's --help, run as it stands beside two searches: it works, or ends with the status that it is to have."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from cli import prepared

from shadho_like.cli.main import cli

EXAMPLE = re.compile(r"^[ \t]*Example: (.+)$", re.MULTILINE)
# A batch system's commands that accept everything.
STUBS = {"sbatch": "echo 7", "squeue": "echo '7_1|RUNNING'", "scancel": "true"}
SUBMIT = "shadho workers submit --batch slurm --name digits"
BEFORE: Mapping[str, str] = {
    "experiment run": "rm -r experiments/digits; shadho experiment create experiment.yaml . --directory experiments/digits --follow",
    "experiment unarchive": "shadho experiment archive experiments/digits",
    "workers drain": SUBMIT,
    "workers scale": SUBMIT,
    "workers status": SUBMIT,
}
STATUS: Mapping[str, int] = {"workers doctor": 1}
"""Where another status is meant: here is no driver for workers to connect to."""
ENDLESS: Mapping[str, str] = {"dashboard": " --port 0"}
"""What runs until Ctrl-C, which comes once it has said that it is ready; with what is added, for it to get a port that nobody has."""
ELSEWHERE = frozenset({"workers pack"})
"""Run by tests/e2e/test_environment.py, in an environment that is packed in seconds; the tests' own takes most of a minute."""


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands(cli))
EXAMPLES = [(name, example) for name, command in ALL.items() for example in EXAMPLE.findall(command.help or "")]
HERE = [(name, example) for name, example in EXAMPLES if name not in ELSEWHERE]


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def until_ready(line: str) -> subprocess.CompletedProcess[str]:
    """Run what has no end by itself to its first line, and end it as a person does."""
    process = subprocess.Popen(shlex.split(line), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, faults = process.communicate()
    return subprocess.CompletedProcess(line, process.returncode, said + rest, faults)


@pytest.mark.parametrize("name", ALL)
def test_each_command_has_an_example_of_itself(name: str) -> None:
    examples = [example for of, example in EXAMPLES if of == name]
    assert examples
    assert all(example.startswith(f"shadho {name}") for example in examples)


@pytest.mark.parametrize(("name", "example"), HERE, ids=[example for _, example in HERE])
def test_the_example_works(place: Path, monkeypatch: pytest.MonkeyPatch, name: str, example: str) -> None:
    (place / "stubs").mkdir()
    for stub, does in STUBS.items():
        (place / "stubs" / stub).write_text(f"#!/bin/sh\n{does}\n")
        (place / "stubs" / stub).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place / 'stubs'}{os.pathsep}{os.environ['PATH']}")
    if name == "experiment activate":
        prepared.set_phase(place / prepared.UNDER_WAY, "PAUSED")
    if name in BEFORE:
        before = shell(BEFORE[name])
        assert before.returncode == 0, before.stdout + before.stderr
    done = until_ready(example + ENDLESS[name]) if name in ENDLESS else shell(example)
    assert done.returncode == STATUS.get(name, 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
