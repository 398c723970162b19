"""`shadho experiment set`: what may be changed of a search that is there: what it is called, and its limit while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shadho_like.cli.reference import EXPERIMENT
from shadho_like.cli.said import said_plainly
from shadho_like.cli.steering import leave
from shadho_like.errors import OptionError, nearest
from shadho_like.events import Action

if TYPE_CHECKING:
    from shadho_like.notes import Notes

_NOTES = ("description", "labels", "name")
_LONGEST = 16
_LIMITS = ("max_slots", "max_trials")


@click.command("set")
@EXPERIMENT
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
def set_(directory: Path, settings: tuple[str, ...]) -> None:
    """Change what may be changed of EXPERIMENT.

    \b
      name=TEXT          what lists call it; empty for the name that it began with
      description=TEXT   empty for none
      labels=A,B         in the place of those before; empty for none
      max_trials=N       how many trials there may be in all
      max_slots=N        how many GPUs those that run may have together; one that asks for none counts as one

    The last two hold until the driver is started again. What runs goes on. A search that is over takes shadho experiment continue. All
    else makes it another experiment, or is read when the driver starts.

    Example: shadho experiment set experiments/digits name=first labels=paper,resnet
    """  # noqa: D301 - \b is click's
    from shadho_like.notes import change_notes

    with said_plainly():
        given = _read(settings)
        limits = {key: int(value) for key, value in given.items() if key in _LIMITS}
        if limits:
            _check_goes_on(directory)
        if notes := {key: value for key, value in given.items() if key in _NOTES}:
            change_notes(directory, lambda before: _noted(before, notes))
            click.echo(f"{directory}: noted {', '.join(sorted(notes))}")
        if limits:
            _limit(directory, limits)


def _read(settings: tuple[str, ...]) -> dict[str, str]:
    """Return the values by their keys.

    Raises:
        OptionError: one is no KEY=VALUE, or its key cannot be changed.
    """
    given: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            message = f"{setting!r} is no KEY=VALUE, such as max_slots=4"
            raise OptionError(message)
        if key not in (*_NOTES, *_LIMITS):
            message = f"{key} of an experiment that is there cannot be changed: {nearest(key, (*_NOTES, *_LIMITS))}"
            raise OptionError(message)
        given[key] = value
    for key in given.keys() & set(_LIMITS):
        value = given[key]
        if not (value.isascii() and value.isdigit() and len(value) < _LONGEST and int(value)):
            message = f"{key} must be a whole number of at least 1, not {value!r:.40}"
            raise OptionError(message)
    return given


def _noted(notes: Notes, given: Mapping[str, str]) -> Notes:
    if "name" in given:
        notes = replace(notes, name=given["name"] or None)
    if "description" in given:
        notes = replace(notes, description=given["description"])
    if "labels" in given:
        labels = (label.strip() for label in given["labels"].split(","))
        notes = replace(notes, labels=tuple(dict.fromkeys(filter(None, labels))))
    return notes


def _check_goes_on(directory: Path) -> None:
    """Refuse limits for a search that is over.

    Raises:
        OptionError: it is.
    """
    from shadho_like.journal import JournalReader

    with JournalReader(directory) as journal:
        if journal.phase.over:
            hint = "shadho experiment continue gives it more to do"
            message = f"{directory} is over ({journal.phase.value.lower()}), and no limit means anything to it; {hint}"
            raise OptionError(message)


def _limit(directory: Path, limits: Mapping[str, int]) -> None:
    """Have the driver take other limits, and say what came of it."""
    from shadho_like.journal import JournalReader

    with JournalReader(directory) as journal:
        before = journal.last_turn()
    if leave(directory, Action.SET, keys=limits):
        with JournalReader(directory) as journal:
            events = [json.loads(record.event) for record in journal.records(before)]
        taken = {key for kind, _, keys, *_ in events if kind in {"changed", "continued"} for key in keys}
        for key, value in limits.items():
            click.echo(f"{directory}: {key} is {value} now" if key in taken else f"{directory}: {key} stays; its driver says why")
