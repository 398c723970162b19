"""What the driver of an experiment prints, shown in another terminal until it ends."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import click

from shadho_like.cli.wait import STATUS
from shadho_like.journal import JournalReader
from shadho_like.paths import ExperimentPaths
from shadho_like.watching import Vigil

_LOOK_S = 0.2
_INTERRUPTED = 130


def follow_driver(directory: Path, process: subprocess.Popen[bytes]) -> int:
    """Show what a driver prints until it ends; return the status of `shadho experiment wait`, or that of Ctrl-C."""
    try:
        with ExperimentPaths(directory).driver_log.open("rb") as log:
            while process.poll() is None:
                _show(log.read())
                time.sleep(_LOOK_S)
            _show(log.read())
    except KeyboardInterrupt:
        click.echo(f"\n{directory} goes on without you; to end it: shadho experiment cancel {directory}")
        return _INTERRUPTED
    with JournalReader(directory) as journal:
        end = Vigil(grace_s=0.0).end(journal)
    # Another driver has taken over where there is none.
    return 0 if end is None else STATUS[end]


def _show(data: bytes) -> None:
    if data:
        click.echo(data.decode("utf-8", "replace"), nl=False)
