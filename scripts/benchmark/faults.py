"""The same kills on this package and on Optuna: what is stuck, lost and repeated afterwards, and what is left for a person to do.

Run `python scripts/benchmark/faults.py [DRIVER_KILLS [WORKER_KILLS]]` (10 and 50); it takes about five minutes. Two processes train
trials that save a checkpoint after each step; whatever is killed with -9, always one that has trained since it was started, is
started again at once, by this script. Optuna has no driver: in its place one more of its two processes is killed, where a driver of
ours takes both of its trials along.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import machine
from rich import box
from rich.console import Console
from rich.table import Table

from shadho_like.result import Result

HERE = Path(__file__).parent
LENGTH, STEP_S, PAUSE_S = 10, 0.1, 0.75


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a search.

    Attributes:
        what: of which package.
        complete: samples with a result.
        stuck: trials that are running in the books, and nowhere else.
        lost: samples that were begun, and neither have a result nor are stuck.
        repeated: samples with more than one result.
        steps: steps trained for each step of a trial.
        seconds: how long it took.
        person: what is left to do for a person.
    """

    what: str
    complete: int
    stuck: int
    lost: int
    repeated: int
    steps: float
    seconds: float
    person: str


def schedule(driver_kills: int, worker_kills: int) -> list[bool]:
    """Return the kills in their order, the same for everybody: whether it is a driver's."""
    kills = [True] * driver_kills + [False] * worker_kills
    random.Random(1).shuffle(kills)
    return kills


@contextmanager
def started(command: list[str], log: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Give what starts a process of a command; end all of them."""
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        environment = {**os.environ, "STEP_S": str(STEP_S), "STEPS": str(log.with_name("steps"))}
        with log.open("ab") as output:
            processes.append(subprocess.Popen(command, cwd=HERE, env=environment, stdout=output, stderr=output))
        return processes[-1]

    try:
        yield start
    finally:
        for process in processes:
            process.kill()
            process.wait()


def at_work(folder: Path, over: Callable[[], bool]) -> list[int]:
    """Wait until processes have trained that still run, and return them; none where the search is over."""
    while not over():
        with suppress(FileNotFoundError):
            lines = (folder / "steps").read_text(encoding="utf-8").splitlines()
            trained = dict.fromkeys(int(line.split()[2]) for line in lines[-20:])
            if alive := [pid for pid in trained if parents(pid)]:
                return alive
        time.sleep(0.02)
    return []


def parents(pid: int) -> list[int]:
    """Return a process and those above it, up to this one; none if it is no more."""
    line = [pid]
    while line[-1] not in {0, 1, os.getpid()}:
        try:
            status = Path(f"/proc/{line[-1]}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            return []
        if status[0] == "Z":
            return []
        line.append(int(status[1]))
    return line if line[-1] == os.getpid() else []


def ours(folder: Path, kills: list[bool], trials: int) -> Outcome:
    """Kill the driver, and the processes that run its trials."""
    began_s, generator = time.monotonic(), random.Random(2)
    command = [sys.executable, "faults_driver.py", str(folder / "search"), str(trials), str(LENGTH)]
    with started(command, folder / "log") as start:
        driver = start()
        for driver_too in kills:
            time.sleep(PAUSE_S)
            trained = at_work(folder, lambda: driver.poll() is not None)  # noqa: B023
            if driver_too and trained:
                driver.kill()
                driver.wait()
                driver = start()
            elif trained:
                # Above a script, up to this process: its shells, its keeper, the supervisor, the driver.
                with suppress(OSError, IndexError):
                    os.kill(parents(generator.choice(trained))[-4], signal.SIGKILL)
        driver.wait()
    states = Counter(trial.state.value for trial in Result(folder / "search").trials)
    samples = Counter(str(trial.hparams) for trial in Result(folder / "search").trials if trial.metric is not None)
    stuck = states["RUNNING"] + states["PENDING"] + states["PAUSED"]
    lost = trials - states["COMPLETED"] - stuck
    return Outcome(
        "shadho_like", states["COMPLETED"], stuck, lost, repeated(samples), steps(folder, trials), time.monotonic() - began_s, "nothing"
    )


def repeated(results: Counter[Any]) -> int:
    """Return how many samples have more than one result."""
    return sum(count > 1 for count in results.values())


def steps(folder: Path, complete: int) -> float:
    """Return how many steps were trained for each that was needed."""
    return len((folder / "steps").read_text(encoding="utf-8").splitlines()) / (complete * LENGTH)


def optuna(folder: Path, kills: list[bool], trials: int, storage: str) -> Outcome:
    """Kill the processes of a study."""
    from faults_optuna import number_of, study_of
    from optuna.trial import TrialState

    began_s, generator = time.monotonic(), random.Random(2)
    command = [sys.executable, "faults_optuna.py", str(folder / storage), str(trials), str(LENGTH)]
    study_of(folder / storage)
    with started(command, folder / "log") as start:
        processes = [start(), start()]
        for _ in kills:
            time.sleep(PAUSE_S)
            trained = at_work(folder, lambda: any(process.poll() is not None for process in processes))
            for pid in trained and [generator.choice(trained)]:
                which = [process.pid for process in processes].index(pid)
                processes[which].kill()
                processes[which].wait()
                processes[which] = start()
        for process in processes:
            process.wait()
    found = study_of(folder / storage).get_trials(deepcopy=False)
    results = Counter(number_of(trial) for trial in found if trial.state is TrialState.COMPLETE)
    stuck = {number_of(trial) for trial in found if trial.state is TrialState.RUNNING} - results.keys()
    lost = {number_of(trial) for trial in found} - results.keys() - stuck
    todo = [f"mark as failed: {len(stuck)}", f"enqueue again: {len(stuck) + len(lost)}"]
    person = ", ".join(todo[not stuck :]) if stuck or lost else "nothing"
    what = "Optuna, SQLite, heartbeat and retries" if storage.endswith(".sqlite") else "Optuna, JournalStorage (has no heartbeat)"
    return Outcome(
        what, len(results), len(stuck), len(lost), repeated(results), steps(folder, len(results)), time.monotonic() - began_s, person
    )


def show(outcomes: list[Outcome], title: str) -> None:
    """Print the table."""
    table = Table(title=title, box=box.MARKDOWN, title_justify="left")
    headings = ("what", "complete", "stuck", "lost", "repeated", "steps trained per step needed", "seconds", "left for a person")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"what", "left for a person"} else "right")
    for each in outcomes:
        numbers = (each.complete, each.stuck, each.lost, each.repeated, f"{each.steps:.2f}", f"{each.seconds:.0f}")
        table.add_row(each.what, *map(str, numbers), each.person)
    Console(width=220).print(table)


def main(arguments: list[str]) -> int:
    """Print the table; return 1 where ours stuck, lost or repeated anything, 2 where a number is none."""
    if not all(argument.isdecimal() for argument in arguments):
        print(f"how many kills? Whole numbers, not {' '.join(arguments)!r}", file=sys.stderr)
        return 2
    driver_kills, worker_kills = [int(argument) for argument in (*arguments, *("10", "50")[len(arguments) :])][:2]
    kills = schedule(driver_kills, worker_kills)
    trials = 2 * len(kills) + 8
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name, each) for each in ("ours", "sqlite", "journal")]
        for folder in folders:
            folder.mkdir()
        outcomes = [
            ours(folders[0], kills, trials),
            optuna(folders[1], kills, trials, "study.sqlite"),
            optuna(folders[2], kills, trials, "study.log"),
        ]
    print(machine())
    show(outcomes, f"{trials} trials of {LENGTH} steps, {driver_kills} kills of a driver and {worker_kills} of a worker")
    return 1 if outcomes[0].stuck + outcomes[0].lost + outcomes[0].repeated else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
