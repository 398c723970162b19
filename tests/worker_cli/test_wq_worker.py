"""`wq_worker` finds a running search, works for it, finds it again, and leaves no process behind, whoever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shadho_rendezvous
import wq_worker
from e2e.processes import until

WORKER = [sys.executable, wq_worker.__file__]
MANAGER = """
import sys
try:
    from ndcctools import work_queue as wq
except ImportError:
    import work_queue as wq
queue = wq.WorkQueue(port=0)
print(queue.port, flush=True)
for command in sys.argv[1:]:
    queue.submit(wq.Task(command))
while not queue.empty():
    task = queue.wait(1)
    if task:
        print(task.return_status, task.output.strip(), flush=True)
"""


def _interpreter() -> str | None:
    for python in (sys.executable, "/usr/bin/python3"):
        for module in ("ndcctools.work_queue", "work_queue"):
            if os.path.exists(python) and subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0:
                return python
    return None


@pytest.fixture(scope="session")
def manager_python() -> str:
    python = _interpreter()
    if python is None or shutil.which("work_queue_worker") is None:
        reason = "Work Queue is missing: apt-get install coop-computing-tools python3-workqueue, or conda-forge's ndcctools"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return python


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.delenv("CATALOG_HOST", raising=False)
    (tmp_path / "tmp").mkdir()
    return tmp_path


@pytest.fixture
def start() -> Iterator[Callable[[list[str]], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def run(command: list[str]) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def publish(name: str, port: int, pid: int, run: str = "r1", machine: str | None = None, age_s: float = 0) -> Path:
    """Write the file of another process than this one."""
    path = Path(shadho_rendezvous.publish(os.environ["SHADHO_HOME"], name, "127.0.0.1", port, run))
    fields = json.loads(path.read_text())
    fields |= {"pid": pid, "pid_started": shadho_rendezvous.process_started(pid) or 1, "started_s": time.time() - age_s}
    path.write_text(json.dumps({**fields, "machine": machine or fields["machine"]}))
    return path


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def read_pid(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip().isdigit(), f"a process id in {path.name}")
    return int(path.read_text())


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_a_search_is_found_by_its_rendezvous_file(
    home: Path, manager_python: str, start: Callable[[list[str]], subprocess.Popen[str]]
) -> None:
    worker = start([*WORKER, "-M", "my search/1", "--cores", "1", "--gpus", "0"])
    assert line(worker).startswith("wq_worker: looking for my search/1 in ")
    manager = start([manager_python, "-c", MANAGER, "echo done"])
    port = int(line(manager))
    publish("my search/1", port, manager.pid)
    assert line(worker).startswith(f"wq_worker: connected to my search/1 at 127.0.0.1:{port} with ")
    assert line(manager) == "0 done"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait() == 128 + signal.SIGTERM
    assert list((home / "tmp").glob("wq_worker-*")) == []


def test_a_manager_is_reached_by_host_and_port_and_unknown_options_pass_through(
    home: Path, manager_python: str, start: Callable[[list[str]], subprocess.Popen[str]]
) -> None:
    manager = start([manager_python, "-c", MANAGER, "echo done"])
    port = line(manager)
    start([*WORKER, "--feature", "fast", "127.0.0.1", port])
    assert line(manager) == "0 done"


@pytest.mark.parametrize("victim", ["wq_worker", "guard", "work_queue_worker"])
def test_no_process_of_a_trial_outlives_its_worker(
    home: Path, manager_python: str, start: Callable[[list[str]], subprocess.Popen[str]], victim: str
) -> None:
    task = f"setsid sh -c 'echo $$ > {home}/daemon; exec sleep 600' & echo $PPID > {home}/worker; echo $$ > {home}/task; sleep 600"
    manager = start([manager_python, "-c", MANAGER, task])
    publish("s", int(line(manager)), manager.pid)
    worker = start([*WORKER, "-M", "s"])
    below = [read_pid(home / "daemon"), read_pid(home / "task")]
    work_queue_worker = read_pid(home / "worker")
    guard = int(Path(f"/proc/{work_queue_worker}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill({"wq_worker": worker.pid, "guard": guard, "work_queue_worker": work_queue_worker}[victim], signal.SIGKILL)
    until(lambda: all(map(gone, [*below, work_queue_worker])), "the end of the trial")
    if victim == "wq_worker":
        until(lambda: gone(guard) and not list((home / "tmp").glob("wq_worker-*")), "the end of the guard")


def test_files_of_drivers_that_are_gone_and_garbage_are_no_rendezvous(home: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    stale = publish("s", 1, ended.pid, "stale")
    old = publish("s", 2, os.getpid(), "old", age_s=60)
    publish("s", 3, os.getpid(), "new")
    publish("s", 4, 1, "elsewhere", machine="another-host", age_s=30)
    publish("other", 5, os.getpid())
    assert [entry.port for entry in shadho_rendezvous.find(os.environ["SHADHO_HOME"], "s")] == [3, 4, 2]
    assert not stale.exists()
    (old.parent / "garbage.json").write_text("{")
    assert [entry.port for entry in shadho_rendezvous.find(os.environ["SHADHO_HOME"], "s")] == [3, 4, 2]


def test_a_name_of_any_characters_stays_in_the_folder(home: Path) -> None:
    path = publish("../../../etc/passwd\n", 1, os.getpid(), "r/1")
    assert path.resolve().parent == home / "home" / "rendezvous"


def test_without_a_search_or_a_catalog_it_ends_after_its_idle_time(home: Path) -> None:
    done = subprocess.run([*WORKER, "-M", "nobody", "--timeout", "1"], capture_output=True, text=True, check=False)
    if shutil.which("work_queue_worker") is None:
        assert done.returncode == 3
        return
    assert "(--timeout)" in done.stdout + done.stderr


def test_missing_programs_and_names_are_said_in_a_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = subprocess.run(WORKER, capture_output=True, text=True, check=False)
    assert nameless.returncode == 2
    assert "which search? Give its name, -M NAME, or the HOST and PORT of its manager" in nameless.stderr
    monkeypatch.setenv("PATH", str(home))
    missing = subprocess.run([*WORKER, "-M", "s"], capture_output=True, text=True, check=False)
    assert missing.returncode != 0
    assert "apt-get install coop-computing-tools" in missing.stderr
    assert "Traceback" not in missing.stderr
