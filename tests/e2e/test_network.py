"""Three hosts with networks of their own: a driver with a catalog, and two with workers, which differ in what they know and have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from e2e.processes import Environment, completed, running, until
from parts import lack

from shadho_like.result import Result

pytestmark = [pytest.mark.usefixtures("work_queue_installed")]
PORT = 9100
# The first trial on each device ends when each device has one.
DRIVER = """
import sys
from shadho_like import Shadho, rand
command = ''': >"BEGUN/$HOST_NAME-$CUDA_VISIBLE_DEVICES"; until [ $(ls BEGUN | wc -l) -ge 3 ]; do sleep 0.1; done; sleep 0.1
echo '{"loss": 1, "host": "'$HOST_NAME'", "device": "'$CUDA_VISIBLE_DEVICES'"}' > result.json'''
opt = Shadho(command, {"x": rand.uniform(0, 1)}, name="network", max_tasks=200, timeout=None)
opt.config.workqueue.name = "network"
opt.config.workqueue.address = sys.argv[1]
opt.config.workqueue.port = "9100-9110"
opt.config.workqueue.catalog = sys.argv[2]
opt.config.workqueue.cores = 1
opt.config.workqueue.gpus = 1
opt.run()
"""


class Network:
    """Hosts behind one switch. Each is a network namespace of this machine."""

    def __init__(self, name: str) -> None:
        self._name = name

    def make(self, hosts: int) -> None:
        """Make the switch and the hosts."""
        ip("netns", "add", self._name)
        ip("-n", self._name, "link", "add", "switch", "type", "bridge")
        ip("-n", self._name, "link", "set", "switch", "up")
        for number in range(1, hosts + 1):
            host = f"{self._name}-{number}"
            ip("netns", "add", host)
            ip("-n", self._name, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", host)
            ip("-n", self._name, "link", "set", f"port{number}", "master", "switch", "up")
            ip("-n", host, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "link", "set", "lo", "up")

    def remove(self, hosts: int) -> None:
        """Remove what was made."""
        for name in [*(f"{self._name}-{number}" for number in range(1, hosts + 1)), self._name]:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    @staticmethod
    def address(number: int) -> str:
        """Return a host's address."""
        return f"10.77.0.{number}"

    def on(self, number: int, *command: str) -> list[str]:
        """Return a command as it is run on a host."""
        return ["ip", "netns", "exec", f"{self._name}-{number}", *command]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def network(hosts: int) -> Iterator[Network]:
    made = Network(f"net{os.getpid()}")
    try:
        made.make(hosts)
        yield made
    finally:
        made.remove(hosts)


def need_namespaces() -> None:
    """Skip where no network can be made, fail in CI."""
    if os.getuid() != 0 or shutil.which("ip") is None:
        reason = "networks of its own can be made by root with iproute2 alone: apt-get install iproute2"
        lack(reason)


def worker(*options: str) -> list[str]:
    limits = ["--memory", "1000", "--disk", "1000", "--timeout", "60"]
    return [sys.executable, "-m", "wq_worker", *limits, *options]


def test_200_trials_over_three_hosts(tmp_path: Path, environment: Environment) -> None:
    need_namespaces()
    (tmp_path / "begun").mkdir()
    (tmp_path / "driver.py").write_text(DRIVER.replace("BEGUN", str(tmp_path / "begun")))
    (tmp_path / "wrong").write_text("a guess")
    password = Path(environment["SHADHO_HOME"], "rendezvous/network.password")
    directory = tmp_path / "experiments/network"
    away = {**environment, "SHADHO_HOME": str(tmp_path / "elsewhere"), "HOST_NAME": "far"}
    with network(3) as hosts, ExitStack() as stack:
        here = hosts.address(1)
        listens = tmp_path / "catalog"
        command = hosts.on(1, "catalog_server", "-I", here, "-u", "127.0.0.1", "-Z", str(listens))
        server = stack.enter_context(running(command, tmp_path, environment))
        # The driver tells it of itself once a minute, and does not hear whether anybody listens.
        until(lambda: listens.exists() and listens.read_text().endswith("\n"), "a catalog", server)
        catalog = f"{here}:{int(listens.read_text())}"
        driver = stack.enter_context(running(hosts.on(1, "python", "driver.py", here, catalog), tmp_path, environment))
        until(password.exists, "a password", driver)
        with running(hosts.on(3, *worker(here, str(PORT), "-P", str(tmp_path / "wrong"))), tmp_path, away) as wrong:
            said = wrong.communicate()[0]
        assert wrong.returncode == 2, said
        assert completed(directory) == 0
        # One sees the driver's home folder, the other has but a copy of the password and asks the catalog.
        near = hosts.on(2, *worker("-M", "network", "--cores", "1", "--gpus", "1"))
        stack.enter_context(running(near, tmp_path, {**environment, "HOST_NAME": "near"}))
        asked = ["-M", "network", "-C", catalog, "-P", str(shutil.copy(password, tmp_path / "copy"))]
        stack.enter_context(running(hosts.on(3, *worker(*asked, "--cores", "2", "--gpus", "2")), tmp_path, away))
        until(lambda: completed(directory) >= 200, "200 trials", driver)
        assert "200 completed" in driver.communicate()[0]
    trials = Result(directory).trials
    assert sorted(trial.number for trial in trials) == list(range(200))
    seen = {(str(trial.metrics["host"]), str(trial.metrics["device"])) for trial in trials}
    assert seen == {("near", "0"), ("far", "0"), ("far", "1")}
