"""The scripts of each batch system, what its commands print, and the workers that are kept in between; the commands are stand-ins."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from shadho_like.batch import SYSTEMS, workers
from shadho_like.batch.base import Place, WorkerJob, clock, read_clock, read_memory
from shadho_like.errors import OptionError, WorldError

JOB = WorkerJob("my digits", 3, "/opt/env/bin/wq_worker", "/home/me/.shadho_like", "/home/me/logs %", 1, 8, 16000, 14400)
WORKER = "--cores 8 --gpus 1 --memory 16000 --wall-time 14400 --drain-grace 60"
SUBMITTED = {
    "slurm": ("12\n", ("12_1", "12_2", "12_3")),
    "sge": ("12.1-3:1\n", ("12.1", "12.2", "12.3")),
    "pbs": ("12[].head\n", ("12[1].head", "12[2].head", "12[3].head")),
    "htcondor": ("12.0 - 12.2\n", ("12.0", "12.1", "12.2")),
}
LISTED = {
    "slurm": "12_1|RUNNING\n12_2|PENDING\n9|RUNNING\n",
    "sge": """job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID
-----------------------------------------------------------------------------------------------------------------
     12 0.55500 wq_my_digi me           r     11/21/2026 09:30:00 all.q@host                         8 1
     12 0.00000 wq_my_digi me           qw    11/21/2026 09:30:00                                    8 2
""",
    "pbs": '{"Jobs": {"12[].head": {"job_state": "B"}, "12[1].head": {"job_state": "R"}, "12[2].head": {"job_state": "Q"}}}',
    "htcondor": '[{"ClusterId": 12, "ProcId": 0, "JobStatus": 2}, {"ClusterId": 12, "ProcId": 1, "JobStatus": 1}]',
}
DRAINED = {
    "slurm": ["scancel 12_2", "scancel --batch --signal=TERM 12_1"],
    "sge": ["qdel 12.2", "qdel 12.1"],
    "pbs": ["qdel 12[2].head", "qsig -s SIGUSR1 12[1].head"],
    "htcondor": ["condor_rm 12.1", "condor_rm 12.0"],
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path


def stand_in(home: Path, name: str, prints: str = "", status: int = 0) -> None:
    """Put a command there that writes down how it was called."""
    (home / f"{name}.out").write_text(prints)
    path = home / "bin" / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >> {home}/calls\ncat {home}/{name}.out\nexit {status}\n')
    path.chmod(0o755)


def calls(home: Path) -> list[str]:
    path = home / "calls"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(params=SYSTEMS)
def name(request: pytest.FixtureRequest, home: Path) -> str:
    """A batch system whose commands are stand-ins."""
    chosen = str(request.param)
    system = workers.system_of(chosen)
    stand_in(home, system.submit[0], SUBMITTED[chosen][0])
    stand_in(home, system.listing[0], LISTED[chosen])
    for command in DRAINED[chosen]:
        stand_in(home, command.split()[0])
    return chosen


def job_of(home: Path) -> WorkerJob:
    return replace(JOB, logs=str(home / "logs"))


def test_submitted_workers_are_found_again(home: Path, name: str) -> None:
    made = workers.submit(workers.system_of(name), job_of(home))
    first, second, third = SUBMITTED[name][1]
    assert made.ids == (first, second, third)
    assert calls(home)[-1] == " ".join([*workers.system_of(name).submit, made.script])
    [found] = workers.found("my digits")
    assert found.submission == made
    assert found.places == {first: Place.RUNNING, second: Place.WAITING}


def test_draining_takes_out_what_waits_and_asks_what_runs(home: Path, name: str) -> None:
    workers.submit(workers.system_of(name), job_of(home))
    workers.drain("my digits")
    assert calls(home)[-2:] == DRAINED[name]


def test_what_a_batch_system_does_not_say_is_not_known(home: Path, name: str) -> None:
    system = workers.system_of(name)
    workers.submit(system, job_of(home))
    stand_in(home, system.listing[0], "the server is down", status=1)
    with pytest.raises(WorldError, match="failed with status 1 and said: the server is down"):
        workers.found("my digits")


def test_a_refused_script_is_no_submission(home: Path, name: str) -> None:
    system = workers.system_of(name)
    stand_in(home, system.submit[0], "no such queue", status=1)
    with pytest.raises(WorldError, match="said: no such queue"):
        workers.submit(system, job_of(home))
    with pytest.raises(OptionError, match="no workers were submitted for 'my digits'"):
        workers.found("my digits")


@pytest.mark.parametrize("name", ["slurm", "sge", "pbs"])
@pytest.mark.parametrize("job", [JOB, replace(JOB, count=1, gpus=0, memory_mb=None, time_s=None)])
def test_scripts_are_shell(name: str, job: WorkerJob, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(workers.system_of(name).script(job))
    subprocess.run(["sh", "-n", tmp_path / "script"], check=True)


@pytest.mark.parametrize("name", ["sge", "pbs"])
def test_only_the_shell_answers_the_signal_to_the_whole_job(name: str, tmp_path: Path) -> None:
    """The worker gets SIGTERM, and its exit status is the job's."""
    worker = tmp_path / "wq worker"
    word, bit = ("USR2", 0x800) if name == "sge" else ("USR1", 0x200)
    # The signal comes when the job's shell catches it, which is after it has started the worker.
    caught = f"$((0x$(grep SigCgt /proc/$PPID/status | tail -c 9) & {bit}))"
    worker.write_text(
        f"#!/bin/sh\ntrap 'echo drained >> {tmp_path}/said; exit 143' TERM\nwhile [ {caught} = 0 ]; do sleep 0.01; done\n"
        f'case " $* " in *" -M my digits "*) kill -{word} 0 ;; esac\nwhile :; do sleep 0.1; done\n'
    )
    worker.chmod(0o755)
    script = workers.system_of(name).script(replace(JOB, worker=str(worker)))
    done = subprocess.run(["sh", "-c", script], check=False, start_new_session=True)
    assert done.returncode == 143
    assert (tmp_path / "said").read_text() == "drained\n"


def test_the_text_for_slurm() -> None:
    script = workers.system_of("slurm").script(replace(JOB, batch_options=("--partition=gpu", "--comment=my own")))
    assert script == f"""\
#!/bin/sh
#SBATCH --job-name=wq_my_digits
#SBATCH --array=1-3
#SBATCH --output='/home/me/logs %%/%A_%a.log'
#SBATCH --nodes=1 --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --mem=16000M
#SBATCH --time=4:00:00
# The worker hears of its end, by time or by preemption, 90 s before.
#SBATCH --signal=B:TERM@90
#SBATCH --no-requeue
#SBATCH --partition=gpu '--comment=my own'

export SHADHO_HOME=/home/me/.shadho_like
# In the place of the shell: Slurm's signal to the script is the worker's.
exec /opt/env/bin/wq_worker -M 'my digits' {WORKER}
"""


@pytest.mark.parametrize("name", ["sge", "pbs"])
@pytest.mark.parametrize("there", ["/usr/bin:/bin", None])
def test_a_worker_finds_what_the_terminal_found(name: str, there: str | None, tmp_path: Path) -> None:
    """Its job begins with a bare PATH, or with none."""
    folder = tmp_path / "my env's"
    folder.mkdir()
    (folder / "train").write_text("#!/bin/sh\necho trained\n")
    worker = tmp_path / "worker"
    worker.write_text("#!/bin/sh\ntrain && ls /dev/null\n")
    for program in (folder / "train", worker):
        program.chmod(0o755)
    script = workers.system_of(name).script(replace(JOB, worker=str(worker), path=f"{folder}:/no/such"))
    environment = {} if there is None else {"PATH": there}
    done = subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "trained\n/dev/null\n"), done.stderr


def test_the_quotes_of_htcondor() -> None:
    script = workers.system_of("htcondor").script(replace(JOB, search="it's", batch_options=("accounting_group = me",)))
    assert f'''arguments = "-M 'it''s' {WORKER}"''' in script.splitlines()
    assert "accounting_group = me" in script.splitlines()


def test_times_and_amounts() -> None:
    assert [read_clock(text) for text in ("90", "1:30", "4:00:00", "2-12", "1-1:30", "0:01:00")] == [5400, 90, 14400, 216000, 91800, 60]
    assert clock(216061) == "60:01:01"
    assert [read_memory(text) for text in ("16G", "500M", "500", "1tb")] == [16384, 500, 500, 1048576]
    with pytest.raises(OptionError, match="'soon' is no time"):
        read_clock("soon")
    for wrong in ("much", "0", "1.5G"):
        with pytest.raises(OptionError, match="is no amount of memory"):
            read_memory(wrong)


def test_a_time_that_is_over_before_it_begins() -> None:
    with pytest.raises(OptionError, match="--time 60 s leaves no time to work: it must hold 60 s for running trials to end"):
        replace(JOB, time_s=60)


def test_lines_in_names_cannot_write_the_script() -> None:
    with pytest.raises(OptionError, match="cannot stand in a batch script"):
        replace(JOB, search="x\n#SBATCH --wrap=evil")


def test_the_record_survives_another_version(home: Path) -> None:
    stand_in(home, "sbatch", "1")
    workers.submit(workers.system_of("slurm"), job_of(home))
    path = home / "home/workers/my%20digits/submitted.json"
    path.write_text(json.dumps({"version": 2, "submissions": []}))
    with pytest.raises(WorldError, match="was written by another version of this package"):
        workers.found("my digits")
