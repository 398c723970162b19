"""`shadho dashboard`: experiments in a browser."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from shadho_like.cli.reference import ExperimentReference
from shadho_like.cli.said import said_plainly


@click.command()
@click.argument("directories", nargs=-1, metavar="[EXPERIMENT]...", type=ExperimentReference())
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Where to listen; 0 for any that is free.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another address than this machine's own asks for a token.")
@click.option("--token", "ask", is_flag=True, help="Ask for a token here too: others who work on this machine reach it as well.")
def dashboard(directories: tuple[Path, ...], port: int, host: str, *, ask: bool) -> None:
    """Show searches in a browser, running or done: charts, workers, rungs, logs; and steer them.

    Without any, those in ./experiments are shown.

    Example: shadho dashboard experiments/sin experiments/digits
    """
    from shadho_like.dashboard.app import application
    from shadho_like.dashboard.server import serve
    from shadho_like.errors import OptionError

    with said_plainly(), contextlib.suppress(KeyboardInterrupt):
        chosen = directories or tuple(sorted(path.parent for path in Path("experiments").glob("*/journal.sqlite")))
        if not chosen:
            message = "there is no experiment in ./experiments: give the directories of some, as in shadho dashboard experiments/sin"
            raise OptionError(message)
        serve(application(chosen), host=host, port=port, ask=ask, ready=lambda url: click.echo(f"open {url}  (Ctrl-C ends it)"))
