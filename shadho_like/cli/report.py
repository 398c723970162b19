"""`shadho report`: one page about a search, to be sent to a colleague."""

from __future__ import annotations

from pathlib import Path

import click

from shadho_like.cli.reference import EXPERIMENT
from shadho_like.cli.said import said_plainly


@click.command("report")
@EXPERIMENT
@click.option("-o", "--output", type=click.Path(path_type=Path), default="report.html", show_default=True, help="The file to write.")
def report_command(directory: Path, output: Path) -> None:
    """Write one self-contained page about EXPERIMENT, running or done: figures, best trials, failures, configuration.

    Example: shadho report experiments/digits -o report.html
    """
    from shadho_like.report import write_report

    with said_plainly():
        for missing in write_report(directory, output):
            click.echo(missing, err=True)
        click.echo(output)
