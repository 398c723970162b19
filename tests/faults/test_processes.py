"""Real drivers, workers and catalog servers that are killed, stopped and ended: the search finds what it finds undisturbed."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import promises
import pytest
from cluster import Cluster, beneath, children, command_of
from e2e.processes import Environment, free_ports
from ledger import Ledger

SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "STOP": signal.SIGSTOP}
STOPPED_S = 1.0
LOCAL = ("driver", "driver", "supervisor", "keeper")
ABROAD = ("driver", "driver", "manager", "wq_worker", "work_queue_worker", "catalog")


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


@pytest.fixture
def undisturbed(made: Callable[..., Cluster]) -> Callable[[int], promises.Told]:
    """Return what tells what a search of so many trials finds when nothing goes wrong."""

    def run(trials: int) -> promises.Told:
        cluster = made(f"undisturbed{trials}", trials)
        (cluster.folder / "task.sh").write_text((cluster.folder / "task.sh").read_text().replace("sleep 0.1", ""))
        subprocess.run(cluster.driver_command(), cwd=cluster.folder, env=cluster.environment, capture_output=True, check=True)
        return promises.told(cluster.directory)

    return run


def schedule(generator: random.Random, targets: tuple[str, ...], rounds: int) -> list[tuple[str, str]]:
    """Return who gets which signal, in an order that follows from the seed."""
    faults = [(target, name) for target in targets for name in SIGNALS] * rounds
    generator.shuffle(faults)
    return faults


def strike(find: Callable[[], int], name: str) -> int:
    """Send a signal to the process that is found, and return it; one that is stopped goes on after a while, unless it is ended meanwhile."""
    while True:
        pid = find()
        # One that ended by itself since it was found has not been struck.
        with suppress(ProcessLookupError):
            os.kill(pid, SIGNALS[name])
            break
    if name == "STOP":
        time.sleep(STOPPED_S)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return pid


@pytest.mark.timeout(3600)
def test_drivers_on_this_machine(made: Callable[..., Cluster], undisturbed: Callable[[int], promises.Told], ledger: Ledger) -> None:
    faults = schedule(random.Random(ledger.seed), LOCAL, ledger.size.rounds)
    trials = 6 * len(faults) + 20
    expected = undisturbed(trials)
    cluster = made("local", trials, held=10)
    cluster.driver = cluster.start_driver()
    for number, (target, name) in enumerate(faults):
        cluster.until_completed(6 * number + 3)
        pid = strike(functools.partial(local_target, cluster, target), name)
        ledger.fault("processes")
        if target == "driver" and name != "STOP":
            cluster.driver.wait()
        elif name != "STOP":
            cluster.until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), f"the end of the {target}")  # type: ignore[misc]
        cluster.check()
        if cluster.driver.poll() is not None:
            cluster.driver = cluster.start_driver()
    cluster.check_end(expected)


def local_target(cluster: Cluster, target: str) -> int:
    """Return the driver, the process that it runs trials by, or one that keeps a trial."""
    assert cluster.driver is not None
    driver = cluster.driver.pid
    if target == "driver":
        return driver
    found: list[int] = []

    def there() -> bool:
        supervisors = [child for child in children(driver) if "engine.supervisor" in command_of(child)]
        keepers = [keeper for supervisor in supervisors for keeper in children(supervisor) if children(keeper)]
        found.extend(supervisors if target == "supervisor" else keepers)
        return bool(found)

    cluster.until(there, target)
    return found[0]


def start_worker(cluster: Cluster, catalog: str | None) -> subprocess.Popen[bytes]:
    """Start a worker that finds the driver by the home folder, or by the catalog alone."""
    command = [sys.executable, "-m", "wq_worker", "-M", "faults", "--cores", "1", "--memory", "1000", "--disk", "1000", "--timeout", "30"]
    elsewhere = {**cluster.environment, "SHADHO_HOME": str(cluster.folder / "elsewhere")}
    if catalog is None:
        return cluster.start(*command, log="worker.log")
    password = cluster.options["workqueue"]["password_file"]
    return cluster.start(*command, "-C", catalog, "-P", password, log="worker.log", environment=elsewhere)


def start_catalog(cluster: Cluster, port: int) -> subprocess.Popen[bytes]:
    """Start a catalog server of our own."""
    return cluster.start("catalog_server", "-I", "127.0.0.1", "-u", "127.0.0.1", "-p", str(port), log="catalog.log")


@pytest.fixture
def port() -> Iterator[int]:
    """A port for the catalog server, whenever one is started."""
    with free_ports(1) as [free]:
        yield free


@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("work_queue_installed")
def test_a_cluster(made: Callable[..., Cluster], undisturbed: Callable[[int], promises.Told], ledger: Ledger, port: int) -> None:
    faults = schedule(random.Random(ledger.seed), ABROAD, ledger.size.rounds)
    trials = 5 * len(faults) + 20
    expected = undisturbed(trials)
    cluster = made("abroad", trials, held=10, workqueue={"name": "faults", "address": "127.0.0.1"})
    password = cluster.folder / "password"
    password.write_text("secret")
    cluster.options["workqueue"]["password_file"] = str(password)
    catalog = start_catalog(cluster, port)
    cluster.options["workqueue"]["catalog"] = f"127.0.0.1:{port}"
    ways = [None, f"127.0.0.1:{port}"]
    cluster.driver = cluster.start_driver()
    cluster.workers = [start_worker(cluster, way) for way in ways]
    cluster.tend = functools.partial(start_again, cluster, ways)
    for number, (target, name) in enumerate(faults):
        cluster.until_completed(5 * number + 3)
        which = number % 2
        strike(functools.partial(abroad_target, cluster, target, which, catalog), name)
        ledger.fault("processes")
        hit = {"driver": cluster.driver, "wq_worker": cluster.workers[which], "catalog": catalog}.get(target)
        if hit is not None and name != "STOP":
            hit.wait()
        cluster.check()
        if cluster.driver.poll() is not None:
            cluster.driver = cluster.start_driver()
        if catalog.poll() is not None:
            catalog = start_catalog(cluster, port)
    cluster.tend()
    cluster.tend = None
    cluster.check_end(expected)
    assert catalog.poll() is None


def start_again(cluster: Cluster, ways: Sequence[str | None]) -> None:
    """Start a worker in the place of each that has ended: struck, or told by a driver that it was done."""
    cluster.workers = [
        worker if worker.poll() is None else start_worker(cluster, way) for worker, way in zip(cluster.workers, ways, strict=True)
    ]


def abroad_target(cluster: Cluster, target: str, which: int, catalog: subprocess.Popen[bytes]) -> int:
    """Return the process that is meant; waits for it where it is being started."""
    assert cluster.driver is not None
    if target in {"driver", "catalog"}:
        return (cluster.driver if target == "driver" else catalog).pid
    found: list[int] = []

    def there() -> bool:
        above, named = (cluster.driver, "workqueue_manager") if target == "manager" else (cluster.workers[which], target)
        assert above is not None
        pid = above.pid if target == "wq_worker" else beneath(above.pid, named)
        found.extend([] if pid is None else [pid])
        return bool(found)

    cluster.until(there, target)
    return found[0]


def test_a_second_driver_on_the_directory_is_refused_and_changes_nothing(
    made: Callable[..., Cluster], undisturbed: Callable[[int], promises.Told], ledger: Ledger
) -> None:
    expected = undisturbed(20)
    cluster = made("second", 20, held=15)
    cluster.driver = cluster.start_driver()
    cluster.until_completed(3)
    for stopped in (False, True):
        if stopped:
            cluster.driver.send_signal(signal.SIGSTOP)
        second = subprocess.run(
            cluster.driver_command(), cwd=cluster.folder, env=cluster.environment, capture_output=True, text=True, check=False
        )
        ledger.fault("processes")
        cluster.driver.send_signal(signal.SIGCONT)
        assert second.returncode != 0
        assert f"{cluster.directory} is in use by process {cluster.driver.pid} on " in second.stderr
    cluster.check_end(expected)


def test_a_clock_that_is_set_an_hour_back_changes_nothing(
    made: Callable[..., Cluster], undisturbed: Callable[[int], promises.Told], ledger: Ledger
) -> None:
    """Set back under a running driver, whose `time.time` says so, and between two runs of it."""
    expected = undisturbed(30)
    cluster = made("clock", 30)
    cluster.options["back_at"] = 5
    cluster.driver = cluster.start_driver()
    cluster.until_completed(15)
    ledger.fault("processes", 2)
    cluster.driver.kill()
    cluster.driver.wait()
    cluster.options |= {"back_at": 0, "clock_s": -3600}
    cluster.driver = cluster.start_driver()
    cluster.check_end(expected)
