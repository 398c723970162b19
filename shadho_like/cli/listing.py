"""`shadho experiment list`: the experiments that were begun here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from shadho_like.cli.said import said_plainly
from shadho_like.cli.tables import Row, form_options, number, print_rows

if TYPE_CHECKING:
    from shadho_like.known_experiments import KnownExperiment

_COLUMNS = (
    *("id", "name", "state", "host", "trials", "completed", "failed", "metric", "best", "labels", "archived", "began_s", "directory"),
)


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are archived.")
@click.option("--label", "labels", multiple=True, help="Only those with this label; may be repeated.")
@click.option("--prune", is_flag=True, help="First forget those that are gone from this machine.")
@form_options
def list_experiments(form: str | None, labels: tuple[str, ...], *, everything: bool, prune: bool) -> None:
    """Print the experiments that were begun with this SHADHO_HOME, the newest first.

    The state is running, paused, stopped (no driver runs it, and it is not over), completed, canceled, failed; gone, if its directory
    is not there any more; elsewhere, if it is not seen from this machine, but was begun on another.

    Example: shadho experiment list

    Example: shadho experiment list --all --json
    """
    from shadho_like.known_experiments import known_experiments

    with said_plainly():
        if prune:
            _prune()
        rows = (_row(known) for known in known_experiments())
        wanted = (row for row in rows if (everything or not row["archived"]) and set(labels) <= set(row["labels"]))
        shown = {
            "id": lambda row: row["id"],
            "name": lambda row: row["name"],
            "state": _state,
            "trials": lambda row: number(row["trials"]),
            "failed": lambda row: number(row["failed"]),
            "best": lambda row: "" if row["best"] is None else f"{row['metric']} {number(row['best'])}",
            "began": lambda row: time.strftime("%Y-%m-%d %H:%M", time.localtime(row["began_s"])),
            "labels": lambda row: " ".join(row["labels"]),
            "directory": lambda row: row["directory"],
        }
        print_rows(form, wanted, _COLUMNS, shown)


def _prune() -> None:
    from shadho_like.known_experiments import Whereabouts, forget, known_experiments

    for known in known_experiments():
        if known.whereabouts() is Whereabouts.GONE:
            with suppress(OSError):
                forget(known.id)
                click.echo(f"forgotten: {known.id} ({known.name}), which was in {known.directory}", err=True)


def _row(known: KnownExperiment) -> Row:
    from shadho_like.errors import JournalError
    from shadho_like.journal import JournalReader
    from shadho_like.known_experiments import Whereabouts
    from shadho_like.notes import read_notes

    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row |= {"id": known.id, "name": known.name, "host": known.host, "directory": str(known.directory), "began_s": known.began_s}
    row |= {"state": known.whereabouts().value, "labels": [], "archived": False}
    if row["state"] != Whereabouts.HERE.value:
        return row
    notes = read_notes(known.directory)
    row |= notes.over(known.name, {})
    try:
        with JournalReader(known.directory) as journal:
            row |= notes.over(known.name, journal.about)
            config, counts, driver = journal.config, journal.counts(), journal.driver()
            best = journal.best(smaller_is_better=config["smaller_is_better"])
            row["state"] = state_of(journal.phase.value, counts, runs=driver is not None)
    except JournalError:
        return row | {"state": "unreadable"}
    row |= {"trials": sum(counts.values()), "completed": counts.get("COMPLETED", 0), "failed": counts.get("FAILED", 0)}
    return row | {"metric": config["metric"], "best": best.metric if best else None, "host": driver["host"] if driver else known.host}


def state_of(phase: str, counts: Mapping[str, int], *, runs: bool) -> str:
    """Return the word for where an experiment stands."""
    from shadho_like.watching import none_open

    if phase != "ACTIVE":
        return phase.lower()
    return "running" if runs else "completed" if none_open(counts) else "stopped"


def _state(row: Row) -> str:
    return f"{row['state']} on {row['host']}" if row["state"] in {"running", "elsewhere"} else str(row["state"])
