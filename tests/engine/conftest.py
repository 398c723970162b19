"""An engine on the real Work Queue, with workers of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shadho_like.engine.workqueue import WorkQueueEngine, WorkQueueOptions
from shadho_like.launch import Launch


class Workers:
    """Workers of this machine, each a `work_queue_worker` in a session of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, port: int, *options: str, cores: int = 2) -> subprocess.Popen[bytes]:
        """Start a worker that looks for its manager here, and does not give up when that goes away."""
        folder = self._folder / str(len(self.processes))
        folder.mkdir(parents=True)
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        resources = [f"--cores={cores}", "--memory=2000", "--disk=2000"]
        ours = [*resources, "--min-backoff=1", "--max-backoff=1", f"--workdir={folder}"]
        process = subprocess.Popen(
            ["work_queue_worker", *ours, *options, "127.0.0.1", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PATH": path},
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait()


class EngineWithWorker(WorkQueueEngine):
    """The engine with a worker that starts when it opens."""

    def __init__(self, options: WorkQueueOptions, workers: Workers) -> None:
        super().__init__(options)
        self.workers = workers

    def open(self, launch: Launch) -> None:
        super().open(launch)
        self.workers.start(self.port)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WorkQueueOptions:
    """Return options that let nothing out of this machine, and nothing into the user's home."""
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    return WorkQueueOptions("test", address="127.0.0.1")


@pytest.fixture
def workers(work_queue_installed: None, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(tmp_path / "workers")
    yield started
    started.stop()


@pytest.fixture
def bare_engine(work_queue_installed: None, options: WorkQueueOptions) -> Iterator[WorkQueueEngine]:
    """An engine without a worker."""
    engine = WorkQueueEngine(options)
    yield engine
    engine.close()


@pytest.fixture
def work_queue_engine(options: WorkQueueOptions, workers: Workers) -> Iterator[WorkQueueEngine]:
    """An engine with a worker of two cores."""
    engine = EngineWithWorker(options, workers)
    yield engine
    engine.close()
