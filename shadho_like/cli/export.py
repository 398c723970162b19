"""`shadho export`: an experiment's trials in a form that other tools read."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from shadho_like.cli.reference import EXPERIMENT
from shadho_like.cli.said import said_plainly
from shadho_like.plain_text import without_secrets

_LONG, _OFTEN = 1000, 100


@click.command()
@EXPERIMENT
@click.option("--optuna", "url", required=True, metavar="URL", help="Into a database of Optuna's, such as sqlite:///study.db.")
def export(directory: Path, url: str) -> None:
    """Write the trials of a search that are over into a database of Optuna's, as a study of its name.

    Run again, it adds what has ended since.

    Example: shadho export --optuna sqlite:///study.db experiments/sin
    """
    from shadho_like.studies import export as write

    with said_plainly():
        name, new = write(directory, url, _said_how_far)
        click.echo(f"study {name!r} in {without_secrets(url)}: {new} new trial{'' if new == 1 else 's'}")


def _said_how_far(done: int, of: int) -> None:
    """Show on a terminal how far it is, in a line that goes away."""
    if sys.stderr.isatty() and of > _LONG and (done % _OFTEN == 0 or done == of):
        click.echo(f"\r{done:,} of {of:,} trials" if done < of else "\r\033[K", nl=False, err=True)
