"""How a run stands, as its driver tells those who look from any machine: what no turn says, so that no journal keeps it.

A file of its own, replaced whole: a row of the journal would make every few seconds a commit that waits for the disk, for something
that nobody needs after a crash. It lies under the driver's lock, by which one that a dead driver left is known to be old.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadho_like.engine_status import EngineStatus
from shadho_like.filelock import FileLock
from shadho_like.paths import ExperimentPaths

_INTERVAL_S = 3.0
_LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Standing:
    """What a driver tells of its run.

    Attributes:
        engine: what there is to run on.
        progress: the search method's own measure, 0 to 1.
        max_trials: how many trials there may be in total; None for no limit.
        ends_s: when the run ends by time, Unix time in seconds; None where it does not, or is paused.
    """

    engine: EngineStatus
    progress: float
    max_trials: int | None
    ends_s: float | None


@dataclass(frozen=True, slots=True)
class Told:
    """What was told, and when.

    Attributes:
        standing: what a driver told last.
        time_s: when, Unix time in seconds. What has not changed since is not told again.
        live: whether that driver still runs the experiment; else it is how things were.
        over: whether its run has ended well.
    """

    standing: Standing
    time_s: float
    live: bool
    over: bool


class StatusFile:
    """Tells how a run stands. That it cannot be told stops no search.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._due_s = float("-inf")
        self._told: Standing | None = None
        self._last: Standing | None = None

    def tell(self, standing: Standing) -> None:
        """Replace what was told before by something else, not too often."""
        self._last = standing
        now_s = time.monotonic()
        if now_s >= self._due_s and standing != self._told:
            self._due_s = now_s + _INTERVAL_S
            self._write(standing, over=False)

    def end(self) -> None:
        """Tell that the run is over."""
        if self._last is not None:
            self._write(self._last, over=True)

    def _write(self, standing: Standing, *, over: bool) -> None:
        self._told = standing
        value = {
            "engine": standing.engine.to_json(),
            "progress": standing.progress,
            "max_trials": standing.max_trials,
            "ends_s": standing.ends_s,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "time_s": time.time(),
            "over": over,
        }
        partial = self._path.with_name(f".{self._path.name}.partial")
        with suppress(OSError):
            partial.write_text(json.dumps(value), encoding="utf-8")
            partial.replace(self._path)


def read_status(paths: ExperimentPaths) -> Told | None:
    """Return what a driver of this experiment told last; None where none has, or something that this version does not understand."""
    try:
        with paths.status.open("rb") as file:
            value: Any = json.loads(file.read(_LARGEST))
        standing = Standing(
            EngineStatus.from_json(value["engine"]), float(value["progress"]), _int(value["max_trials"]), _float(value["ends_s"])
        )
        time_s = float(value["time_s"])
        driver = None if value["over"] else FileLock.holder(paths.lock)
        # The same process id may be another driver's, which has not told anything yet.
        live = driver is not None and all(driver[name] == value[name] for name in ("pid", "host")) and time_s >= driver["since_s"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Told(standing, time_s, live, over=bool(value["over"]))


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
