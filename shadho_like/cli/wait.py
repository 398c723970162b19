"""`shadho experiment wait`: the end of a search, as an exit status."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shadho_like.cli.reference import EXPERIMENT
from shadho_like.cli.said import ended_by_interrupt, said_plainly

if TYPE_CHECKING:
    from shadho_like.watching import Vigil

_LONGEST_PAUSE_S = 5.0
_TIMED_OUT = 124
STATUS: Mapping[str, int] = {"completed": 0, "canceled": 3, "failed": 4, "stopped": 5}


@click.command()
@EXPERIMENT
@click.option("--timeout", type=click.FloatRange(min=0), help="Wait no longer than so many seconds.")
def wait(directory: Path, timeout: float | None) -> None:
    """Wait for the end of EXPERIMENT, and say by the exit status how it ended.

    \b
      0  completed: the search method has no more to do, or all trials that there may be are over
      1  the experiment cannot be read
      2  there is none, or the command is wrong
      3  canceled, or killed
      4  failed: the search method gave it up
      5  stopped: it is not over, and no driver runs it (for 10 s, where none did from the beginning)
    124  --timeout came first
    130  Ctrl-C came first

    Example: shadho experiment wait experiments/digits && shadho checkpoint list experiments/digits
    """  # noqa: D301 - \b is click's
    from shadho_like.watching import Pace, Vigil

    pace, vigil = Pace(_LONGEST_PAUSE_S), Vigil()
    give_up_s = float("inf") if timeout is None else time.monotonic() + timeout
    with said_plainly(), ended_by_interrupt():
        while (end := _look(directory, vigil)) is None:
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                click.echo(f"{directory} has not ended after {timeout:g} s", err=True)
                sys.exit(_TIMED_OUT)
            pace.rest(happened=False, at_most_s=left_s)
    sys.exit(STATUS[end])


def _look(directory: Path, vigil: Vigil) -> str | None:
    """Return how it ended, and say so; None if it has not."""
    from shadho_like.journal import JournalReader

    # Opened for each look: a driver that ends finds nobody in its way.
    with JournalReader(directory) as journal:
        end = vigil.end(journal)
        if end is None:
            return None
        counts = ", ".join(f"{count} {state.lower()}" for state, count in sorted(journal.counts().items()))
    click.echo(f"{directory}: {end.value}; {counts or 'no trials'}")
    return end.value
