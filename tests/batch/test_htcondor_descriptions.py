"""HTCondor is not to be had for tests, but its parser is, in its Python package: the jobs that it makes of our submit descriptions."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch.test_batch import JOB
from parts import lack

from shadho_like.batch import workers
from shadho_like.batch.base import WorkerJob

SCRIPTS = Path(__file__).parents[2] / "scripts/htcondor"


def jobs(text: str, **given: str) -> list[Mapping[str, Any]]:
    """Return what `condor_submit` would queue; a word that it does not know is a warning, and so an error here."""
    os.environ.setdefault("CONDOR_CONFIG", os.devnull)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import htcondor
    except ImportError:
        lack("HTCondor's parser is missing: pip install 'htcondor < 25'")
    description = htcondor.Submit(text)
    for name, value in given.items():
        description[name] = value
    return list(description.jobs(count=int(description.getQArgs() or 1), clusterid=7))


def test_the_workers_that_are_submitted() -> None:
    job = replace(JOB, path="/opt/my env/bin:/usr/bin", batch_options=("accounting_group = mine",))
    made = jobs(workers.system_of("htcondor").script(job))
    assert [(each["ClusterId"], each["ProcId"]) for each in made] == [(7, 0), (7, 1), (7, 2)]
    last = made[-1]
    expected = {
        "Cmd": job.worker,
        "RequestCpus": 8,
        "RequestGPUs": 1,
        "RequestMemory": 16000,
        "AllowedJobDuration": 14400,
        "JobMaxVacateTime": 90,
        "KillSig": "SIGTERM",
        "RemoveKillSig": "SIGTERM",
        "Out": f"{job.logs}/7.2.log",
        "TransferExecutable": False,
        "ShouldTransferFiles": "NO",
        "JobBatchName": job.job_name,
    }
    assert {name: last[name] for name in expected} == expected
    assert words(last["Arguments"]) == job.argv[1:]
    assert sorted(words(last["Environment"])) == ["PATH=/opt/my env/bin:/usr/bin", f"SHADHO_HOME={job.home}"]


@pytest.mark.parametrize("search", ["it's", 'say "hi"', "a  b", "$(Cluster) $HOME", "ends\\"])
def test_any_name_of_a_search_arrives_as_it_is(search: str) -> None:
    job: WorkerJob = replace(JOB, search=search, count=1, logs="/home/$(Owner)/logs")
    [made] = jobs(workers.system_of("htcondor").script(job))
    assert words(made["Arguments"]) == job.argv[1:]
    assert made["UserLog"] == "/home/$(Owner)/logs/7.events"


def test_the_descriptions_to_copy() -> None:
    made = jobs((SCRIPTS / "wq_worker.sub").read_text(), name="digits")
    assert len(made) == 10
    assert words(made[0]["Arguments"]) == ["wq_worker", "-M", "digits", "--cores", "8"]
    assert any(word.startswith("PATH=") for word in words(made[0]["Environment"]))
    [driver] = jobs((SCRIPTS / "driver.sub").read_text(), driver="driver.py")
    assert words(driver["Arguments"]) == ["python", "driver.py"]
    assert "ExitBySignal" in str(driver["OnExitRemove"])


def words(text: str) -> list[str]:
    """Return the words of HTCondor's own syntax: single quotes hold blanks, and two of them within are one."""
    assert re.fullmatch(r"([^']|'([^']|'')*')*", text), text
    found = re.findall(r"(?:[^\s']|'(?:[^']|'')*')+", text)
    return [re.sub(r"'((?:[^']|'')*)'", lambda match: match[1].replace("''", "'"), word) for word in found]
