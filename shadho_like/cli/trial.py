"""`shadho trial`: one trial of an experiment."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from shadho_like.cli.logs import trial_logs
from shadho_like.cli.reference import EXPERIMENT, NUMBER
from shadho_like.cli.said import said_plainly
from shadho_like.events import Action
from shadho_like.plain_text import harmless


@click.group("trial")
def trial_commands() -> None:
    """Look at one trial of a search, take its files out, or end it."""


trial_commands.add_command(trial_logs)


@trial_commands.command()
@EXPERIMENT
@NUMBER
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def explain(directory: Path, number: int, *, as_json: bool) -> None:
    """Tell the story of trial NUMBER: why it was created, promoted, stopped, retried, lost, with times.

    Example: shadho trial explain experiments/sin 7
    """
    from shadho_like.journal import JournalReader
    from shadho_like.story import story

    with said_plainly(), JournalReader(directory) as journal:
        journal.trial(number)
        for moment in story(journal, number):
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment.time_s))
            click.echo(json.dumps(moment.to_json()) if as_json else f"{when}  {harmless(moment.text)}")


@trial_commands.command()
@EXPERIMENT
@NUMBER
def kill(directory: Path, number: int) -> None:
    """End trial NUMBER at once; the search goes on without it.

    Example: shadho trial kill experiments/sin 7
    """
    from shadho_like.cli.steering import ask
    from shadho_like.errors import OptionError
    from shadho_like.journal import JournalReader

    with said_plainly(), JournalReader(directory) as journal:
        state = journal.trial(number).state
        if state.final:
            message = f"trial {number} is over already: it is {state.value.lower()}"
            raise OptionError(message)
    ask(directory, Action.KILL, number)


@trial_commands.command()
@EXPERIMENT
@NUMBER
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def describe(directory: Path, number: int, *, as_json: bool) -> None:
    """Print what is known of trial NUMBER, with its attempts.

    Example: shadho trial describe experiments/sin 7
    """
    from shadho_like.journal import JournalReader

    with said_plainly(), JournalReader(directory) as journal:
        found = journal.trial(number)
        attempts = journal.attempts(number)
        metric = journal.config["metric"]
        value: dict[str, Any] = {
            "number": number,
            "state": found.state.value,
            metric: found.metric,
            "metrics": dict(found.metrics),
            "hyperparameters": found.hparams,
            "length": found.length,
            "validated": found.validated,
            "failure": found.failure.to_json() if found.failure else None,
            "attempts": attempts,
        }
        click.echo(json.dumps(value) if as_json else "\n".join(map(harmless, _lines(value))))


@trial_commands.command()
@EXPERIMENT
@NUMBER
@click.argument("target", type=click.Path(path_type=Path), required=False)
def download(directory: Path, number: int, target: Path | None) -> None:
    """Copy what is kept of trial NUMBER to the new folder TARGET, by default trial-NUMBER.

    In it, `output` has the output files and logs, `best` and `latest` the checkpoints with the best metric and of the last moment.

    Example: shadho trial download experiments/digits 7 best-trial
    """
    from shadho_like.trial_files import copy_trial

    target = target or Path(f"trial-{number}")
    with said_plainly():
        copied = copy_trial(directory, number, target)
        held = [f"{len(copied.files)} files" if len(copied.files) != 1 else "1 file"]
        held += [f"{what} checkpoint {which}" for what, which in (("best", copied.best), ("latest", copied.latest)) if which]
        click.echo(f"{target}: {', '.join(held)}")


def _lines(value: dict[str, Any]) -> list[str]:
    """Return what is known of a trial for a person: what is not known, or empty, is left out."""
    plain = {name: item for name, item in value.items() if name not in {"attempts", "failure", "state"} and item not in (None, {})}
    lines = [f"{name}: {json.dumps(item) if isinstance(item, dict) else item}" for name, item in plain.items()]
    lines.insert(1, f"state: {value['state'].lower()}")
    for attempt in value["attempts"]:
        began, ended = attempt["started_s"], attempt["finished_s"]
        took = f", {ended - began:.1f} s" if began is not None and ended is not None else ""
        why = f": {attempt['failure_message']}" if attempt["failure_message"] else ""
        lines.append(f"attempt {attempt['attempt']}: {attempt['state'].lower()} on {attempt['host'] or 'no machine'}{took}{why}")
    if (failure := value["failure"]) is not None:
        lines.append(f"failure: {failure['message']}")
        lines += [f"    {line}" for line in (failure["log_tail"] or "").splitlines()]
    return lines
