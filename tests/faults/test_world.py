"""The world around real processes goes wrong: results that are none, disks that fill up, a network that is cut."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import promises
import pytest
from cluster import Cluster
from e2e.processes import Environment, completed
from ledger import Ledger
from parts import LONG, lack

from shadho_like.journal import JournalReader

NEEDS_ROOT = "needs root, to mount a small file system and to make a network of its own"
LONGEST_LOSS_S = 90.0
RESULTS = {
    "missing": ":",
    "empty": ": > result.json",
    "truncated": 'echo "{\\"loss\\": 1" > result.json',
    "huge": "head -c 11000000 /dev/zero | tr '\\0' 1 > result.json",
    "nan": 'echo "{\\"loss\\": NaN}" > result.json',
    "infinite": 'echo "{\\"loss\\": 1e999}" > result.json',
    "not UTF-8": "printf '{\"loss\": \"\\377\\376\"}' > result.json",
    "deep": "head -c 200000 /dev/zero | tr '\\0' '[' > result.json",
    "a link": "ln -s /etc/passwd result.json",
    "a folder": "mkdir result.json",
    "a pipe": "mkfifo result.json",
    "a text": 'echo "\\"good\\"" > result.json',
}
BAD = """
case $trial in
{cases}
esac
"""


@pytest.fixture
def made(tmp_path: Path, environment: Environment) -> Iterator[Callable[..., Cluster]]:
    """Return what makes clusters, all of whose processes are ended."""
    clusters: list[Cluster] = []

    def make(name: str, trials: int, **options: Any) -> Cluster:
        clusters.append(Cluster(tmp_path / name, environment, trials, **options))
        return clusters[-1]

    yield make
    for cluster in clusters:
        cluster.end()


@contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[Path]:
    """Mount a file system of a few KB in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "faults", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def root_needed() -> None:
    """Skip where this is not root's; in CI it has to be."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("mount", "ip"))):
        lack(NEEDS_ROOT)


def undisturbed(made: Callable[..., Cluster], trials: int) -> promises.Told:
    """Return what a search finds when nothing goes wrong."""
    cluster = made("undisturbed", trials)
    subprocess.run(cluster.driver_command(), cwd=cluster.folder, env=cluster.environment, capture_output=True, check=True)
    return promises.told(cluster.directory)


def start_worker(cluster: Cluster, *before: str) -> subprocess.Popen[bytes]:
    """Start a worker, by the command that stands before its own."""
    command = [sys.executable, "-m", "wq_worker", "-M", "faults", "--cores", "2", "--memory", "1000", "--timeout", "120"]
    return cluster.start(*before, *command, log="worker.log")


@pytest.mark.parametrize("engine", ["local", "workqueue"])
def test_results_that_are_none_fail_their_own_trials(
    engine: str, made: Callable[..., Cluster], ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    cases = "\n".join(f"{trial}) {command}; exit 0;;" for trial, command in enumerate(RESULTS.values()))
    trials = len(RESULTS) + 8
    workqueue = {"name": "faults", "address": "127.0.0.1"} if engine == "workqueue" else None
    cluster = made("results", trials, more=BAD.format(cases=cases), workqueue=workqueue)
    if workqueue:
        request.getfixturevalue("work_queue_installed")
        cluster.workers = [start_worker(cluster)]
    cluster.driver = cluster.start_driver()
    ledger.fault("processes", len(RESULTS))
    assert cluster.driver.wait() == 0, cluster.said()
    with JournalReader(cluster.directory) as journal:
        ends = {trial.number: (trial.state.value, trial.failure and trial.failure.kind.value) for trial in journal.trials()}
    expected = {trial: ("FAILED", "bad_result") if trial < len(RESULTS) else ("COMPLETED", None) for trial in range(trials)}
    promises.keep(
        f"a result that is {name}: {ends[trial]}" for trial, name in enumerate(RESULTS) if ends.pop(trial) != expected.pop(trial)
    )
    assert ends == expected
    cluster.check_end(promises.told(cluster.directory))


@LONG
@pytest.mark.usefixtures("root_needed")
@pytest.mark.parametrize("engine", ["local", "workqueue"])
def test_a_disk_that_fills_up_ends_the_driver_and_costs_no_trial(
    engine: str, made: Callable[..., Cluster], tmp_path: Path, ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    expected = undisturbed(made, 60)
    workqueue = {"name": "faults", "address": "127.0.0.1"} if engine == "workqueue" else None
    with small_disk(tmp_path / "full", 4000) as disk:
        cluster = made("disk", 60, held=50, workqueue=workqueue)
        cluster.directory = disk / "search"
        if workqueue:
            request.getfixturevalue("work_queue_installed")
            cluster.workers = [start_worker(cluster)]
        cluster.driver = cluster.start_driver()
        for moment in (10, 30):
            # All that was to end before has ended, and has left its room; two trials run, which end when there is none.
            cluster.until_completed(moment)
            cluster.until(lambda: running(cluster) == 2 and not list(cluster.directory.glob("sandboxes/trash-*")), "two trials that are held")
            ballast = disk / "ballast"
            ledger.fault("processes")
            with ballast.open("wb", buffering=0) as file:
                fill(file)
            cluster.let_go()
            assert cluster.driver.wait() != 0
            assert "all that was shown as done is kept" in cluster.said() or "No space left on device" in cluster.said()
            cluster.check()
            ballast.unlink()
            cluster.check()
            cluster.hold(moment + 20)
            cluster.driver = cluster.start_driver()
        cluster.check_end(expected)


def running(cluster: Cluster) -> int:
    with JournalReader(cluster.directory) as journal:
        return journal.counts().get("RUNNING", 0)


def fill(file: Any) -> None:
    """Write until the disk takes nothing more."""
    for size in (1 << 20, 4096, 1):
        while True:
            try:
                file.write(b"\0" * size)
            except OSError:
                break


@pytest.mark.usefixtures("work_queue_installed", "root_needed")
def test_a_workers_disk_that_is_full_costs_no_trial(made: Callable[..., Cluster], tmp_path: Path, ledger: Ledger) -> None:
    expected = undisturbed(made, 30)
    with small_disk(tmp_path / "full", 4000) as disk:
        cluster = made("disk", 30, held=10, workqueue={"name": "faults", "address": "127.0.0.1"})
        cluster.driver = cluster.start_driver()
        crowded = start_worker(cluster, "env", f"TMPDIR={disk}")
        cluster.until_completed(5)
        ledger.fault("processes")
        with (disk / "ballast").open("wb", buffering=0) as file:
            fill(file)
        cluster.workers = [crowded, start_worker(cluster)]
        cluster.let_go()
        cluster.until(lambda: lost(cluster) > 0, "the news that the disk is full")
        crowded.send_signal(signal.SIGTERM)
        crowded.wait()
        cluster.workers.remove(crowded)
        cluster.check_end(expected)


@contextmanager
def far_away(name: str) -> Iterator[tuple[str, Callable[[str], None]]]:
    """Make a network of two machines, this one and one that is named; give this one's address, and what sets the link up or down."""

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    number = os.getpid() % 250
    here, there = f"10.213.{number}.1", f"10.213.{number}.2"
    ip("netns", "add", name)
    try:
        ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        ip("addr", "add", f"{here}/24", "dev", f"{name}a")
        ip("link", "set", f"{name}a", "up")
        ip("-n", name, "addr", "add", f"{there}/24", "dev", f"{name}b")
        ip("-n", name, "link", "set", f"{name}b", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield here, lambda how: ip("-n", name, "link", "set", f"{name}b", how)
    finally:
        # Deleted by itself: a namespace goes only when nothing is left in it, connections too.
        ip("link", "del", f"{name}a")
        ip("netns", "del", name)


@LONG
@pytest.mark.usefixtures("work_queue_installed", "root_needed")
def test_a_network_that_is_cut_and_restored(made: Callable[..., Cluster], ledger: Ledger) -> None:
    """Cut for a moment, nothing is lost; cut for good, the worker's trials run again elsewhere within the time that is promised."""
    expected = undisturbed(made, 60)
    name = f"sf{os.getpid() % 100000}"
    with far_away(name) as (address, link):
        cluster = made("network", 60, held=20, workqueue={"name": "faults", "address": address}, more="sleep 0.5")
        cluster.driver = cluster.start_driver()
        cluster.workers = [start_worker(cluster, "ip", "netns", "exec", name)]
        for moment in (4, 8):
            cluster.until_completed(moment)
            ledger.fault("processes")
            link("down")
            time.sleep(2)
            link("up")
        cluster.until_completed(12)
        with JournalReader(cluster.directory) as journal:
            promises.keep(["attempts were lost in a cut of 2 s"] if journal.lost_attempts() else [])
        ledger.fault("processes")
        link("down")
        cut_s = time.monotonic()
        cluster.until(lambda: lost(cluster) > 0, "the news that the worker is gone")
        promises.keep(["trials stayed RUNNING for too long"] if time.monotonic() - cut_s > LONGEST_LOSS_S else [])
        known = completed(cluster.directory)
        cluster.let_go()
        cluster.workers.append(start_worker(cluster))
        cluster.until_completed(known + 5)
        link("up")
        cluster.check_end(expected)


def lost(cluster: Cluster) -> int:
    with JournalReader(cluster.directory) as journal:
        return journal.lost_attempts()
