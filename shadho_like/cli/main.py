"""The command `shadho`: reads experiments for a person or a program. Heavy imports come with the command."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shadho_like import __version__
from shadho_like.cli.checkpoint import checkpoint_commands
from shadho_like.cli.completion import completion
from shadho_like.cli.dashboard import dashboard
from shadho_like.cli.experiment import experiment_commands
from shadho_like.cli.export import export
from shadho_like.cli.reference import EXPERIMENT
from shadho_like.cli.report import report_command
from shadho_like.cli.said import said_plainly
from shadho_like.cli.tables import form_options, print_table
from shadho_like.cli.trial import trial_commands
from shadho_like.cli.workers import worker_commands
from shadho_like.errors import OptionError
from shadho_like.plain_text import harmless

if TYPE_CHECKING:
    from shadho_like.experiment_config import SearcherConfig
    from shadho_like.preview import Preview
    from shadho_like.space import Space
    from shadho_like.trial import Trial


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="shadho")
def cli() -> None:
    """Look at a hyperparameter search, running or done, and steer it.

    EXPERIMENT is the directory of a search, or its id (see shadho experiment list), or the beginning of its id. Exit statuses: 0 done, 1
    the machine, the file system or the cluster refused, 2 the command is wrong; shadho experiment wait has more.
    """


cli.add_command(checkpoint_commands)
cli.add_command(completion)
cli.add_command(dashboard)
cli.add_command(experiment_commands)
cli.add_command(export)
cli.add_command(report_command)
cli.add_command(trial_commands)
cli.add_command(worker_commands)


@cli.command()
@EXPERIMENT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(directory: Path, *, as_json: bool) -> None:
    """Print where the search EXPERIMENT stands.

    Example: shadho status experiments/sin
    """
    from shadho_like.journal import JournalReader
    from shadho_like.notes import read_notes

    with said_plainly(), JournalReader(directory) as journal:
        config, notes = journal.config, read_notes(directory)
        best = journal.best(smaller_is_better=config["smaller_is_better"])
        value = {
            **notes.over(config["name"], journal.about),
            "phase": journal.phase.value,
            "driver": journal.driver(),
            "trials": journal.counts(),
            "lost_attempts": journal.lost_attempts(),
            "metric": config["metric"],
            "best": {"number": best.number, "metric": best.metric, "hyperparameters": best.hparams} if best else None,
        }
        click.echo(json.dumps(value) if as_json else "\n".join(map(harmless, _status_lines(value))))


@cli.command()
@EXPERIMENT
@form_options
def trials(directory: Path, form: str | None) -> None:
    """Print the trials of the search EXPERIMENT, a line each; as comma-separated values with a column for each hyperparameter.

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
            head = ("trial", "state", metric, "hyperparameters", "attempts", "seconds", "host", "failure")
            print_table(head, map(_cells, journal.trials()))


@cli.command("preview-search")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(min=1), default=16, show_default=True, help="How many trials run at once.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, help="Of a unit of length.")
@click.option("--max-trials", type=click.IntRange(min=1), help="End a search that has no end of its own after so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def preview_search(config: Path, workers: int, seconds: float, max_trials: int | None, *, as_json: bool) -> None:
    """Print how many trials the search in CONFIG would train how long, and the time that takes. Nothing is run.

    CONFIG is a file, or the directory or id of an experiment that is there.

    Example: shadho preview-search asha.yaml --workers 8 --seconds 90
    """
    from shadho_like import searcher
    from shadho_like.preview import preview

    with said_plainly():
        chosen, space = _search_of(config)
        method = chosen.create(space, seed=0)
        if max_trials is None and searcher.takes_key(chosen.name, "max_trials") and chosen.keys.get("max_trials") is None:
            message = f"{config}: {chosen.name} has no end of its own: give searcher.max_trials there, or --max-trials here"
            raise OptionError(message)
        seen = preview(method, workers=workers, unit_s=seconds, max_trials=max_trials)
        value = {"searcher": chosen.name, "trials": seen.reached, "length": seen.total, "work_s": seen.work_s, "took_s": seen.took_s}
        click.echo(json.dumps(value) if as_json else "\n".join(_preview_lines(chosen.name, seen)))


def _search_of(reference: Path) -> tuple[SearcherConfig, Space]:
    """Return the search method and the space of a configuration, or of an experiment that is there."""
    from shadho_like.experiment_config import SearcherConfig, read_config
    from shadho_like.journal import JournalReader
    from shadho_like.known_experiments import find_experiment, find_known
    from shadho_like.space import Space

    if not reference.is_dir() and (reference.exists() or find_known(str(reference)) is None):
        wanted = read_config(reference)
        return wanted.searcher, wanted.space
    with JournalReader(find_experiment(str(reference))) as journal:
        held = journal.config
    method = held["method"]
    return SearcherConfig(method["name"], held["metric"], held["smaller_is_better"], method["keys"]), Space.from_json(held["space"])


def main() -> None:
    """Run the command."""
    cli(prog_name="shadho")


def _status_lines(value: dict[str, Any]) -> Iterator[str]:
    driver, best = value["driver"], value["best"]
    who = f" (process {driver['pid']} on {driver['host']})" if driver else ""
    phase = "" if value["phase"] == "ACTIVE" else f", {value['phase'].lower()}"
    yield f"{value['name']}: {'not running' if driver is None else 'running'}{who}{phase}"
    yield from value["description"].splitlines()
    if value["labels"]:
        yield f"labels: {', '.join(value['labels'])}"
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


if __name__ == "__main__":
    main()
