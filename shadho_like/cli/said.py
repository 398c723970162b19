"""How the command speaks to a person: faults in one line, with an exit status; foreign texts so that they do nothing to a terminal."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import click

from shadho_like.errors import ShadhoError, UserError

_INTERRUPTED = 130
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


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


def harmless(text: str) -> str:
    """Return one line of a foreign text such that it does nothing but show: colours are left out, other control characters spelled."""
    if text.isprintable():
        return text
    return "".join(map(_harmless, _COLOUR.sub("", text)))


def _harmless(character: str) -> str:
    if character.isprintable() or character == "\t" or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()
