"""What must hold after any fault, read from what is left on the disk: nothing lost, nothing doubled, every state legal, the same search.

Each function raises `Broken` with all that it found. It knows no engine and no fault.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shadho_like.events import AttemptFinished, AttemptStarted, Continued, event_from_json
from shadho_like.filelock import FileLock
from shadho_like.journal import dump_operations, schema
from shadho_like.paths import ExperimentPaths
from shadho_like.searcher.base import BuiltInMethod
from shadho_like.state import ExperimentState
from shadho_like.trial import AttemptId, Success, Trial
from shadho_like.turn import Turn

_LOCKED_S = 120.0
"""A driver that starts after one that was killed locks its journal for a moment."""

Told = Mapping[int, tuple[Any, ...]]
"""What a search found, by trial."""


class Broken(AssertionError):
    """Promises that did not hold."""


def keep(what: Iterable[str]) -> None:
    """Raise for what is broken, if anything is."""
    if broken := list(what):
        raise Broken("; ".join(broken[:10]))


@dataclass
class Record:
    """A journal, folded once more from its first turn, and what its tables say.

    Attributes:
        state: after the last turn.
        turns: all of them.
        trials: as the turns left them.
    """

    state: ExperimentState
    turns: list[Turn] = field(default_factory=list)
    trials: dict[int, Trial] = field(default_factory=dict)


def legal(root: Path, fresh: Callable[[], BuiltInMethod]) -> Record:
    """Fold an experiment's turns; every step must be allowed, and the tables and snapshots say the same."""
    with closing(sqlite3.connect(ExperimentPaths(root).journal)) as db:
        config = schema.read_config(db, root)
        record = Record(
            ExperimentState(fresh(), experiment=config["name"], seed=config["seed"], smaller_is_better=config["smaller_is_better"])
        )
        keep(f"SQLite: {problem}" for (problem,) in db.execute("PRAGMA integrity_check") if problem != "ok")
        snapshots = dict(db.execute("SELECT turn, state FROM snapshots"))
        for number, event, operations, checksum in db.execute("SELECT * FROM turns ORDER BY number"):
            keep(_sound(record.state.turn + 1, number, event, operations, checksum))
            turn = record.state.handle(event_from_json(json.loads(event)))
            keep(_followed(record, turn, operations))
            if number in snapshots and schema.dump(record.state.snapshot()) != snapshots[number]:
                keep([f"the snapshot of turn {number} is not what the turns lead to"])
        keep(_tables(db, record, config["metric"]))
    return record


def _sound(expected: int, number: int, event: str, operations: str, checksum: int) -> Iterable[str]:
    if number != expected:
        yield f"turn {expected} is missing"
    if zlib.crc32(f"{number}{event}{operations}".encode()) != checksum:
        yield f"turn {number} does not match its checksum"


def _followed(record: Record, turn: Turn, operations: str) -> Iterable[str]:
    """Take a turn's trials over, each of which may only go forward."""
    if dump_operations(turn) != operations:
        yield f"turn {turn.number} asks for something else than it did"
    record.turns.append(turn)
    for trial in turn.trials:
        before = record.trials.get(trial.number)
        if before is not None:
            same = (before.request_id, before.hparams, before.seed) == (trial.request_id, trial.hparams, trial.seed)
            grown = before.validated <= trial.validated and before.attempt <= trial.attempt and before.restarts <= trial.restarts
            reopened = isinstance(turn.event, Continued)
            if (before.state.final and not reopened) or not same or not grown:
                yield f"turn {turn.number} makes {trial} of {before}"
        record.trials[trial.number] = trial


def _tables(db: sqlite3.Connection, record: Record, metric: str) -> Iterable[str]:
    """Compare the tables for people with what the turns say; look for trials and results counted twice."""
    rows = {row[0]: row for row in db.execute("SELECT * FROM trials")}
    if rows != {number: tuple(schema.trial_row(trial)) for number, trial in record.trials.items()}:
        yield "the table of trials is not what the turns lead to"
    if sorted(rows) != list(range(len(rows))) or len({row[1] for row in rows.values()}) != len(rows):
        yield "trials are missing, or there twice"
    results = [turn.event for turn in record.turns if isinstance(turn.event, AttemptFinished)]
    if len({result.attempt for result in results}) != len(results):
        yield "an attempt's result was taken twice"
    metrics = list(_results(record, metric))
    held = "SELECT trial, length, value, attempt FROM metrics WHERE kind = 'result' AND name = ?"
    if len({row[:2] for row in metrics}) != len(metrics) or set(db.execute(held, (metric,))) != set(metrics):
        yield "the table of metrics is not what the results were"
    ended = {turn.event.attempt: turn for turn in record.turns if isinstance(turn.event, AttemptFinished)}
    attempts = {AttemptId(*row[:2]): row[2] for row in db.execute("SELECT * FROM attempts")}
    begun = {turn.event.attempt for turn in record.turns if isinstance(turn.event, AttemptStarted)}
    for attempt in begun | ended.keys():
        done = attempt in ended and isinstance(ended[attempt].event.outcome, Success)  # type: ignore[union-attr]
        if done != (attempts.get(attempt) == "COMPLETED"):
            yield f"attempt {attempt} is {attempts.get(attempt)} in its table, but its result says {done}"
    for state, count in record.state.counts.items():
        if count != sum(trial.state is state for trial in record.trials.values()):
            yield f"{count} trials are counted as {state.value}"


def _results(record: Record, metric: str) -> Iterable[tuple[int, float, float | None, int]]:
    """Yield trial, length, value and attempt of each result that was taken."""
    for turn in record.turns:
        if isinstance(turn.event, AttemptFinished) and isinstance(turn.event.outcome, Success):
            length = next(trial.validated for trial in turn.trials if trial.number == turn.event.attempt.trial)
            yield turn.event.attempt.trial, length, turn.event.outcome.metric, turn.event.attempt.attempt


def told(root: Path) -> Told:
    """Return what a search found: for each trial its sample, seed, state, lengths, metric and restarts."""
    with closing(sqlite3.connect(ExperimentPaths(root).journal, timeout=_LOCKED_S)) as db:
        columns = "number, hyperparameters, seed, state, length, validated, metric, restarts"
        return {row[0]: row[1:] for row in db.execute(f"SELECT {columns} FROM trials ORDER BY number")}


def finished(root: Path) -> Told:
    """Return what of a search is over."""
    over = {"COMPLETED", "STOPPED", "FAILED", "CANCELED"}
    return {number: row for number, row in told(root).items() if row[2] in over}


def nothing_lost(before: Told, root: Path) -> Told:
    """Return what is over now, in which everything that was over before must be, unchanged."""
    now = finished(root)
    keep(f"trial {number} was {row}, and now is {now.get(number)}" for number, row in before.items() if now.get(number) != row)
    return now


def same_search(root: Path, undisturbed: Told) -> None:
    """Compare what a search found with what it finds undisturbed."""
    found = told(root)
    keep(
        f"trial {number}: {found.get(number)} instead of {undisturbed.get(number)}"
        for number in sorted(found.keys() | undisturbed.keys())
        if found.get(number) != undisturbed.get(number)
    )


def nothing_left(root: Path) -> None:
    """Look for what a driver that ended may leave behind: a lock, sandboxes, processes at work in its directory."""
    keep([*files_left(root), *processes_left(root)])


def files_left(root: Path) -> list[str]:
    """Return what a driver that ended left in its directory and should not."""
    paths = ExperimentPaths(root)
    left = [] if FileLock.holder(paths.lock) is None else ["the lock is still held"]
    if paths.sandboxes.is_dir():
        left += [f"the sandbox {entry} is left" for entry in paths.sandboxes.iterdir()]
    return left


def processes_left(root: Path) -> list[str]:
    """Return the processes that are at work in a directory."""
    return [f"process {pid} is left: {command}" for pid, command in processes_in(root)]


def processes_in(root: Path) -> list[tuple[int, str]]:
    """Return the processes whose folder or command names a directory, but for this one."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(root) in command or str((process / "cwd").readlink()).startswith(str(root)):
                found.append((int(process.name), command))
    return found
