"""`shadho workers doctor` names the step at which a worker would fail, and what to do."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shadho_like import rendezvous
from shadho_like.cli.main import cli


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work_queue_installed: None) -> Path:
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def doctor(*words: str) -> Result:
    return CliRunner().invoke(cli, ["workers", "doctor", *words])


def publish(port: int, host: str = "127.0.0.1") -> Path:
    password = rendezvous.password_file("digits")
    return rendezvous.publish("digits", host=host, port=port, run_id="r1", password_file=str(password))


def elsewhere(path: Path) -> None:
    """Have the driver be on another machine."""
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another"}))


def test_nothing_is_in_the_way(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    publish(port)
    said = doctor("digits")
    assert said.exit_code == 0
    lines = said.output.splitlines()
    assert all(line.startswith("ok  ") for line in lines)
    assert lines[1:] == [
        f"ok   a driver of digits: process {os.getpid()}, which says that it listens at 127.0.0.1:{port}",
        "ok   the address 127.0.0.1",
        f"ok   the password file {rendezvous.password_file('digits')} can be read",
        f"ok   a connection to 127.0.0.1:{port}",
        "ok   nothing is in the way of: wq_worker -M digits",
    ]


def test_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = doctor("digits")
    assert said.exit_code == 1
    assert said.output.splitlines()[-2:] == [
        "BAD  work_queue_worker: not on the PATH",
        "     install Work Queue: apt-get install coop-computing-tools, or conda install -c conda-forge ndcctools",
    ]


def test_no_driver_of_that_name(home: Path) -> None:
    publish(1)
    said = doctor("digit")
    assert said.exit_code == 1
    assert f"BAD  no driver of digit has left a file in {home}/rendezvous (there are drivers of digits)" in said.output
    assert "Is " in said.output.splitlines()[-1]


def test_an_unknown_host() -> None:
    elsewhere(publish(1, "nowhere.invalid"))
    assert "BAD  the name nowhere.invalid is unknown on this machine" in doctor("digits").output


def test_the_loopback_address_of_another_machine() -> None:
    elsewhere(publish(1))
    said = doctor("digits").output
    assert "BAD  127.0.0.1 is 127.0.0.1, which is this machine, and the driver is on another" in said
    assert "set config.workqueue.address in the driver" in said


def test_no_password_file() -> None:
    publish(1)
    rendezvous.password_file("digits").unlink()
    said = doctor("digits").output
    assert "cannot be read" in said
    assert "start workers with -P FILE" in said


def test_nobody_listens() -> None:
    with socket.socket() as held:
        # Nobody else gets the port.
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        publish(port)
        said = doctor("digits")
    assert said.exit_code == 1
    assert f"BAD  127.0.0.1 refuses a connection to port {port}" in said.output
