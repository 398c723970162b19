"""The workers of a search in a batch system's queue, put there and taken out; what was submitted is kept in `record`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shadho_like.batch import SYSTEMS, queue, record
from shadho_like.batch.base import BatchSystem, FactoryWords, Place, WorkerJob
from shadho_like.batch.factory import LOCAL, ON_THIS_MACHINE
from shadho_like.batch.factory_record import FactoryFolder
from shadho_like.batch.record import Submission
from shadho_like.errors import OptionError
from shadho_like.registry import lookup


@dataclass(frozen=True, slots=True)
class Found:
    """The workers of one submission that are not gone.

    Attributes:
        submission: how they came there.
        places: where each is.
    """

    submission: Submission
    places: Mapping[str, Place]


def system_of(name: str) -> BatchSystem:
    """Return the batch system of this name.

    Raises:
        OptionError: there is none.
    """
    system: BatchSystem = lookup("batch system", name, SYSTEMS)
    return system


def factory_words(name: str) -> FactoryWords:
    """Return what the factory is told of a batch system, or of this machine where that is `local`.

    Raises:
        OptionError: there is no such batch system.
    """
    return ON_THIS_MACHINE if name == LOCAL else system_of(name).factory


def submit(system: BatchSystem, job: WorkerJob) -> Submission:
    """Write the script, submit it, and keep what came of it.

    Raises:
        WorldError: the batch system refuses, or the folder cannot be written.
    """
    with record.locked(job.search):
        return _submit(system, job)


def _submit(system: BatchSystem, job: WorkerJob) -> Submission:
    submissions = record.read(job.search)
    Path(job.logs).mkdir(parents=True, exist_ok=True)
    script = _written(record.folder(job.search), system, job)
    made = Submission(system.name, str(script), queue.submit(system, script, job.count), job, time.time())
    record.write(job.search, [*submissions, made])
    return made


def _written(folder: Path, system: BatchSystem, job: WorkerJob) -> Path:
    """Write the script under a name that is not taken."""
    number = 1
    while True:
        path = folder / f"workers-{number}{system.suffix}"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(system.script(job))
        except FileExistsError:
            number += 1
        else:
            os.chmod(path, 0o700)
            return path


def found(search: str) -> list[Found]:
    """Return the search's workers that are in a queue or run, oldest first.

    Raises:
        OptionError: none was ever submitted.
        WorldError: a batch system does not answer.
    """
    submissions = record.read(search)
    if not submissions and FactoryFolder.newest(search) is None:
        raise OptionError(f"no workers were submitted for {search!r}: {record.folder(search)} holds none; see shadho workers submit")
    seen = [Found(each, queue.places(system_of(each.system), each.ids)) for each in submissions]
    return [Found(each.submission, there) for each in seen if (there := _there(each.places))]


def _there(places: Mapping[str, Place]) -> dict[str, Place]:
    return {each: place for each, place in places.items() if place is not Place.GONE}


def drain(search: str) -> list[Found]:
    """Take the waiting workers out of the queue and ask the running ones to let their trials end; return those concerned.

    Raises:
        OptionError: none was ever submitted.
        WorldError: a batch system refuses.
    """
    with record.locked(search):
        there = found(search)
        for each in there:
            queue.drain(system_of(each.submission.system), each.places)
        return there


def scale(search: str, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Have so many workers, those in the queue counted and those that end not: submit more as the last time, or drain the youngest.

    Those that wait go first.

    Returns:
        The ids of the new ones, and of the drained ones.

    Raises:
        OptionError: none was ever submitted.
        WorldError: a batch system refuses.
    """
    with record.locked(search):
        there = [(each.submission, worker, place) for each in found(search) for worker, place in each.places.items()]
        staying = [each for each in reversed(there) if each[2] is not Place.ENDING]
        if count >= len(staying):
            return _more(search, count - len(staying)), ()
        youngest = sorted(staying, key=lambda each: each[2] is Place.RUNNING)[: len(staying) - count]
        for name in {submission.system for submission, _, _ in youngest}:
            queue.drain(system_of(name), {worker: place for submission, worker, place in youngest if submission.system == name})
        return (), tuple(worker for _, worker, _ in youngest)


def _more(search: str, count: int) -> tuple[str, ...]:
    submissions = record.read(search)
    if count == 0 or not submissions:
        return ()
    last = submissions[-1]
    return _submit(system_of(last.system), replace(last.job, count=count)).ids


def summary(places: Sequence[Place]) -> str:
    """Return how many workers are where, as the user is told of them."""
    counts = [f"{places.count(place)} {place.value}" for place in Place if place in places]
    return ", ".join(counts) or "none in a queue"
