"""What the tests of `shadho experiment create` share: a script that trains, a configuration, and the command itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from shadho_like.journal import JournalReader

TRAIN = """import os, time, shadho_worker

def train(context):
    done = 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path:
            done = int(open(path + "/done").read())
    print("going on from", done)
    for operation in context.searcher.operations():
        while done < operation.length:
            while os.path.exists(context.hparams["wait_while"]):
                time.sleep(0.02)
            done += 1
            operation.report_progress(done)
        with context.checkpoint.save_path() as path:
            open(path + "/done", "w").write(str(done))
        operation.report_completed({"loss": context.hparams["x"] / done})

if __name__ == "__main__":
    with shadho_worker.init() as context:
        train(context)
"""
CONFIG = """name: quick
entrypoint: python train.py
hyperparameters:
  x: {type: double, minval: 1, maxval: 2}
  wait_while: /nowhere
searcher: {name: async_halving, metric: loss, max_length: {epochs: 4}, num_rungs: 3, divisor: 2, max_trials: 6}
"""


@dataclass(frozen=True)
class User:
    """Somebody at a terminal in a folder, with `exp.yaml` and the folder `code` there."""

    folder: Path
    environment: dict[str, str]

    def types(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run `shadho experiment ...` to its end."""
        command = ["shadho", "experiment", *map(str, words)]
        return subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)

    def begins(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start `shadho experiment ...`."""
        command = ["shadho", "experiment", *map(str, words)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def writes(self, name: str, text: str) -> Path:
        """Make a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def experiments(self) -> list[Path]:
        """Return the directories of the experiments that there are."""
        return sorted((self.folder / "experiments").glob("*"))


@pytest.fixture
def user(tmp_path: Path, environment: dict[str, str]) -> Iterator[User]:
    """Give a user; no driver that was left to itself outlives the test."""
    user = User(tmp_path / "work", environment)
    user.writes("code/train.py", TRAIN)
    user.writes("exp.yaml", CONFIG)
    yield user
    for directory in user.experiments():
        with suppress(Exception), JournalReader(directory) as journal:
            if journal.driver() is not None:
                user.types("kill", directory)
                user.types("wait", directory)
