"""The command `shadho`: reads experiments for a person or a program. Options in, text out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from shadho_like import __version__
from shadho_like.errors import ShadhoError, UserError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shadho")
def cli() -> None:
    """Look at a hyperparameter search, running or done."""


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(directory: Path, *, as_json: bool) -> None:
    """Print where the search in DIRECTORY stands.

    Example: shadho status experiments/sin
    """
    from shadho_like.journal import JournalReader  # noqa: PLC0415

    with _said_plainly(), JournalReader(directory) as journal:
        config, counts, driver = journal.config, journal.counts(), journal.driver()
        best = journal.best(smaller_is_better=config["smaller_is_better"])
        lost = journal.lost_attempts()
    if as_json:
        found = {"number": best.number, "metric": best.metric, "hyperparameters": best.hparams} if best else None
        value = {"name": config["name"], "metric": config["metric"], "trials": counts, "lost_attempts": lost}
        click.echo(json.dumps({**value, "best": found, "driver": driver}))
        return
    running = f"running (process {driver.get('pid')} on {driver.get('host')})" if driver is not None else "not running"
    click.echo(f"{config['name']}: {running}")
    click.echo("trials: " + (", ".join(f"{count} {state.lower()}" for state, count in sorted(counts.items())) or "none yet"))
    if lost:
        click.echo(f"attempts lost to machines and run again: {lost}")
    if best is not None:
        click.echo(f"best {config['metric']}: {best.metric} (trial {best.number})")
        click.echo(f"hyperparameters: {json.dumps(best.hparams)}")


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def trials(directory: Path, *, as_csv: bool, as_json: bool) -> None:
    """Print the trials of the search in DIRECTORY, a line each.

    Example: shadho trials experiments/sin --csv > trials.csv
    """
    from shadho_like.journal import JournalReader  # noqa: PLC0415
    from shadho_like.table import rows, write_csv  # noqa: PLC0415

    with _said_plainly(), JournalReader(directory) as journal:
        metric = journal.config["metric"]
        if as_csv:
            write_csv(journal.trials, metric, sys.stdout)
        elif as_json:
            for row in rows(journal.trials, metric):
                click.echo(json.dumps(row))
        else:
            _print_table(list(rows(journal.trials, metric)))


def _print_table(lines: list[dict[str, object]]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not lines:
        click.echo("no trials yet")
        return
    table = Table(*lines[0], box=None, pad_edge=False)
    for line in lines:
        table.add_row(*(Text("" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)) for value in line.values()))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@contextmanager
def _said_plainly() -> Iterator[None]:
    """End with one line and a status: 2 for the user's mistake, 1 for the world's refusal."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except ShadhoError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(2 if isinstance(error, UserError) else 1) from None


def main() -> None:
    """Run the command."""
    cli(prog_name="shadho")
