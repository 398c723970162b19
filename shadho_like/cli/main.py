"""The command `shadho`: reads experiments for a person or a program. Heavy imports come with the command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shadho_like import __version__
from shadho_like.cli.checkpoint import checkpoint_commands
from shadho_like.cli.dashboard import dashboard
from shadho_like.cli.experiment import experiment_commands
from shadho_like.cli.export import export
from shadho_like.cli.said import said_plainly
from shadho_like.cli.trial import trial_commands
from shadho_like.cli.workers import worker_commands
from shadho_like.errors import OptionError

if TYPE_CHECKING:
    from shadho_like.preview import Preview
    from shadho_like.trial import Trial


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shadho")
def cli() -> None:
    """Look at a hyperparameter search, running or done, and steer it."""


cli.add_command(checkpoint_commands)
cli.add_command(dashboard)
cli.add_command(experiment_commands)
cli.add_command(export)
cli.add_command(trial_commands)
cli.add_command(worker_commands)


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(directory: Path, *, as_json: bool) -> None:
    """Print where the search in DIRECTORY stands.

    Example: shadho status experiments/sin
    """
    from shadho_like.journal import JournalReader

    with said_plainly(), JournalReader(directory) as journal:
        config = journal.config
        best = journal.best(smaller_is_better=config["smaller_is_better"])
        value = {
            "name": config["name"],
            "phase": journal.phase.value,
            "driver": journal.driver(),
            "trials": journal.counts(),
            "lost_attempts": journal.lost_attempts(),
            "metric": config["metric"],
            "best": {"number": best.number, "metric": best.metric, "hyperparameters": best.hparams} if best else None,
        }
        click.echo(json.dumps(value) if as_json else "\n".join(_status_lines(value)))


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--csv", "form", flag_value="csv", help="Print comma-separated values, a column for each hyperparameter.")
@click.option("--json", "form", flag_value="json", help="Print one JSON object a line.")
def trials(directory: Path, form: str | None) -> None:
    """Print the trials of the search in DIRECTORY, a line each.

    Example: shadho trials experiments/sin --csv > trials.csv
    """
    from shadho_like.journal import JournalReader
    from shadho_like.table import rows, write_csv

    with said_plainly(), JournalReader(directory) as journal:
        metric = journal.config["metric"]
        if form == "csv":
            write_csv(journal.trials, metric, sys.stdout)
        elif form == "json":
            for row in rows(journal.trials, metric):
                click.echo(json.dumps(row))
        else:
            _print_table(journal.trials(), metric)


@cli.command("preview-search")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(min=1), default=16, show_default=True, help="How many trials run at once.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, help="Of a unit of length.")
@click.option("--max-trials", type=click.IntRange(min=1), help="End a search that has no end of its own after so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def preview_search(config: Path, workers: int, seconds: float, max_trials: int | None, *, as_json: bool) -> None:
    """Print how many trials the search in CONFIG would train how long, and the time that takes. Nothing is run.

    Example: shadho preview-search asha.yaml --workers 8 --seconds 90
    """
    from shadho_like import searcher
    from shadho_like.experiment_config import read_config
    from shadho_like.preview import preview

    with said_plainly():
        wanted = read_config(config)
        chosen = wanted.searcher
        method = chosen.create(wanted.space, seed=0)
        if max_trials is None and searcher.takes_key(chosen.name, "max_trials") and chosen.keys.get("max_trials") is None:
            message = f"{config}: {chosen.name} has no end of its own: give searcher.max_trials there, or --max-trials here"
            raise OptionError(message)
        seen = preview(method, workers=workers, unit_s=seconds, max_trials=max_trials)
        value = {"searcher": chosen.name, "trials": seen.reached, "length": seen.total, "work_s": seen.work_s, "took_s": seen.took_s}
        click.echo(json.dumps(value) if as_json else "\n".join(_preview_lines(chosen.name, seen)))


def main() -> None:
    """Run the command."""
    cli(prog_name="shadho")


def _status_lines(value: dict[str, Any]) -> Iterator[str]:
    driver, best = value["driver"], value["best"]
    who = f" (process {driver['pid']} on {driver['host']})" if driver else ""
    phase = "" if value["phase"] == "ACTIVE" else f", {value['phase'].lower()}"
    yield f"{value['name']}: {'not running' if driver is None else 'running'}{who}{phase}"
    yield "trials: " + (", ".join(f"{count} {state.lower()}" for state, count in sorted(value["trials"].items())) or "none yet")
    if value["lost_attempts"]:
        yield f"attempts lost to machines and run again: {value['lost_attempts']}"
    if best:
        yield f"best {value['metric']}: {best['metric']} (trial {best['number']})"
        yield f"hyperparameters: {json.dumps(best['hyperparameters'])}"


def _preview_lines(name: str, seen: Preview) -> Iterator[str]:
    yield f"{name}: {sum(seen.reached.values())} trials"
    yield "length  trials that end there"
    for length, count in seen.reached.items():
        yield f"{length:6}  {count}"
    busy = seen.work_s / (seen.workers * seen.took_s)
    yield f"all together {seen.total} units of length, {_hours(seen.work_s)} of work"
    yield f"on {seen.workers} workers {_hours(seen.took_s)}, {busy:.0%} of them busy"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def _print_table(trials: Iterable[Trial], metric: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("trial", "state", metric, "hyperparameters", "attempts", "seconds", "host", "failure", box=None, pad_edge=False)
    for trial in trials:
        table.add_row(*_cells(trial))
    Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 10_000).print(table)


def _cells(trial: Trial) -> Iterator[str]:
    from shadho_like.space import flatten

    seconds = trial.finished_s - trial.started_s if trial.finished_s is not None and trial.started_s is not None else None
    yield from (str(trial.number), trial.state.value.lower(), _short(trial.metric))
    yield " ".join(f"{name}={_short(value)}" for name, value in flatten(trial.hparams).items())
    yield str(trial.attempt if trial.started_s is not None else 0)
    yield "" if seconds is None else f"{seconds:.1f}"
    yield from (trial.host, trial.failure.message if trial.failure else "")


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
