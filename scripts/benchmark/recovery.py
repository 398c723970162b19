"""How fast an experiment is taken up again, how much work a killed driver costs, and what a checkpoint costs besides its copy.

Run `python scripts/benchmark/recovery.py [TRIALS [CHECKPOINT_MB]]` (100000 and 1024); it takes about three minutes.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

from measure import Ratio, in_fresh_process, machine, show, side_by_side
from searches import SPACE, objective
from shadho_storage import Checkpoints

from shadho_like import Shadho
from shadho_like.errors import JournalError
from shadho_like.experiment import Step
from shadho_like.journal import JournalReader
from shadho_like.trial import TrialState

HERE = Path(__file__).parent
STEP_S, LENGTH = 0.2, 20
ROUNDS = 8


def grown_and_killed(directory: Path, trials: int) -> None:
    """Search until so many trials are complete, and die there as by kill -9."""
    opt = Shadho(objective, SPACE, workers=0, max_tasks=2 * trials, timeout=None, seed=1, directory=directory)
    opt.listeners.append(lambda step: os.kill(os.getpid(), signal.SIGKILL) if step.counts[TrialState.COMPLETED] >= trials else None)
    with redirect_stdout(StringIO()):
        opt.run()


def taken_up(directory: Path, trials: int) -> float:
    """Return the seconds from the call of `run` on a long search to the next trial that is complete and on the disk."""
    came: list[float] = []
    with JournalReader(directory) as journal:
        before = journal.counts()["COMPLETED"]
    opt = Shadho(objective, SPACE, workers=0, max_tasks=2 * trials, timeout=None, seed=1, directory=directory)

    def note(step: Step) -> None:
        if step.counts[TrialState.COMPLETED] > before:
            came.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

    opt.listeners.append(note)
    began_s = time.perf_counter()
    with redirect_stdout(StringIO()):
        opt.run()
    return came[0] - began_s


def recovered(folder: Path, trials: int) -> Iterator[Ratio]:
    """Take a search of so many trials up after its driver was killed, without the snapshot that a peaceful end leaves."""
    grows = multiprocessing.get_context("spawn").Process(target=grown_and_killed, args=(folder / "search", trials))
    grows.start()
    grows.join()
    seconds = in_fresh_process(taken_up, folder / "search", trials)
    yield Ratio(f"a journal of {trials:,} trials is opened and goes on, to 3 s", seconds, 3, "s", 1, at_most=True)


def at_work(directory: Path, driver: subprocess.Popen[bytes]) -> int:
    """Return how many trials run, as soon as some do; none where the driver has ended."""
    while driver.poll() is None:
        with suppress(JournalError), JournalReader(directory) as journal:
            if running := journal.counts().get("RUNNING", 0):
                return running
        time.sleep(0.02)
    return 0


def work_lost(folder: Path, kills: int) -> Iterator[Ratio]:
    """Kill a driver again and again; compare the steps that were trained twice with one for each running trial and kill."""
    folder.mkdir()
    steps = folder / "steps"
    command = [sys.executable, "faults_driver.py", str(folder / "search"), "4", str(LENGTH)]
    running = 0
    for kill in range(kills + 1):
        environment = {**os.environ, "STEP_S": str(STEP_S), "STEPS": str(steps)}
        with subprocess.Popen(command, cwd=HERE, env=environment, stdout=subprocess.DEVNULL) as driver:
            if kill < kills:
                time.sleep(2.5)
                running += at_work(folder / "search", driver)
                driver.send_signal(signal.SIGKILL)
    trained: dict[str, int] = defaultdict(int)
    for line in steps.read_text(encoding="utf-8").splitlines():
        trained[line] += 1
    again = sum(count - 1 for count in trained.values())
    yield Ratio("steps trained again, to the running trials of all kills", again, max(1, running), "steps", 1, at_most=True)


def checkpoint_cost(folder: Path, megabytes: int) -> Iterator[Ratio]:
    """Compare saving a checkpoint with a plain copy of it, to the disk in both cases."""
    source = folder / "source"
    source.mkdir(parents=True)
    for number in range(4):
        (source / f"weights{number}.bin").write_bytes(os.urandom(1 << 20) * (megabytes // 4))
    root = folder / "checkpoints"

    def plain() -> float:
        shutil.rmtree(folder / "copy", ignore_errors=True)
        os.sync()
        began_s = time.perf_counter()
        shutil.copytree(source, folder / "copy")
        for path in (*(folder / "copy").iterdir(), folder / "copy"):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        return time.perf_counter() - began_s

    def saved() -> float:
        shutil.rmtree(root, ignore_errors=True)
        os.sync()
        root.mkdir()
        checkpoints = Checkpoints(str(root), 0, 1, report=lambda *_, **__: None, length=lambda: 1)
        began_s = time.perf_counter()
        with checkpoints.save_path() as path:
            shutil.copytree(source, path, dirs_exist_ok=True)
        return time.perf_counter() - began_s

    saving_s, copy_s = side_by_side(ROUNDS, saved, plain)
    yield Ratio(f"a checkpoint of {megabytes:,} MB, to a plain copy of it", saving_s, copy_s, "s", 1.2, at_most=True)


def main(arguments: list[str]) -> int:
    """Print the table; return 1 if a goal is missed, 2 where a number is none."""
    if not all(argument.isdecimal() and int(argument) >= 4 for argument in arguments):
        print(f"how many trials, and how many MB? Whole numbers of at least 4, not {' '.join(arguments)!r}", file=sys.stderr)
        return 2
    trials, megabytes = [int(argument) for argument in (*arguments, *("100000", "1024")[len(arguments) :])][:2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [*recovered(folder, trials), *work_lost(folder / "lost", 4), *checkpoint_cost(folder / "checkpoint", megabytes)]
    print(machine())
    return 0 if show("Recovery", rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
