"""PBS is not to be had for tests: its directives are read here by the grammar of its manual (PBS Professional, qsub(1B), pbs_resources(7B))."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from batch.test_batch import JOB

from shadho_like.batch import workers
from shadho_like.batch.base import WorkerJob

COPIED = sorted((Path(__file__).parents[2] / "scripts/pbs").iterdir())
JOBS = {
    "an array": JOB,
    "one worker": replace(JOB, count=1, gpus=0, memory_mb=None, time_s=None),
    "with options": replace(JOB, batch_options=("-q", "gpu", "-A", "my project"), search="9 lives: äöü $HOME"),
}
SIZE = r"\d+([kmgtp]?[bw])?"
OPTIONS = {
    # A name holds 236 characters at most, of which older versions take 15, and no blanks.
    "-N": r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,14}",
    "-J": r"(?P<first>\d+)-(?P<last>\d+)(:\d+)?(%\d+)?",
    "-j": r"oe|eo|n",
    "-o": r"([^:]+:)?/.*",
    "-r": r"[yn]",
    "-q": r"\S+",
    "-A": r".+",
}
RESOURCES = {
    "select": rf"\d+(:(ncpus=\d+|ngpus=\d+|mem={SIZE}))*",
    "walltime": r"(\d+:[0-5]\d:[0-5]\d|[0-5]?\d:[0-5]\d|\d+)",
}


def directives(text: str) -> list[tuple[str, str]]:
    """Return the options that qsub reads: of the lines before the first command, in one word or two."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            break
        if line.startswith("#PBS "):
            words = shlex.split(line.removeprefix("#PBS "))
            assert len(words) % 2 == 0, line
            found += zip(words[::2], words[1::2], strict=True)
    return found


def check(text: str) -> None:
    read = directives(text)
    assert read
    for option, value in read:
        if option == "-l":
            name, _, amount = value.partition("=")
            assert re.fullmatch(RESOURCES[name], amount), value
        else:
            match = re.fullmatch(OPTIONS[option], value)
            assert match is not None, f"{option} {value}"
            if option == "-J":
                assert int(match["first"]) < int(match["last"]), "an array has two subjobs at least"
    options = dict(read)
    assert not (options.get("-r") == "n" and "-J" in options), "subjobs of an array must be able to run again"
    assert sum(option == "-l" and value.startswith("select=") for option, value in read) == 1
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_what_is_submitted(job: WorkerJob) -> None:
    text = workers.system_of("pbs").script(job)
    check(text)
    read = directives(text)
    assert ("-o", job.logs) in read
    assert ("-A", "my project") in read or not job.batch_options


@pytest.mark.parametrize("path", COPIED, ids=lambda path: path.name)
def test_the_scripts_to_copy(path: Path) -> None:
    check(path.read_text())
