"""`shadho experiment watch`: what a person sees of a search that runs, is over, or lost its driver; on terminals of any width."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from command import shadho

from shadho_like import Shadho, rand
from shadho_like.journal import JournalReader

DRIVER = """
import sys, time
from pathlib import Path
from shadho_like import Shadho, rand

go = Path(sys.argv[2])

def objective(params):
    if params["x"] < 0.2:
        print("the \\x1b[2Jlast\\x07 words")
        raise ValueError("x is \\x1b]0;too\\x07 [b]small[/b] \\u202e")
    while not go.exists():
        time.sleep(0.02)
    return params["x"]

space = {"x": rand.uniform(0, 1), "kind": rand.choice(["\\x1b[31m<b>", "[red]plain"])}
Shadho(objective, space, name="look", directory=sys.argv[1], workers=2, max_tasks=20, seed=5, timeout=None).run()
"""
HARMLESS = {chr(27), chr(7), chr(0x202E)}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that is done."""
    folder = tmp_path_factory.mktemp("watch")
    (folder / "go").touch()
    command = [sys.executable, "-c", DRIVER, str(folder / "e"), str(folder / "go")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "e"


def test_a_search_that_is_done_is_printed_once(directory: Path) -> None:
    said = shadho("experiment", "watch", directory)
    assert (said.returncode, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0] == "look · random · not running"
    assert lines[1].endswith(" 100%")
    assert lines[2].startswith("20/20 trials done · ")
    assert lines[3].startswith("best loss ")
    assert any(line.startswith("trial  state") for line in lines)
    assert any(line.startswith("trial ") and "failed: ValueError: x is \\x1b]0;too\\x07 [b]small[/b] \\u202e" in line for line in lines)
    assert not HARMLESS & set(said.stdout)


@pytest.mark.parametrize("width", [12, 30, 60, 80, 200])
def test_any_width(directory: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    said = shadho("experiment", "watch", "--once", directory)
    assert said.returncode == 0
    assert max(map(len, said.stdout.splitlines())) <= width
    assert "trials" in said.stdout


def test_nothing_there(tmp_path: Path) -> None:
    said = shadho("experiment", "watch", tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == f"error: there is no experiment in {tmp_path}: it has no journal.sqlite\n"


def test_a_search_without_a_trial(tmp_path: Path) -> None:
    Shadho("true", {"x": rand.uniform(0, 1)}, name="none", directory=tmp_path / "e", timeout=1e-9, workers=1).run()
    assert shadho("experiment", "watch", tmp_path / "e").stdout.startswith("none · random · not running\n")


def terminal(command: list[str], width: int = 100) -> tuple[subprocess.Popen[bytes], int]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}, start_new_session=True)
    os.close(theirs)
    return process, ours


def read_until(terminal: int, *wanted: bytes) -> bytes:
    """Read until all of these were seen, or to the end where none is given."""
    said = b""
    try:
        while not wanted or not all(each in said for each in wanted):
            block = os.read(terminal, 4096)
            if not block:
                break
            said += block
    except OSError:  # how a terminal says that nobody holds its other end
        pass
    return said


WATCH = [sys.executable, "-c", "from shadho_like.cli.main import main; main()", "experiment", "watch"]


def test_it_goes_on_until_the_search_is_over(tmp_path: Path) -> None:
    directory, go = tmp_path / "e", tmp_path / "go"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(directory), str(go)], stdout=subprocess.DEVNULL)
    try:
        while not (directory / "status.json").exists():
            time.sleep(0.05)
        watch, ours = terminal([*WATCH, str(directory)])
        said = read_until(ours, b"2 of 2 slots busy", b"2 running", f"process {driver.pid}".encode())
        assert b"0/20 trials done" in said or b"failed" in said
        go.touch()
        said = read_until(ours)
        os.close(ours)
        assert watch.wait() == 0
        assert b"20/20 trials done" in said
        assert b"not running" in said
        assert b"\x1b]" not in said
    finally:
        driver.kill()
        driver.wait()


def test_ctrl_c_is_quiet_and_a_driver_that_was_killed_is_missed(tmp_path: Path) -> None:
    directory = tmp_path / "e"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(directory), str(tmp_path / "go")], stdout=subprocess.DEVNULL)
    while not (directory / "status.json").exists():
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    watch, ours = terminal([*WATCH, str(directory)])
    read_until(ours, b"its driver is gone: start it again, and it carries on")
    watch.send_signal(signal.SIGINT)
    assert b"Traceback" not in read_until(ours)
    os.close(ours)
    assert watch.wait() == 130
    with JournalReader(directory) as journal:
        assert journal.counts()
