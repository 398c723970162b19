"""`shadho experiment pause`, `activate`, `cancel`, `kill`, `continue`: what a user asks of a search from another terminal."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shadho_like.cli.reference import EXPERIMENT
from shadho_like.cli.said import said_plainly
from shadho_like.errors import OptionError, WorldError
from shadho_like.events import Action

if TYPE_CHECKING:
    from shadho_like.phase import Phase

_PATIENCE_S = 10.0
_LOOK_S = 0.1


@click.command()
@EXPERIMENT
def pause(directory: Path) -> None:
    """Have running trials take a checkpoint and stop, and start none until it is activated.

    Example: shadho experiment pause experiments/sin
    """
    ask(directory, Action.PAUSE)


@click.command()
@EXPERIMENT
def activate(directory: Path) -> None:
    """Go on after a pause.

    Example: shadho experiment activate experiments/sin
    """
    ask(directory, Action.ACTIVATE)


@click.command()
@EXPERIMENT
def cancel(directory: Path) -> None:
    """Have running trials take a checkpoint and stop, then end the search.

    Example: shadho experiment cancel experiments/sin
    """
    ask(directory, Action.CANCEL)


@click.command()
@EXPERIMENT
def kill(directory: Path) -> None:
    """End the search at once.

    Example: shadho experiment kill experiments/sin
    """
    ask(directory, Action.KILL)


@click.command("continue")
@EXPERIMENT
@click.option("--max-trials", type=click.IntRange(min=1), help="How many trials there are to be, those that are there counted.")
@click.option("--max-length", type=click.IntRange(min=1), help="How long the longest are to be trained.")
def go_on(directory: Path, max_trials: int | None, max_length: int | None) -> None:
    """Go on with a search that has ended: what was canceled is taken up again, and the search method may get more to do.

    One that has not ended, and whose driver was killed or stopped, goes on from where it was.

    Starts the driver as it was started last; that of an experiment which was created from a configuration in the background, and in the
    directory named here, wherever it was copied or moved from.

    Example: shadho experiment continue experiments/digits --max-length 81
    """
    from shadho_like import created, requests
    from shadho_like.journal import JournalReader
    from shadho_like.paths import ExperimentPaths

    with said_plainly():
        with JournalReader(directory) as journal:
            phase, driver, command = journal.phase, journal.driver(), journal.command
        given = {"max_trials": max_trials, "max_length": max_length}
        keys = {key: value for key, value in given.items() if value is not None}
        if not phase.over and (driver is not None or keys):
            message = f"{directory} is not over ({phase.value.lower()}): its driver goes on with it when it is started"
            raise OptionError(message)
        if driver is not None:
            message = f"{directory} is just being ended by process {driver['pid']} on {driver['host']}: try again in a moment"
            raise OptionError(message)
        if phase.over:
            requests.leave(ExperimentPaths(directory.absolute()).requests, Action.CONTINUE, keys=keys)
        if created.is_created(directory):
            process = created.start(directory)
            log = ExperimentPaths(directory).driver_log
            click.echo(f"starting its driver again, in the background: it is process {process.pid}, and prints to {log}")
            return
        if command is None or not Path(command["cwd"]).is_dir():
            click.echo(f"{directory} goes on when its driver is started again")
            return
        click.echo(f"starting its driver again, in {command['cwd']}: {shlex.join(command['argv'])}")
        sys.stdout.flush()
        try:
            os.chdir(command["cwd"])
            os.execvp(command["argv"][0], command["argv"])
        except OSError as error:
            what = f"{command['argv'][0]} cannot be started in {command['cwd']}"
            message = f"{what}: {error.strerror}; start the driver of {directory} yourself"
            raise WorldError(message) from error


def ask(directory: Path, action: Action, trial: int | None = None) -> None:
    """Leave a request, and say what came of it."""
    from shadho_like.journal import JournalReader

    with said_plainly():
        with JournalReader(directory) as journal:
            _check(directory, journal.phase, action)
        if leave(directory, action, trial=trial):
            with JournalReader(directory) as journal:
                click.echo(f"the driver does it; the experiment is {journal.phase.value.lower()} now")


def leave(directory: Path, action: Action, *, trial: int | None = None, keys: Mapping[str, int] | None = None) -> bool:
    """Leave a request, and return whether a driver took it up; say so where none did.

    Raises:
        WorldError: the directory cannot be written.
    """
    from shadho_like import requests
    from shadho_like.filelock import FileLock
    from shadho_like.paths import ExperimentPaths

    paths = ExperimentPaths(directory.absolute())
    driver = FileLock.holder(paths.lock)
    left = requests.leave(paths.requests, action, trial=trial, keys=keys)
    if driver is None:
        click.echo(f"no driver runs {directory}: the next one does it when it starts")
        return False
    give_up_s = time.monotonic() + _PATIENCE_S
    while left.exists() and time.monotonic() < give_up_s:
        time.sleep(_LOOK_S)
    if left.exists():
        who = f"process {driver.get('pid')} on {driver.get('host')}"
        click.echo(f"the driver, {who}, has not answered yet; the request waits in {left.parent}")
        return False
    return True


def _check(directory: Path, phase: Phase, action: Action) -> None:
    """Refuse what makes no sense."""
    if phase.over:
        message = f"{directory} is over ({phase.value.lower()}), and cannot be asked to {action.value}; see shadho experiment continue"
        raise OptionError(message)
    if action is Action.ACTIVATE and phase.value == "ACTIVE":
        message = f"{directory} is not paused"
        raise OptionError(message)
