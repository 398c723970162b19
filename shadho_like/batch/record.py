"""Which workers were put into which queue, kept in a file for each search, so that any later command finds them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import shadho_rendezvous

from shadho_like.batch.base import WorkerJob
from shadho_like.errors import WorldError
from shadho_like.paths import shadho_home

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Submission:
    """One script that was submitted.

    Attributes:
        system: the batch system's name.
        script: the script's path.
        ids: of its workers, in the batch system's words.
        job: what was asked for.
        submitted_s: when, in seconds since the epoch.
    """

    system: str
    script: str
    ids: tuple[str, ...]
    job: WorkerJob
    submitted_s: float


def folder(search: str) -> Path:
    """Return where a search's scripts, its workers' logs and this record lie."""
    return shadho_home() / "workers" / shadho_rendezvous.file_name(search)


@contextmanager
def locked(search: str) -> Iterator[None]:
    """Make the search's folder, and keep other commands from changing its record meanwhile.

    Raises:
        WorldError: the folder cannot be written.
    """
    try:
        folder(search).mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder(search) / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise WorldError(f"{error.filename or folder(search)}: {error.strerror}; set SHADHO_HOME to a folder of your own") from error


def read(search: str) -> list[Submission]:
    """Return a search's submissions, oldest first.

    Raises:
        WorldError: the record cannot be read.
    """
    path = _path(search)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["version"] != _VERSION:
            raise WorldError(f"{path} was written by another version of this package ({value['version']})")
        return [_submission(each) for each in value["submissions"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorldError(f"{path} cannot be read: {error}; the batch system's own list has the jobs") from error


def write(search: str, submissions: list[Submission]) -> None:
    """Replace the record; to be called inside of `locked`."""
    path = _path(search)
    partial = path.with_suffix(".partial")
    value = {"version": _VERSION, "submissions": [asdict(each) for each in submissions]}
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    os.replace(partial, path)


def _path(search: str) -> Path:
    return folder(search) / "submitted.json"


def worker_job(value: dict[str, Any]) -> WorkerJob:
    """Return what JSON says of a job."""
    lists = {field.name: tuple(value[field.name]) for field in fields(WorkerJob) if field.name.endswith("_options")}
    return WorkerJob(**{**value, **lists})


def _submission(value: dict[str, Any]) -> Submission:
    return Submission(**{**value, "ids": tuple(value["ids"]), "job": worker_job(value["job"])})
