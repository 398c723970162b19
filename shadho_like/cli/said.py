"""How the command speaks to a person: faults in one line, with an exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from shadho_like.errors import ShadhoError, UserError

_INTERRUPTED = 130


@contextmanager
def said_plainly() -> Iterator[None]:
    """End with one line and a status: 2 for the user's mistake, 1 for the world's refusal."""
    try:
        yield
        sys.stdout.flush()  # while click still looks: a reader that went away is its affair
    except ShadhoError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(2 if isinstance(error, UserError) else 1) from None


@contextmanager
def ended_by_interrupt() -> Iterator[None]:
    """End without a word, with the status of a command that Ctrl-C ended."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
