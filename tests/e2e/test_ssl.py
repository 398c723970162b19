"""A manager that speaks SSL, where the installed Work Queue does; and what is said where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import shadho_rendezvous
from e2e.processes import Environment, running, until

from shadho_like import rendezvous
from shadho_like.result import Result

DRIVER = """
from shadho_like import Shadho, rand
opt = Shadho("echo 1 > performance.out; echo '{\\"loss\\": 1}' > result.json", {"x": rand.uniform(0, 1)}, max_tasks=5, name="secret", timeout=None)
opt.config.workqueue.name = "secret"
opt.config.workqueue.address = "127.0.0.1"
opt.config.workqueue.ssl = True
opt.run()
"""
STUB = """#!/bin/sh
if [ "$1" = --help ]; then echo "HELP"; exit; fi
echo "$@" >"$HOME/said"
exit 1
"""


def has_ssl() -> bool:
    said = subprocess.run(["work_queue_worker", "--help"], capture_output=True, check=False).stdout
    return b"--ssl" in said


@pytest.mark.usefixtures("work_queue_installed")
def test_a_search_over_ssl_or_a_refusal(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    with running(["python", "driver.py"], tmp_path, environment) as driver:
        if not has_ssl():
            said = driver.communicate()[0]
            assert driver.returncode == 1
            assert "config.workqueue.ssl needs a Work Queue with SSL, and that of " in said
            return
        home = environment["SHADHO_HOME"]
        until(lambda: bool(shadho_rendezvous.find(home, "secret")), "a driver", driver)
        [found] = shadho_rendezvous.find(home, "secret")
        assert found.ssl
        key = Path(home, "rendezvous/secret.key.pem")
        assert key.stat().st_mode & 0o777 == 0o600
        limits = ["--cores", "1", "--memory", "500", "--disk", "500"]
        with running([sys.executable, "-m", "wq_worker", "-M", "secret", *limits], tmp_path, environment):
            assert "completed" in driver.communicate()[0]
    assert Result(tmp_path / "experiments/secret").counts == {"COMPLETED": 5}


@pytest.mark.parametrize("can", [False, True])
def test_a_worker_does_as_the_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool) -> None:
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    program = tmp_path / "bin/work_queue_worker"
    program.parent.mkdir()
    program.write_text(STUB.replace("HELP", "--ssl  Use SSL" if can else "--password"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    rendezvous.publish("secret", host="127.0.0.1", port=9123, run_id="one", ssl=True)
    command = [sys.executable, "-m", "wq_worker", "-M", "secret", "--gpus", "0", "--timeout", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    if can:
        assert (tmp_path / "said").read_text().endswith("--gpus 0 --ssl 127.0.0.1 9123\n")
    else:
        assert done.stderr.endswith(
            f"secret speaks SSL (config.workqueue.ssl), and {program} does not: install a newer Work Queue here, "
            "such as conda-forge's ndcctools\n"
        )
