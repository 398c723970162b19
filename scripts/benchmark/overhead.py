"""What a trial costs besides its objective, as ratios to other ways to do the same, all measured in one run.

Run `python scripts/benchmark/overhead.py [PART...]`, parts being local, grown and workqueue; it takes about three minutes.
The local part needs Optuna, the last one Work Queue.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import Ratio, in_fresh_process, machine, show, side_by_side
from searches import bare_work_queue, optuna, optuna_processes, ours, ours_grown, ours_on_work_queue

ROUNDS = 3


def local(folder: Path) -> Iterator[Ratio]:
    """Compare searches on this machine with Optuna's."""
    fresh = (folder / str(number) for number in itertools.count())
    here, journal, sqlite, kept, processes = side_by_side(
        ROUNDS,
        lambda: in_fresh_process(ours, next(fresh), 0, 20_000),
        lambda: in_fresh_process(optuna, next(fresh), 1_000),
        lambda: in_fresh_process(optuna, next(fresh).with_suffix(".sqlite"), 200),
        lambda: in_fresh_process(ours, next(fresh), 2, 20_000),
        lambda: in_fresh_process(optuna_processes, next(fresh), 2, 600),
    )
    yield Ratio("in this process, to Optuna on its JournalStorage", here, journal, "trials/s", 8)
    yield Ratio("in this process, to Optuna on SQLite", here, sqlite, "trials/s", 50)
    yield Ratio("2 worker processes, to 2 processes of Optuna on the journal", kept, processes, "trials/s", 5)


def grown(folder: Path) -> Iterator[Ratio]:
    """Compare the end of a long search with its beginning."""
    early_s, late_s, memory_mb = in_fresh_process(ours_grown, folder / "grown", 100_000, 2_000)
    yield Ratio("a trial after 100,000 others, to one after 1,000", late_s * 1e6, early_s * 1e6, "us", 1.3, at_most=True)
    yield Ratio("the driver's memory after 100,000 trials, to 250 MB", memory_mb, 250, "MB", 1, at_most=True)


def workqueue(folder: Path) -> Iterator[Ratio]:
    """Compare searches on Work Queue with plain scripts for it."""
    fresh = (folder / f"wq{number}" for number in itertools.count())
    shell, batches, objective, bare_shell, bare_python = side_by_side(
        ROUNDS,
        lambda: in_fresh_process(ours_on_work_queue, next(fresh), "sh task.sh", 2_000),
        lambda: in_fresh_process(ours_on_work_queue, next(fresh), f"{sys.executable} task.py", 20_000, 50),
        lambda: in_fresh_process(ours_on_work_queue, next(fresh), None, 1_000),
        lambda: bare_work_queue(next(fresh), "sh task.sh", 2_000),
        lambda: bare_work_queue(next(fresh), f"{sys.executable} task.py", 400),
    )
    yield Ratio("Work Queue, a shell task, to a plain script with the same files", shell, bare_shell, "trials/s", 0.9)
    yield Ratio("Work Queue, 50 trials a task, to the same plain script", batches, bare_shell, "trials/s", 4)
    yield Ratio("Work Queue, a Python callable, to a plain script that starts Python", objective, bare_python, "trials/s", 2.5)


PARTS = {"local": local, "grown": grown, "workqueue": workqueue}


def main(names: list[str]) -> int:
    """Print the table; return 1 if a goal is missed, 2 if there is no such part."""
    if unknown := [name for name in names if name not in PARTS]:
        print(f"there is no part {unknown[0]!r}, only {', '.join(PARTS)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for name in names or PARTS for row in PARTS[name](Path(folder))]
    print(machine())
    return 0 if show("What a trial costs besides its objective", rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
