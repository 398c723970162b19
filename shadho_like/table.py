"""The trials as rows for a spreadsheet: written one by one, so that a million take no memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, TextIO

from shadho_like.space import flatten
from shadho_like.trial import Trial


def rows(trials: Callable[[], Iterable[Trial]], metric: str) -> Iterator[dict[str, Any]]:
    """Yield one dict a trial, all with the same keys in the same order.

    Args:
        trials: gives the trials; it is called twice, first to find all hyperparameters.
        metric: the searched metric's name, which names its column.
    """
    names = sorted({name for trial in trials() for name in flatten(trial.hparams)})
    for trial in trials():
        values = flatten(trial.hparams)
        yield {
            "number": trial.number,
            "state": trial.state.value,
            metric: trial.metric,
            **{name: values.get(name) for name in names},
            "attempts": trial.attempt if trial.started_s is not None else 0,
            "started": _iso(trial.started_s),
            "finished": _iso(trial.finished_s),
            "host": trial.host,
            "failure": trial.failure.message if trial.failure else None,
        }


def write_csv(trials: Callable[[], Iterable[Trial]], metric: str, file: TextIO) -> None:
    """Write the rows, a header first."""
    writer: csv.DictWriter[str] | None = None
    for row in rows(trials, metric):
        if writer is None:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({key: json.dumps(value) if isinstance(value, list | dict | bool) else value for key, value in row.items()})


def _iso(time_s: float | None) -> str | None:
    return None if time_s is None else datetime.fromtimestamp(time_s, timezone.utc).isoformat(timespec="milliseconds")
