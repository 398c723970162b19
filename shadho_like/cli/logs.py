"""`shadho experiment logs` and `shadho trial logs`: what trials printed, now or as it comes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from shadho_like.cli.reference import EXPERIMENT, NUMBER
from shadho_like.cli.said import ended_by_interrupt, said_plainly
from shadho_like.plain_text import harmless

_LONGEST_PAUSE_S = 2.0
_FOLLOW = click.option("-f", "--follow", is_flag=True, help="Go on with what comes, to the end.")


@click.command("logs")
@EXPERIMENT
@click.option("--trial", type=click.IntRange(min=0), help="Only that of one trial.")
@_FOLLOW
def experiment_logs(directory: Path, trial: int | None, *, follow: bool) -> None:
    """Print what the trials of EXPERIMENT printed, each line with the number of its trial.

    With -f it ends when the search does, or when no driver runs it any more. What a trial prints on another machine, or from a Python
    objective, is there when its attempt has ended. Colours are left out, and control characters spelled.

    Example: shadho experiment logs experiments/digits

    Example: shadho experiment logs experiments/digits -f --trial 3
    """
    show(directory, trial, follow=follow)


@click.command("logs")
@EXPERIMENT
@NUMBER
@_FOLLOW
def trial_logs(directory: Path, number: int, *, follow: bool) -> None:
    """Print what trial NUMBER printed, in all of its attempts.

    With -f it ends when the trial does, or when no driver runs the search any more.

    Example: shadho trial logs experiments/digits 7
    """
    show(directory, number, follow=follow)


def show(directory: Path, trial: int | None, *, follow: bool) -> None:
    """Print logs; that of one trial as it is."""
    from shadho_like.journal import JournalReader
    from shadho_like.trial_logs import TrialLogs
    from shadho_like.watching import Pace, Vigil

    if trial is not None:
        with said_plainly(), JournalReader(directory) as journal:
            journal.trial(trial)
    logs, pace, vigil, over = TrialLogs(directory, trial), Pace(_LONGEST_PAUSE_S), Vigil(), False
    with said_plainly(), ended_by_interrupt():
        while not over:
            # Opened for each look: a driver that ends finds nobody in its way.
            with JournalReader(directory) as journal:
                # Looked at first: what was printed before the end is read after it.
                over = not follow or (trial is not None and journal.trial(trial).state.final) or vigil.end(journal) is not None
                happened = _print(logs.more(journal), named=trial is None)
            if not over:
                pace.rest(happened=happened)


def _print(lines: Iterator[tuple[int, str]], *, named: bool) -> bool:
    """Print lines, each with its trial where they are `named`; return whether there were any."""
    happened = False
    for trial, line in lines:
        happened = True
        shown = harmless(line.expandtabs())
        sys.stdout.write(f"trial {trial} | {shown}\n" if named else f"{shown}\n")
    sys.stdout.flush()
    return happened
