"""`shadho checkpoint`: the checkpoints of an experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shadho_like.cli.reference import EXPERIMENT
from shadho_like.cli.said import said_plainly
from shadho_like.cli.tables import form_options, number, print_rows
from shadho_like.errors import OptionError, WorldError
from shadho_like.operations import latest_checkpoint_of

if TYPE_CHECKING:
    from shadho_like.journal import JournalReader

_ID = click.argument("checkpoint", metavar="ID")
_THERE = ("KEPT", "LOST")
_COLUMNS = ("id", "trial", "attempt", "state", "length", "size", "checksum", "metadata", "metric", "time_s")
_UNITS = ("B", "KB", "MB", "GB", "TB")


@click.group("checkpoint")
def checkpoint_commands() -> None:
    """Look at the checkpoints of a search, take them out, or delete them."""


@checkpoint_commands.command("list")
@EXPERIMENT
@click.option("--trial", type=click.IntRange(min=0), help="Only those of one trial.")
@click.option("--all", "everything", is_flag=True, help="Also those that were deleted.")
@form_options
def list_checkpoints(directory: Path, trial: int | None, form: str | None, *, everything: bool) -> None:
    """Print the checkpoints of the search EXPERIMENT, a line each.

    Example: shadho checkpoint list experiments/digits
    """
    from shadho_like.journal import JournalReader

    with said_plainly(), JournalReader(directory) as journal:
        if trial is not None:
            journal.trial(trial)
        found = [_plain(row) for row in journal.checkpoints(trial) if everything or row["state"] in _THERE]
        shown = {
            "id": lambda row: row["id"],
            "trial": lambda row: str(row["trial"]),
            "length": lambda row: number(row["length"]),
            journal.config["metric"]: lambda row: number(row["metric"]),
            "size": lambda row: _size(row["size"]),
            "state": lambda row: row["state"].lower(),
        }
        print_rows(form, found, _COLUMNS, shown)


@checkpoint_commands.command()
@EXPERIMENT
@_ID
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def describe(directory: Path, checkpoint: str, *, as_json: bool) -> None:
    """Print what is known of the checkpoint ID, and whether its files are there as it was saved.

    Example: shadho checkpoint describe experiments/digits 7.1.1
    """
    from shadho_checkpoint import CheckpointError

    from shadho_like.checkpoint import glance, path_of
    from shadho_like.journal import JournalReader

    with said_plainly(), JournalReader(directory) as journal:
        value = _plain(_found(journal, checkpoint))
        if value["state"] in _THERE:
            value["path"] = str(path_of(journal.checkpoint_root, checkpoint))
            try:
                glance(journal.checkpoint_root, checkpoint)
                value["problem"] = None
            except CheckpointError as error:
                value["problem"] = str(error)
        lines = [f"{name}: {json.dumps(item) if isinstance(item, dict) else item}" for name, item in value.items() if item is not None]
        click.echo(json.dumps(value) if as_json else "\n".join(lines))


@checkpoint_commands.command()
@EXPERIMENT
@_ID
@click.argument("target", type=click.Path(path_type=Path), required=False)
def download(directory: Path, checkpoint: str, target: Path | None) -> None:
    """Copy the files of the checkpoint ID to the new folder TARGET, by default one named as the checkpoint.

    Nothing is copied unless every file is as it was saved.

    Example: shadho checkpoint download experiments/digits 7.1.1 best
    """
    from shadho_checkpoint import CheckpointError

    from shadho_like.checkpoint import copy_out
    from shadho_like.journal import JournalReader

    with said_plainly():
        with JournalReader(directory) as journal:
            row, root = _found(journal, checkpoint), journal.checkpoint_root
        if row["state"] not in _THERE:
            message = f"checkpoint {checkpoint} was deleted"
            raise OptionError(message)
        target = target or Path(checkpoint)
        if target.exists():
            message = f"{target} is there already: name a folder that is to be made"
            raise OptionError(message)
        try:
            copy_out(root, checkpoint, target)
        except CheckpointError as error:
            raise WorldError(str(error)) from error
        except OSError as error:
            message = f"{target} cannot be written: {error.strerror}"
            raise WorldError(message) from error
        click.echo(f"{target}: {_size(row['size'])}, saved at length {row['length']:g}")


@checkpoint_commands.command()
@EXPERIMENT
@click.argument("checkpoints", metavar="ID...", nargs=-1, required=True)
def delete(directory: Path, checkpoints: tuple[str, ...]) -> None:
    """Delete checkpoints. What the search needs to go on stays, and so does everything while its driver runs.

    Example: shadho checkpoint delete experiments/digits 6.1.1 7.1.1
    """
    from shadho_like import checkpoint as storage
    from shadho_like.checkpoint_policy import CheckpointId
    from shadho_like.journal import Journal, JournalReader
    from shadho_like.journal.reported import DELETED, DELETING
    from shadho_like.paths import ExperimentPaths
    from shadho_like.reports import parts_of
    from shadho_like.shared_checkpoints import check_own

    with said_plainly():
        with JournalReader(directory) as reader:
            rows = [_found(reader, checkpoint) for checkpoint in checkpoints]
            for row in rows:
                _check_dispensable(reader, row)
            root = reader.checkpoint_root
            check_own(reader, directory)
        ids = [CheckpointId(*parts) for row in rows if (parts := parts_of(row["id"]))]
        # Being the one who writes keeps a driver from starting meanwhile.
        journal = Journal(ExperimentPaths(directory.absolute()), {})
        try:
            journal.tidy(lambda: journal.reported.mark(ids, DELETING))
            for each in ids:
                try:
                    storage.delete(root, str(each))
                except OSError as error:
                    message = f"checkpoint {each} cannot be deleted: {error.strerror}; the next driver tries again"
                    raise WorldError(message) from error
                journal.tidy(lambda each=each: journal.reported.mark([each], DELETED))  # type: ignore[misc]
                click.echo(f"deleted {each}")
        finally:
            journal.close()


def _found(journal: JournalReader, checkpoint: str) -> dict[str, Any]:
    """Return what is known of a checkpoint.

    Raises:
        OptionError: nothing; the message names the nearest.
    """
    import difflib

    rows = {row["id"]: row for row in journal.checkpoints()}
    if checkpoint in rows:
        return rows[checkpoint]
    there = [name for name, row in rows.items() if row["state"] in _THERE]
    near = difflib.get_close_matches(checkpoint, there, n=3, cutoff=0.0)
    hint = f"the nearest are {', '.join(near)}" if near else "there is none at all"
    message = f"there is no checkpoint {checkpoint!r} in this experiment: {hint}; see shadho checkpoint list"
    raise OptionError(message)


def _check_dispensable(journal: JournalReader, row: dict[str, Any]) -> None:
    """Refuse to delete what the search may go on from."""
    if journal.phase.over or row["state"] not in _THERE:
        return
    newest = [other for other in journal.checkpoints(row["trial"]) if other["state"] == "KEPT"][-1:]
    # Of a trial that others copy, any may be what one of them waits to start from.
    names = row["id"], latest_checkpoint_of(journal.trial(row["trial"]).request_id)
    if row in newest or any(map(journal.may_start_from, names)):
        message = f"checkpoint {row['id']} may be needed to go on with trial {row['trial']}, or to start another: end the search first"
        raise OptionError(f"{message} (shadho experiment cancel)")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in {"line", "number"}}
    return {**kept, "metadata": json.loads(row["metadata"])}


def _size(size: float) -> str:
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} {_UNITS[-1]}"
