"""The trials as rows for a spreadsheet: read twice and written one by one, so that a million take no memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Any, TextIO

from shadho_like.space import flatten
from shadho_like.trial import Trial

Trials = Callable[[], Iterable[Trial]]

_STORY = ("attempts", "started", "finished", "host", "failure")


def rows(trials: Trials, metric: str) -> Iterator[dict[str, Any]]:
    """Yield one dict a trial, all with the same keys in the same order.

    A hyperparameter has its dotted path for a key, or `hyperparameters.<path>` where that is another column's.

    Args:
        trials: gives the trials; it is called twice, first to find all hyperparameters.
        metric: the searched metric's name, which names its column.
    """
    keys, count = _keys(trials, {"number", "state", metric, *_STORY})
    for trial in islice(trials(), count):
        values = flatten(trial.hparams)
        yield {
            "number": trial.number,
            "state": trial.state.value,
            metric: trial.metric,
            **{key: values.get(name) for name, key in keys.items()},
            "attempts": trial.attempt if trial.started_s is not None else 0,
            "started": _iso(trial.started_s),
            "finished": _iso(trial.finished_s),
            "host": trial.host,
            "failure": trial.failure.message if trial.failure else None,
        }


def write_csv(trials: Trials, metric: str, file: TextIO) -> None:
    """Write the rows with a header; the header alone where there are none."""
    writer = csv.writer(file, lineterminator="\n")
    header: Iterable[str] | None = None
    for row in rows(trials, metric):
        if header is None:
            header = row
            writer.writerow(header)
        writer.writerow(json.dumps(value) if isinstance(value, list | dict | bool) else value for value in row.values())
    if header is None:
        writer.writerow(["number", "state", metric, *_STORY])


def _keys(trials: Trials, taken: set[str]) -> tuple[dict[str, str], int]:
    """Return the key of each hyperparameter by its path, and how many trials there were: a running search adds more."""
    names: set[str] = set()
    count = 0
    for count, trial in enumerate(trials(), 1):  # noqa: B007
        names.update(flatten(trial.hparams))
    return {name: f"hyperparameters.{name}" if name in taken else name for name in sorted(names)}, count


def _iso(time_s: float | None) -> str | None:
    return None if time_s is None else datetime.fromtimestamp(time_s, timezone.utc).isoformat(timespec="milliseconds")
