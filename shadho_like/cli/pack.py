"""`shadho workers pack`: this Python environment, for the machines that run trials."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from shadho_like.cli.said import said_plainly

_MB = 1_000_000


@click.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("env.tar.gz"), show_default=True, help="The archive to write."
)
@click.option("--shared", is_flag=True, help="Pack nothing: the workers' machines see this environment's folder.")
def pack(output: Path, *, shared: bool) -> None:
    """Pack the current Python environment into an archive, and print the line that has trials run in it on workers.

    Example: shadho workers pack -o env.tar.gz
    """
    from shadho_like.batch.pack import pack as packed

    with said_plainly():
        if shared:
            click.echo(f'opt.config.workqueue.environment = "{sys.prefix}"')
            return
        made = packed(output)
        click.echo(f"{made.path}: {made.size / _MB:.0f} MB of {sys.prefix}", err=True)
        for package in made.left_out:
            click.echo(f"warning: {package} is installed from its source folder, and left out: install it without -e", err=True)
        click.echo(f'opt.config.workqueue.environment = "{made.path}"')
