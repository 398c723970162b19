"""What a key of a configuration may hold: for each kind a function that says what is wrong with a value, or None."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from shadho_like.batch.base import read_clock, read_memory
from shadho_like.errors import OptionError, nearest
from shadho_like.resources import is_gpu_count

Check = Callable[[Any], str | None]

UNITS = ("batches", "epochs", "records")
"""The units that a length may name. Nothing is converted: they are for people, and must be the same everywhere."""

_LARGEST = 2**53


def _must(what: str, value: Any) -> str:
    return f"must be {what}, not {value!r:.80}"


def text(value: Any) -> str | None:
    """One line."""
    fits = isinstance(value, str) and value.strip() and value.isprintable()
    return None if fits else _must("a text of one line", value)


def texts(value: Any) -> str | None:
    """A list of lines."""
    fits = isinstance(value, list | tuple) and all(text(item) is None for item in value)
    return None if fits else _must("a list of texts", value)


def any_text(value: Any) -> str | None:
    """A text of any number of lines."""
    return None if isinstance(value, str) else _must("a text", value)


def name(value: Any) -> str | None:
    """A text that can name a folder."""
    if (fault := text(value)) is not None:
        return fault
    if "/" in value or value in {".", ".."} or len(value.encode()) > 200:
        return f"{value!r:.80} cannot name a folder: leave out /, and make it no longer than 200 bytes"
    return None


def entrypoint(value: Any) -> str | None:
    """A shell command, `module:function`, or a list of words."""
    words = isinstance(value, list | tuple) and value and all(isinstance(word, str) and word and "\0" not in word for word in value)
    if words or (isinstance(value, str) and value.strip() and "\0" not in value):
        return None
    return _must("a command, a module:function, or a list of words", value)


def command_of(value: Any) -> str:
    """Return an entrypoint as a text."""
    return value if isinstance(value, str) else shlex.join(value)


def switch(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else _must("true or false", value)


def whole(least: int, most: int = _LARGEST) -> Check:
    """Return the check for a whole number."""
    what = f"a whole number of at least {least}" if most == _LARGEST else f"a whole number from {least} to {most}"

    def check(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if fits else _must(what, value)

    return check


def seconds(value: Any) -> str | None:
    """A time above 0."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LARGEST
    return None if fits else _must("a number of seconds above 0", value)


def gpus(value: Any) -> str | None:
    """A number of GPUs, or a share of one."""
    fits = is_gpu_count(value) and value < _LARGEST
    return None if fits else _must("a whole number of at least 0, or a share of one GPU such as 0.5", value)


def length(least: int) -> Check:
    """Return the check for an amount of training: a whole number, or one unit with one."""
    number = whole(least)
    what = f"a whole number of at least {least}, or one of {', '.join(UNITS)} with one"

    def check(value: Any) -> str | None:
        amount = next(iter(value.values())) if is_in_unit(value) else value
        return None if number(amount) is None else _must(what, value)

    return check


def is_in_unit(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a length names its unit."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in UNITS


def amount_of(value: Any) -> Any:
    """Return a length without its unit."""
    return next(iter(value.values())) if is_in_unit(value) else value


def one_of(*known: str) -> Check:
    """Return the check for one of some words."""

    def check(value: Any) -> str | None:
        return None if isinstance(value, str) and value in known else f"there is no {value!r:.80}: {nearest(str(value)[:80], known)}"

    return check


def memory(value: Any) -> str | None:
    """A number of MiB, or a text such as 16G."""
    return _read(read_memory, value) if isinstance(value, str) else whole(1)(value)


def clock(value: Any) -> str | None:
    """A time as Slurm has it; a number alone is minutes."""
    return _read(read_clock, value) if isinstance(value, str) else whole(1)(value)


def _read(read: Callable[[str], int], value: str) -> str | None:
    try:
        read(value)
    except OptionError as error:
        return str(error)
    return None


def path(value: Any) -> str | None:
    """An absolute path."""
    fits = isinstance(value, str) and value.startswith("/") and value.isprintable()
    return None if fits else _must("an absolute path, the same on all machines", value)


def anything(value: Any) -> str | None:
    """What others look at."""
    del value
    return None
