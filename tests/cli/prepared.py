"""Two searches that commands are tried on: one that is over, with checkpoints and output files, and one whose driver was killed."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from e2e.processes import counts, running, until

OVER, UNDER_WAY = "experiments/digits", "experiments/sin"
TRIALS, RUNGS = 9, (1, 6, 27)
DIGITS = """
from shadho_like import Shadho, rand, searcher

space = {"x": rand.uniform(0, 1)}
keys = {"max_trials": 9, "max_length": 27, "max_concurrent_trials": 3, "num_rungs": 3}
method = searcher.create("async_halving", space, seed=3, **keys)
opt = Shadho("python train.py", space, method=method, timeout=None, directory="experiments/digits", name="digits", workers=2)
opt.add_input_file("train.py")
opt.add_output_file("model.txt")
opt.run()
"""
# What it prints would name the terminal, and its last line has no end.
TRAIN = r"""
import shadho_worker

def train(context):
    for operation in context.searcher.operations():
        print("to \x1b[31m%g\x1b[0m \x1b]0;owned\x07 caf\xe9" % operation.length)
        operation.report_progress(operation.length)
        open("model.txt", "w").write("%r" % context.hparams["x"])
        context.train.report_validation_metrics(operation.length, {"loss": context.hparams["x"]})
        with context.checkpoint.save_path() as path:
            open(path + "/length", "w").write("%g" % operation.length)
        operation.report_completed(context.hparams["x"])
        print("end of %g" % operation.length, end="", flush=True)

shadho_worker.run(train)
"""
SIN = """
from shadho_like import Shadho, rand

Shadho("echo begun; sleep 1000", {"x": rand.uniform(0, 1)}, max_tasks=8, workers=8, directory="experiments/sin", name="sin").run()
"""
ASHA = """
name: digits
hyperparameters: {lr: {type: log, minval: -4, maxval: -1}}
searcher: {name: async_halving, metric: loss, max_length: {epochs: 16}, max_trials: 32, num_rungs: 3}
slurm: {workers: 2}
"""
CREATED = """
name: created
entrypoint: python train.py
hyperparameters: {x: {type: double, minval: 0, maxval: 1}}
searcher: {name: random, metric: loss, max_length: {epochs: 2}, max_trials: 2}
"""


def build(folder: Path, environment: dict[str, str]) -> None:
    """Run both searches in a folder."""
    files = {"driver.py": DIGITS, "train.py": TRAIN, "sin.py": SIN, "asha.yaml": ASHA, "experiment.yaml": CREATED}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "driver.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with running([sys.executable, "sin.py"], folder, environment) as driver:
        until(lambda: counts(folder / UNDER_WAY) >= {"RUNNING": 8}.items(), "eight running trials", driver)
        logs = (folder / UNDER_WAY / "sandboxes").glob
        until(lambda: [log.read_text() for log in logs("*/output.log")] == ["begun\n"] * 8, "what they print", driver)
        driver.send_signal(signal.SIGKILL)
        driver.wait()


def copy(source: Path, target: Path) -> Path:
    """Copy the folder with both searches to a new place, where they are known by the same ids."""
    shutil.copytree(source, target)
    for path in (target / "home/experiments").iterdir():
        path.write_text(path.read_text(encoding="utf-8").replace(os.fspath(source), os.fspath(target)), encoding="utf-8")
    for journal in target.glob("experiments/*/journal.sqlite"):
        db = sqlite3.connect(journal)
        with db:
            db.execute("UPDATE meta SET value = replace(value, ?, ?) WHERE key = 'command'", (os.fspath(source), os.fspath(target)))
        db.close()
    return target


def set_phase(directory: Path, phase: str) -> None:
    """Have a search under way be as a driver would have left it in another phase."""
    db = sqlite3.connect(directory / "journal.sqlite")
    with db:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('phase', ?)", (phase,))
    db.close()
