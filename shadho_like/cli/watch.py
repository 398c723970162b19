"""`shadho experiment watch`: a search on a terminal, kept up to date, from any machine that sees its directory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shadho_like.cli.reference import EXPERIMENT
from shadho_like.cli.said import ended_by_interrupt, said_plainly
from shadho_like.errors import JournalError

if TYPE_CHECKING:
    from rich.console import Console

    from shadho_like.follow import Follower
    from shadho_like.frame import Frame

_LOOK_S = 1.0


@click.command()
@EXPERIMENT
@click.option("--once", is_flag=True, help="Print how it stands, and end.")
def watch(directory: Path, *, once: bool) -> None:
    """Show EXPERIMENT while it runs: how far it is, the best so far, trials, workers, failures.

    It only reads, so that it can be started anywhere and as often as wanted. Where its output is no terminal, it prints how things
    stand once.

    Example: shadho experiment watch experiments/digits
    """
    from rich.console import Console

    from shadho_like.follow import Follower
    from shadho_like.journal import JournalReader

    with said_plainly():
        with JournalReader(directory) as journal:
            follower = Follower(journal.config)
        console = Console(markup=False, emoji=False, highlight=False)
        if once or not console.is_terminal or console.is_dumb_terminal:
            _print(console, _look(directory, follower, None))
            return
        with ended_by_interrupt():
            _show(console, directory, follower)


def _look(directory: Path, follower: Follower, height: int | None) -> Frame:
    from shadho_like.cli.watch_page import Room
    from shadho_like.frame import frame_of
    from shadho_like.journal import JournalReader

    room = Room.of(height)
    # It is opened for each look: a driver that ends leaves one plain file only where nobody else has it open.
    with JournalReader(directory) as journal:
        return frame_of(journal, follower, trials=room.trials, failures=room.failures, now_s=time.time())


def _print(console: Console, frame: Frame) -> None:
    from shadho_like.cli.watch_page import Room, page

    console.print(page(frame, console.width, Room.of(None)))


def _show(console: Console, directory: Path, follower: Follower) -> None:
    """Show one frame after the other until there is no more to see; the last one stays, and of a search that is over a longer one."""
    from rich.live import Live

    from shadho_like.cli.watch_page import Room, page

    with Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                frame = _look(directory, follower, console.height)
            except JournalError as error:
                if not error.transient:
                    raise
            else:
                if frame.over:
                    live.transient = True
                    break
                live.update(page(frame, console.width, Room.of(console.height)), refresh=True)
            time.sleep(_LOOK_S)
    _print(console, _look(directory, follower, None))
