"""`shadho experiment archive`, `unarchive` and `delete`: searches that are done with."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from shadho_like.cli.reference import EXPERIMENT, IdOrDirectory
from shadho_like.cli.said import said_plainly
from shadho_like.errors import OptionError


@click.command()
@EXPERIMENT
def archive(directory: Path) -> None:
    """Leave EXPERIMENT out of shadho experiment list, unless that is asked for --all. Nothing else changes.

    Example: shadho experiment archive experiments/digits
    """
    _set_archived(directory, archived=True)


@click.command()
@EXPERIMENT
def unarchive(directory: Path) -> None:
    """Have shadho experiment list show EXPERIMENT again.

    Example: shadho experiment unarchive experiments/digits
    """
    _set_archived(directory, archived=False)


def _set_archived(directory: Path, *, archived: bool) -> None:
    from shadho_like.notes import change_notes

    with said_plainly():
        if change_notes(directory, lambda notes: replace(notes, archived=archived)).archived is archived:
            click.echo(f"{directory} is {'archived already' if archived else 'not archived'}")
            return
        click.echo(f"{directory} is {'archived' if archived else 'no longer archived'}")


@click.command()
@click.argument("experiment", type=IdOrDirectory())
@click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
def delete(experiment: str, *, yes: bool) -> None:
    """Remove EXPERIMENT for good: its journal, its trials' files, its checkpoints. Not while its driver runs.

    Only what the search made is removed; your own files in its directory stay. Of an experiment whose directory is gone the id is
    forgotten.

    Example: shadho experiment delete experiments/digits --yes
    """
    from shadho_like.deletion import delete_experiment
    from shadho_like.filelock import FileLock
    from shadho_like.known_experiments import Whereabouts, find_experiment, find_known, forget
    from shadho_like.paths import ExperimentPaths

    with said_plainly():
        known = find_known(experiment)
        if known is not None and not Path(experiment).exists() and known.whereabouts() is Whereabouts.GONE:
            forget(known.id)
            click.echo(f"{known.id} ({known.name}) is forgotten; its directory {known.directory} was gone already")
            return
        directory = find_experiment(experiment)
        if (driver := FileLock.holder(ExperimentPaths(directory).lock)) is not None:
            who = f"process {driver.get('pid')} on {driver.get('host')}"
            message = f"{directory} is being run by {who}: end it first (shadho experiment kill), then delete it"
            raise OptionError(message)
        if not (yes or _agreed(directory)):
            click.echo("nothing is deleted")
            sys.exit(1)
        left = delete_experiment(directory)
        click.echo(f"{directory} is deleted")
        if left:
            names = ", ".join(path.name for path in left[:5]) + (", ..." if len(left) > 5 else "")
            click.echo(f"it is no experiment's any more, and still holds {names}")


def _agreed(directory: Path) -> bool:
    """Ask whether it is really to be deleted.

    Raises:
        OptionError: nobody can be asked.
    """
    from shadho_like.journal import JournalReader

    if not sys.stdin.isatty():
        raise OptionError("to delete without being asked, give --yes")
    with JournalReader(directory) as journal:
        name, count = journal.config["name"], sum(journal.counts().values())
    return click.confirm(f"delete {name} in {directory} with {count} trials for good?")
