"""Runs a batch system's own commands: submit a script, list the workers, drain or remove them."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from shadho_like.batch.base import BatchSystem, Place
from shadho_like.errors import WorldError

_PATIENCE_S = 120


def submit(system: BatchSystem, script: Path, count: int) -> tuple[str, ...]:
    """Submit a script and return the ids of its workers.

    Raises:
        WorldError: the batch system is not here, does not take it, or says what nobody understands.
    """
    said = _run([*system.submit, str(script)])
    ids = system.ids(said, count)
    if not ids:
        text = f"{system.submit[0]} took {script}, and said no id that is understood here: {said.strip()!r}"
        raise WorldError(f"{text}; {shlex.join(system.listing)} lists the jobs")
    return ids


def places(system: BatchSystem, ids: Sequence[str]) -> Mapping[str, Place]:
    """Return where each worker is; one that a complete list of jobs does not hold is gone.

    Raises:
        WorldError: the batch system does not answer: then nothing is known.
    """
    said = _run(system.listing)
    try:
        listed = system.places(said)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorldError(f"{shlex.join(system.listing)} said what is not understood here: {error}") from error
    return {each: listed.get(each, Place.GONE) for each in ids}


def drain(system: BatchSystem, found: Mapping[str, Place]) -> None:
    """Take out of the queue what waits there, and ask what runs to let its trials end.

    Raises:
        WorldError: the batch system refuses.
    """
    waiting = [each for each, place in found.items() if place in {Place.WAITING, Place.HELD}]
    running = [each for each, place in found.items() if place is Place.RUNNING]
    commands = [*(system.remove(waiting) if waiting else []), *(system.drain(running) if running else [])]
    for command in commands:
        _run(command)


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE_S, check=False)
    except FileNotFoundError as error:
        raise WorldError(f"{command[0]} is not on the PATH: is this a machine from which jobs are submitted?") from error
    except subprocess.TimeoutExpired as error:
        raise WorldError(f"{shlex.join(command)} has not answered for {_PATIENCE_S} s", transient=True) from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or "nothing"
        raise WorldError(f"{shlex.join(command)} failed with status {done.returncode} and said: {said}")
    return done.stdout
