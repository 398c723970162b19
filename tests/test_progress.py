"""What a person sees of a search: on a terminal, in a file, and when it has ended."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from shadho_like import live_lines
from shadho_like.engine.base import EngineStatus
from shadho_like.experiment import Step
from shadho_like.phase import Phase
from shadho_like.progress import Progress
from shadho_like.state import Best
from shadho_like.trial import TrialState

DRIVER = """
import sys
from shadho_like import Shadho, rand

def objective(params):
    if params["x"] < 0.2:
        raise ValueError("x is [b]too[/b] small")
    return {"[/l]oss": params["x"], "square": params["x"] ** 2}

opt = Shadho(objective, {"x": rand.uniform(0, 1)}, metric="[/l]oss", max_tasks=40, seed=2, workers=0, directory=sys.argv[1])
opt.run()
"""


def step(done: int, *, failed: int = 0, best: Best | None = None, elapsed_s: float = 0.0, workers: int | None = None) -> Step:
    counts = Counter({TrialState.COMPLETED: done - failed, TrialState.FAILED: failed, TrialState.RUNNING: 2})
    status = EngineStatus(workers, None)
    return Step(counts, 2, 0, best, 0.0, elapsed_s, status, notices=(), stopped=0, stopping=None, ending=None, phase=Phase.ACTIVE)


@pytest.fixture
def due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every update is due."""
    monkeypatch.setattr(live_lines, "_FIRST_S", 0.0)
    monkeypatch.setattr(live_lines, "_PLAIN_S", 0.0)


@pytest.mark.usefixtures("due")
def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("loss", 600.0, 100) as shown:
        shown.update(step(0, elapsed_s=0.5, workers=1))
        shown.update(step(20, failed=3, best=Best(7, 0.1234567), elapsed_s=10.0, workers=2))
        shown.update(step(99, failed=3, best=Best(8, 0.5), elapsed_s=597.0, workers=2))
        shown.notice("no worker yet [as said]")
    assert capsys.readouterr().out.splitlines() == [
        "0/100 trials done · 2 running · 1 worker · 10:00 left",
        "20/100 trials done · 2 running · 3 failed · best loss 0.123457 (trial 7) · 2/s · 2 workers · 0:40 left",
        "99/100 trials done · 2 running · 3 failed · best loss 0.5 (trial 8) · 9.95/min · 2 workers · 0:03 left",
        "no worker yet [as said]",
    ]


@pytest.mark.usefixtures("due")
def test_a_resumed_search_is_as_fast_as_this_run(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("loss", None, None) as shown:
        shown.update(step(1000))
        shown.update(step(1010, elapsed_s=20000.0))
    assert capsys.readouterr().out.splitlines() == ["1000 trials done · 2 running", "1010 trials done · 2 running · 0.03/min"]


def test_a_busy_loop_prints_nothing_at_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock_s[0])
    with Progress("loss", None, None) as shown:
        for number in range(600):
            clock_s[0] = number / 10
            shown.update(step(number))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["20", "220", "420"]


def closing(said: str) -> list[str]:
    """Return what comes after the lines that a slow search prints on its way."""
    return [line for line in said.splitlines() if " trials done · " not in line]


def test_the_closing_block(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "e")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stderr == ""
    optimal, where, others, trials, reason, kept = closing(said.stdout)
    x = float(optimal.removeprefix("Optimal [/l]oss: "))
    assert where == f'With hyperparameters: {{"x": {x}}}'
    assert others == f'And other results: {{"square": {x**2}}}'
    matched = re.fullmatch(
        r"Trials: (\d+) completed, (\d+) failed, 0 running when it stopped; 0 attempts lost to machines", trials
    )
    assert matched
    assert int(matched[1]) + int(matched[2]) == 40
    assert reason.startswith(f"{matched[2]} of them failed for this reason: ")
    assert "x is [b]too[/b] small" in reason
    assert kept == f"All of it: {tmp_path}/e"


def test_no_trial_completed(tmp_path: Path) -> None:
    driver = DRIVER.replace("< 0.2", "< 2").replace("max_tasks=40", "max_tasks=1")
    said = subprocess.run([sys.executable, "-c", driver, str(tmp_path / "e")], capture_output=True, text=True, check=True)
    first, second, third, _ = closing(said.stdout)
    assert first == "Optimal [/l]oss: none, for no trial completed"
    assert second == "Trials: 0 completed, 1 failed, 0 running when it stopped; 0 attempts lost to machines"
    assert third.startswith("It failed for this reason: ")


@pytest.mark.parametrize(("terminal", "live"), [("xterm", True), ("dumb", False)])
def test_a_terminal_has_a_live_line(tmp_path: Path, terminal: str, *, live: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": terminal, "COLUMNS": "120"}
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "e")]
    driver = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    try:
        while block := os.read(ours, 4096):
            said += block
    except OSError:  # how a terminal says that nobody holds its other end
        pass
    os.close(ours)
    assert driver.wait() == 0
    assert (b"\x1b[2K" in said) is live
    # Elsewhere it is a plain line, of a search that takes long.
    assert b"trials done" in said or not live
    assert b"Optimal [/l]oss" in said
