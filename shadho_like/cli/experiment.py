"""`shadho experiment`: what a user asks of an experiment from another terminal than its driver's."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shadho_like.cli.said import said_plainly
from shadho_like.cli.watch import watch
from shadho_like.errors import OptionError
from shadho_like.events import Action

if TYPE_CHECKING:
    from shadho_like.phase import Phase

_PATIENCE_S = 10.0
_LOOK_S = 0.1
_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))


@click.group("experiment")
def experiment_commands() -> None:
    """Pause, go on with, or end a search, from any machine that sees its directory."""


experiment_commands.add_command(watch)


@experiment_commands.command()
@_DIRECTORY
def pause(directory: Path) -> None:
    """Have running trials take a checkpoint and stop, and start none until it is activated.

    Example: shadho experiment pause experiments/sin
    """
    ask(directory, Action.PAUSE)


@experiment_commands.command()
@_DIRECTORY
def activate(directory: Path) -> None:
    """Go on after a pause.

    Example: shadho experiment activate experiments/sin
    """
    ask(directory, Action.ACTIVATE)


@experiment_commands.command()
@_DIRECTORY
def cancel(directory: Path) -> None:
    """Have running trials take a checkpoint and stop, then end the search.

    Example: shadho experiment cancel experiments/sin
    """
    ask(directory, Action.CANCEL)


@experiment_commands.command()
@_DIRECTORY
def kill(directory: Path) -> None:
    """End the search at once.

    Example: shadho experiment kill experiments/sin
    """
    ask(directory, Action.KILL)


@experiment_commands.command("continue")
@_DIRECTORY
@click.option("--max-trials", type=click.IntRange(min=1), help="How many trials there are to be, those that are there counted.")
@click.option("--max-length", type=click.IntRange(min=1), help="How long the longest are to be trained.")
def go_on(directory: Path, max_trials: int | None, max_length: int | None) -> None:
    """Go on with a search that has ended: what was canceled is taken up again, and the search method may get more to do.

    Starts the driver as it was started last.

    Example: shadho experiment continue experiments/digits --max-length 81
    """
    from shadho_like import requests
    from shadho_like.journal import JournalReader
    from shadho_like.paths import ExperimentPaths

    with said_plainly():
        with JournalReader(directory) as journal:
            phase, driver, command = journal.phase, journal.driver(), journal.command
        if not phase.over:
            message = f"{directory} is not over ({phase.value.lower()}): its driver goes on with it when it is started"
            raise OptionError(message)
        if driver is not None:
            message = f"{directory} is just being ended by process {driver['pid']} on {driver['host']}: try again in a moment"
            raise OptionError(message)
        given = {"max_trials": max_trials, "max_length": max_length}
        keys = {key: value for key, value in given.items() if value is not None}
        requests.leave(ExperimentPaths(directory.absolute()).requests, Action.CONTINUE, keys=keys)
        if command is None or not Path(command["cwd"]).is_dir():
            click.echo(f"{directory} goes on when its driver is started again")
            return
        click.echo(f"starting its driver again, in {command['cwd']}: {shlex.join(command['argv'])}")
        sys.stdout.flush()
        os.chdir(command["cwd"])
        os.execvp(command["argv"][0], command["argv"])


def ask(directory: Path, action: Action, trial: int | None = None) -> None:
    """Leave a request, and say what came of it."""
    from shadho_like import requests
    from shadho_like.journal import JournalReader
    from shadho_like.paths import ExperimentPaths

    with said_plainly():
        with JournalReader(directory) as journal:
            _check(directory, journal.phase, action)
            driver = journal.driver()
        left = requests.leave(ExperimentPaths(directory.absolute()).requests, action, trial=trial)
        if driver is None:
            click.echo(f"no driver runs {directory}: the next one does it when it starts")
            return
        give_up_s = time.monotonic() + _PATIENCE_S
        while left.exists() and time.monotonic() < give_up_s:
            time.sleep(_LOOK_S)
        who = f"the driver, process {driver['pid']} on {driver['host']},"
        if left.exists():
            click.echo(f"{who} has not answered yet; the request waits in {left.parent}")
        else:
            with JournalReader(directory) as journal:
                click.echo(f"{who} does it; the experiment is {journal.phase.value.lower()} now")


def _check(directory: Path, phase: Phase, action: Action) -> None:
    """Refuse what makes no sense."""
    if phase.over:
        message = f"{directory} is over ({phase.value.lower()}), and cannot be asked to {action.value}; see shadho experiment continue"
        raise OptionError(message)
    if action is Action.ACTIVATE and phase.value == "ACTIVE":
        message = f"{directory} is not paused"
        raise OptionError(message)
