"""The key of the pause on a driver's own terminal, a real one: what it does, and that the terminal is always given back."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import shadho
from e2e.processes import PATIENCE_S, Environment, counts

from shadho_like.journal import JournalReader
from shadho_like.phase import Phase

DRIVER = """
import faulthandler, signal, sys
from shadho_like import Shadho, rand
if "dumps" in sys.argv:
    faulthandler.register(signal.SIGQUIT)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
opt = Shadho("sh task.sh", {"x": rand.uniform(0, 1)}, max_tasks=4, workers=1, timeout=None, directory="search")
opt.add_input_file("task.sh")
if "raise" in sys.argv:
    opt.listeners.append(lambda step: 1 / 0 if step.counts["COMPLETED"] else None)
opt.run()
"""
TASK = "trap 'exit 1' TERM; while ! [ -e {gate} ]; do sleep 0.05; done; echo 0.5 > result.json"
# A shell as far as jobs go: the driver is a process group of its own, in the terminal's foreground or not, and ignores no signal.
SHELL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
foreground, *command = sys.argv[1:]
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    if foreground == "yes":
        os.tcsetpgrp(0, os.getpgrp())
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU):
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    os.tcsetpgrp(0, os.getpgrp())
    how = "stopped" if os.WIFSTOPPED(status) else "ended"
    print(f"<{how} {pid}{f' by {os.WTERMSIG(status)}' if os.WIFSIGNALED(status) else ''}>", flush=True)
    if not os.WIFSTOPPED(status):
        break
    if sys.stdin.readline() == "fg\\n":
        os.tcsetpgrp(0, pid)
    os.killpg(pid, signal.SIGCONT)
"""


class Screen:
    """A terminal, the shell in it, and what was shown on it."""

    def __init__(self, folder: Path, environment: Environment, *words: str, foreground: bool = True) -> None:
        self.folder, self.said = folder, b""
        self.ours, theirs = os.openpty()
        command = [sys.executable, "-c", SHELL, "yes" if foreground else "no", sys.executable, "driver.py", *words]
        self.shell = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TERM": "xterm", "COLUMNS": "200"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self.theirs = theirs

    def key(self, key: bytes) -> None:
        os.write(self.ours, key)

    def until(self, true: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < give_up_s, self.said.decode()
            if select.select([self.ours], [], [], 0.05)[0]:
                self.said += os.read(self.ours, 4096)

    def shows(self, text: bytes) -> None:
        """Wait until this is shown, and forget what was shown up to there."""
        self.until(lambda: text in self.said)
        self.said = self.said.partition(text)[2]

    def lines(self) -> bool:
        """Whether the terminal is as a shell leaves it: it gives whole lines, and shows what is typed."""
        flags: int = termios.tcgetattr(self.theirs)[3]
        return flags & (termios.ICANON | termios.ECHO) == termios.ICANON | termios.ECHO

    def phase(self) -> Phase:
        with JournalReader(self.folder / "search") as journal:
            return journal.phase

    def close(self) -> None:
        if self.shell.poll() is None:
            os.killpg(self.shell.pid, signal.SIGKILL)
        os.close(self.ours)
        os.close(self.theirs)
        self.shell.wait()


Opened = Callable[..., Screen]


@pytest.fixture
def opened(tmp_path: Path, environment: Environment) -> Iterator[Opened]:
    """Run the driver on a terminal."""
    screens: list[Screen] = []
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "task.sh").write_text(TASK.format(gate=tmp_path / "gate"))

    def opened(*words: str, foreground: bool = True) -> Screen:
        screens.append(Screen(tmp_path, environment, *words, foreground=foreground))
        screens[-1].until(lambda: counts(tmp_path / "search") >= {"RUNNING": 1}.items())
        return screens[-1]

    yield opened
    (tmp_path / "gate").touch()
    for screen in screens:
        screen.close()


def test_p_pauses_and_p_goes_on(opened: Opened, tmp_path: Path) -> None:
    screen = opened()
    screen.shows(b"p: pause")
    assert not screen.lines()
    screen.key(b"xyz\np")
    screen.shows(b"paused: 1 running trial may take a checkpoint; to go on: p here, or shadho experiment activate search")
    screen.shows(b"paused \xc2\xb7 p: go on")
    assert screen.phase() is Phase.PAUSED
    screen.key(b"p")
    screen.shows(b"activated: the search goes on")
    (tmp_path / "gate").touch()
    screen.shows(b"4 completed")
    screen.shows(b"<ended")
    assert screen.lines()
    assert b"xyz" not in screen.said


@pytest.mark.parametrize("end", ["exception", "Ctrl-C", "SIGTERM"])
def test_the_terminal_is_given_back_at_every_end(opened: Opened, tmp_path: Path, end: str) -> None:
    screen = opened(*(["raise"] if end == "exception" else []))
    screen.shows(b"p: pause")
    assert not screen.lines()
    if end == "exception":
        (tmp_path / "gate").touch()
        screen.shows(b"ZeroDivisionError")
    elif end == "Ctrl-C":
        screen.key(b"\x03")
    else:
        os.killpg(os.tcgetpgrp(screen.ours), signal.SIGTERM)
    screen.shows(b"<ended")
    assert screen.lines()


@pytest.mark.parametrize("end", ["SIGQUIT", "SIGHUP"])
def test_a_signal_that_ends_the_driver_at_once_still_does_and_leaves_the_terminal_as_it_was(opened: Opened, end: str) -> None:
    screen = opened()
    screen.shows(b"p: pause")
    assert not screen.lines()
    if end == "SIGQUIT":
        screen.key(b"\x1c")
    else:
        os.killpg(os.tcgetpgrp(screen.ours), signal.SIGHUP)
    screen.shows(b"<ended")
    screen.shows(f"by {signal.Signals[end].value}>".encode())
    assert screen.lines()


def test_signals_that_do_something_else_keep_doing_it(opened: Opened) -> None:
    screen = opened("dumps")
    screen.shows(b"p: pause")
    screen.key(b"\x1c")
    screen.shows(b"most recent call first")
    os.killpg(os.tcgetpgrp(screen.ours), signal.SIGHUP)
    screen.key(b"p")
    screen.shows(b"paused: 1 running trial")
    screen.key(b"\x03")
    screen.shows(b"<ended")
    assert screen.lines()


def test_a_stopped_driver_gives_the_terminal_back_and_takes_it_again(opened: Opened, tmp_path: Path) -> None:
    screen = opened()
    screen.shows(b"p: pause")
    for _ in range(2):
        screen.key(b"\x1a")
        screen.shows(b"<stopped")
        assert screen.lines()
        screen.key(b"fg\n")
        screen.until(lambda: not screen.lines())
    screen.key(b"p")
    screen.shows(b"paused: 1 running trial")
    # In the background it goes on, reads nothing and leaves the terminal to others.
    screen.key(b"\x1a")
    screen.shows(b"<stopped")
    screen.key(b"bg\n")
    (tmp_path / "gate").touch()
    screen.key(b"p\n")
    screen.shows(b"p\r\n")
    assert shadho("experiment", "activate", tmp_path / "search").returncode == 0
    screen.shows(b"<ended")
    assert screen.lines()


def test_a_driver_in_the_background_reads_nothing_and_is_not_stopped(opened: Opened, tmp_path: Path) -> None:
    screen = opened(foreground=False)
    screen.key(b"p\n")
    screen.shows(b"1 running")
    screen.shows(b"1 running")
    assert screen.lines()
    (tmp_path / "gate").touch()
    screen.shows(b"4 completed")
    screen.shows(b"<ended")
    assert dict(counts(tmp_path / "search")) == {"COMPLETED": 4}
