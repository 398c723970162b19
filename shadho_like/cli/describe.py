"""`shadho experiment describe` and `config`: what an experiment is, and where it stands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from shadho_like.cli.listing import state_of
from shadho_like.cli.reference import EXPERIMENT
from shadho_like.cli.said import said_plainly
from shadho_like.plain_text import harmless


@click.command()
@EXPERIMENT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def describe(directory: Path, *, as_json: bool) -> None:
    """Print what EXPERIMENT is, and where it stands.

    Example: shadho experiment describe experiments/digits
    """
    with said_plainly():
        value = _described(directory)
        click.echo(json.dumps(value) if as_json else "\n".join(map(harmless, _lines(value))))


@click.command()
@EXPERIMENT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def config(directory: Path, *, as_json: bool) -> None:
    """Print the configuration that EXPERIMENT began with, as YAML: that of its file, or what its driver.py described.

    Of environment variables that look like secrets, it has no values: only the experiment's `experiment.yaml` does, for its owner.

    Example: shadho experiment config experiments/digits
    """
    from shadho_like.experiment_config.yaml_text import write_yaml
    from shadho_like.journal import JournalReader

    with said_plainly(), JournalReader(directory) as journal:
        held = dict(journal.about.get("config") or journal.config)
        click.echo(json.dumps(held) if as_json else write_yaml(held), nl=as_json)


def _described(directory: Path) -> dict[str, Any]:
    from shadho_like.journal import JournalReader
    from shadho_like.notes import read_notes
    from shadho_like.paths import ExperimentPaths

    notes = read_notes(directory)
    with JournalReader(directory) as journal:
        held, driver, phase, counts = journal.config, journal.driver(), journal.phase, journal.counts()
        best = journal.best(smaller_is_better=held["smaller_is_better"])
        kept = [row for row in journal.checkpoints() if row["state"] == "KEPT"]
        first = next(journal.records(), None)
        return {
            "id": journal.id,
            **notes.over(held["name"], journal.about),
            "directory": str(directory.absolute()),
            "state": state_of(phase.value, counts, runs=driver is not None),
            "driver": driver,
            "began_s": json.loads(first.event)[1] if first else None,
            "searcher": held["method"],
            "metric": held["metric"],
            "smaller_is_better": held["smaller_is_better"],
            "command": held["command"],
            "objective": held["objective"],
            "started_by": journal.command,
            "driver_log": str(log) if (log := ExperimentPaths(directory.absolute()).driver_log).is_file() else None,
            "trials": counts,
            "lost_attempts": journal.lost_attempts(),
            "best": {"number": best.number, "metric": best.metric, "hyperparameters": best.hparams} if best else None,
            "checkpoints": {"kept": len(kept), "size": sum(row["size"] for row in kept), "in": str(journal.checkpoint_root)},
        }


def _lines(value: dict[str, Any]) -> Iterator[str]:
    driver, best, method = value["driver"], value["best"], value["searcher"]
    name = f"{value['name']} ({value['id']})" if value["id"] else value["name"]
    who = f", process {driver['pid']} on {driver['host']}" if driver else ""
    yield f"{name}: {value['state']}{who}{', archived' if value['archived'] else ''}"
    yield from (f"  {line}" for line in value["description"].splitlines())
    if value["labels"]:
        yield f"labels: {' '.join(value['labels'])}"
    yield f"directory: {value['directory']}"
    if value["began_s"] is not None:
        yield f"began: {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(value['began_s']))}"
    if value["started_by"]:
        yield f"started by: {' '.join(value['started_by']['argv'])} (in {value['started_by']['cwd']})"
    if value["driver_log"]:
        yield f"its driver prints to: {value['driver_log']}"
    yield f"runs: {value['command'] or value['objective']}"
    keys = "".join(f", {key} {item}" for key, item in method["keys"].items() if item is not None)
    yield f"searcher: {method['name']}{keys}"
    yield f"metric: {value['metric']}, {'smaller' if value['smaller_is_better'] else 'greater'} is better"
    yield "trials: " + (", ".join(f"{count} {state.lower()}" for state, count in sorted(value["trials"].items())) or "none yet")
    if value["lost_attempts"]:
        yield f"attempts lost to machines and run again: {value['lost_attempts']}"
    if best:
        yield f"best {value['metric']}: {best['metric']} (trial {best['number']}) at {json.dumps(best['hyperparameters'])}"
    if (kept := value["checkpoints"])["kept"]:
        yield f"checkpoints: {kept['kept']} kept, {kept['size'] / 1e6:.1f} MB in {kept['in']}"
