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
_LIMITS = ("max_trials",)


@click.command("set")
@EXPERIMENT
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
def set_(directory: Path, settings: tuple[str, ...]) -> None:
    """Change what may be changed of EXPERIMENT.

    \b
      name=TEXT          what lists call it; empty for the name that it began with
      description=TEXT   empty for none
      labels=A,B         in the place of those before; empty for none
      max_trials=N       how many trials there may be in all, until the driver is started again;
                         what runs goes on, and a search that is over takes shadho experiment continue

    All else makes it another experiment, or is read when the driver starts.

    Example: shadho experiment set experiments/digits name=first labels=paper,resnet
    """  # noqa: D301 - \b is click's
    from shadho_like.notes import read_notes, write_notes

    with said_plainly():
        given = _read(settings)
        if notes := {key: value for key, value in given.items() if key in _NOTES}:
            write_notes(directory, _noted(read_notes(directory), notes))
            click.echo(f"{directory}: noted {', '.join(sorted(notes))}")
        if "max_trials" in given:
            _limit(directory, given["max_trials"])


def _read(settings: tuple[str, ...]) -> dict[str, str]:
    """Return the values by their keys.

    Raises:
        OptionError: one is no KEY=VALUE, or its key cannot be changed.
    """
    given: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            message = f"{setting!r} is no KEY=VALUE"
            raise OptionError(message)
        if key not in (*_NOTES, *_LIMITS):
            message = f"{key} of an experiment that is there cannot be changed: {nearest(key, (*_NOTES, *_LIMITS))}"
            raise OptionError(message)
        given[key] = value
    if "max_trials" in given and not (given["max_trials"].isascii() and given["max_trials"].isdigit() and int(given["max_trials"])):
        message = f"max_trials must be a whole number of at least 1, not {given['max_trials']!r}"
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


def _limit(directory: Path, max_trials: str) -> None:
    """Have the driver take another limit, and say what came of it."""
    from shadho_like.journal import JournalReader

    with JournalReader(directory) as journal:
        if journal.phase.over:
            message = f"{directory} is over ({journal.phase.value.lower()}): shadho experiment continue --max-trials gives it more to do"
            raise OptionError(message)
        before = journal.last_turn()
    if leave(directory, Action.SET, keys={"max_trials": int(max_trials)}):
        with JournalReader(directory) as journal:
            kinds = {json.loads(record.event)[0] for record in journal.records(before)}
        taken = kinds & {"changed", "continued"}
        click.echo(f"{directory}: max_trials is {max_trials} now" if taken else f"{directory}: max_trials stays; its driver says why")
