"""A search of real processes: a driver, workers and a catalog server, each of which may be signalled, lost and started again.

Everything lies beneath one folder; every process that was started is ended by its own id.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import promises
from e2e.processes import Environment, completed
from shadho_worker_options import IDLE_STATUS

from shadho_like import rand, searcher
from shadho_like.journal import JournalReader
from shadho_like.searcher.base import BuiltInMethod

PATIENCE_S = 120.0
SPACE = {"x": rand.uniform(0, 3)}
DRIVER = """
import json
import sys
import time

options = json.loads(sys.argv[1])
now = time.time
if options["clock_s"]:
    time.time = lambda: now() + options["clock_s"]

from shadho_like import Shadho, rand

opt = Shadho("sh task.sh", {"x": rand.uniform(0, 3)}, max_tasks=options["trials"], timeout=36000, seed=11, workers=2, directory=sys.argv[2])
opt.add_input_file("task.sh")
for key, value in options["workqueue"].items():
    setattr(opt.config.workqueue, key, value)


def set_back(step):
    if options["back_at"] and step.counts["COMPLETED"] >= options["back_at"]:
        time.time = lambda: now() - 3600


opt.listeners.append(set_back)
opt.run()
"""
TASK = """
trial=$(sed 's/.*"trial": *\\([0-9]*\\).*/\\1/' trial.json)
sleep 0.1
echo "$trial" >> {folder}/ran
while [ "$trial" -ge "$(cat {folder}/held)" ]; do sleep 0.05; done
{more}
echo "{{\\"loss\\": $trial}}" > result.json
"""


def fresh(trials_keys: dict[str, Any]) -> Callable[[], BuiltInMethod]:
    """Return what makes the drivers' search method."""

    def made() -> BuiltInMethod:
        method: BuiltInMethod = searcher.create("random", SPACE, seed=11, **trials_keys)
        return method

    return made


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def command_of(pid: int) -> str:
    """Return a process's command; nothing of one that is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def beneath(pid: int, named: str) -> int | None:
    """Return a descendant of a process whose command holds a text."""
    for child in children(pid):
        if named in command_of(child):
            return child
        if (found := beneath(child, named)) is not None:
            return found
    return None


class Cluster:
    """A folder with a driver's script and all that runs for it.

    Args:
        folder: where everything is.
        environment: of all processes.
        trials: of the search.
        more: what the trials' command does besides.
        held: how many trials, the last ones, wait to be let go: the search cannot end before its faults have come.
        workqueue: the driver's settings of Work Queue; none for this machine's own engine.

    Attributes:
        directory: the experiment's.
        driver: the newest one.
        workers: those that should run.
        tend: called again and again while something is waited for.
    """

    def __init__(
        self,
        folder: Path,
        environment: Environment,
        trials: int,
        *,
        more: str = "",
        held: int = 0,
        workqueue: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.directory = folder / "search"
        self.trials = trials
        self.options: dict[str, Any] = {"trials": trials, "workqueue": workqueue or {}, "clock_s": 0, "back_at": 0}
        temporary = folder / "tmp"
        temporary.mkdir(parents=True)
        self.environment = {**environment, "TMPDIR": str(temporary)}
        (folder / "driver.py").write_text(DRIVER)
        (folder / "task.sh").write_text(TASK.format(folder=folder, more=more))
        self.hold(trials - held)
        self._started: list[subprocess.Popen[bytes]] = []
        self.driver: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.tend: Callable[[], None] | None = None
        self.over: promises.Told = {}

    def hold(self, first: int) -> None:
        """Have this trial, and those after it, wait until it is another one."""
        text = self.folder / "held.new"
        text.write_text(str(first))
        text.replace(self.folder / "held")

    def let_go(self) -> None:
        """Hold no trial any more."""
        self.hold(self.trials)

    def start(self, *command: str, log: str, environment: Environment | None = None) -> subprocess.Popen[bytes]:
        """Start a process whose output is appended to a log."""
        with (self.folder / log).open("ab") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment or self.environment, stdout=output, stderr=output, start_new_session=True
            )
        self._started.append(process)
        return process

    def start_driver(self) -> subprocess.Popen[bytes]:
        """Start a driver of the search."""
        return self.start(*self.driver_command(), log="driver.log")

    def driver_command(self) -> Sequence[str]:
        """Return the command of a driver of the search."""
        return sys.executable, "driver.py", json.dumps(self.options), str(self.directory)

    def said(self, log: str = "driver.log") -> str:
        """Return what a kind of process has printed."""
        path = self.folder / log
        return path.read_text(errors="replace") if path.exists() else ""

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait for something; fail where it does not come."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < give_up_s, f"never came: {what}; {self.said()[-2000:]}\n{self.said('worker.log')[-2000:]}"
            if self.tend is not None:
                self.tend()
            time.sleep(0.02)

    def until_completed(self, at_least: int) -> None:
        """Wait until so many trials are completed, or the search is over."""
        self.until(lambda: completed(self.directory) >= min(at_least, self.trials), f"{at_least} trials")

    def check(self) -> None:
        """Check what must hold whatever runs now."""
        if (self.directory / "journal.sqlite").exists() and completed(self.directory):
            self.over = promises.nothing_lost(self.over, self.directory)

    def check_end(self, undisturbed: promises.Told, *, workers_end: bool = True) -> None:
        """Check what the search found, and that nothing is left of it."""
        assert self.driver is not None
        self.let_go()
        assert self.driver.wait(PATIENCE_S) == 0, self.said()
        for worker in self.workers if workers_end else []:
            # One that was not connected when the search ended was not told so, and gives up when it has waited long enough.
            assert worker.wait(2 * PATIENCE_S) in {0, IDLE_STATUS}, self.said("worker.log")
        self.check()
        with JournalReader(self.directory) as journal:
            keys = journal.config["method"]["keys"]
        promises.legal(self.directory, fresh(keys))
        promises.same_search(self.directory, undisturbed)
        promises.keep(promises.files_left(self.directory))
        # What a driver or a worker that was killed had, others end and remove, in their own time.
        give_up_s = time.monotonic() + PATIENCE_S
        while (left := self._left()) and time.monotonic() < give_up_s:
            time.sleep(0.02)
        promises.keep(left)

    def _left(self) -> list[str]:
        """Return what processes of the search, or files of theirs, are left."""
        temporary = [f"{path.name} is left in the temporary folder" for path in (self.folder / "tmp").iterdir()]
        return promises.processes_left(self.directory) + temporary

    def end(self) -> None:
        """End everything that still runs."""
        for process in self._started:
            if process.poll() is None:
                for number in (signal.SIGCONT, signal.SIGKILL):
                    with suppress(OSError):
                        os.killpg(process.pid, number)
                process.wait()
