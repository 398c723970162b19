"""Trials and other rows as HTML tables: all that comes from a user or a worker is escaped, and nothing grows without bound. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from shadho_like.plain_text import harmless
from shadho_like.space import flatten
from shadho_like.trial import Trial

_LONGEST = 80
_MOST_COLUMNS = 15


def shown(value: Any, longest: int = _LONGEST) -> str:
    """Return a value as escaped text."""
    if value is None:
        return ""
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, list | dict | bool):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = str(value)
    return escape(harmless(text, longest))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], longest: int = _LONGEST) -> str:
    """Return a table with a header; a column of numbers is at its right."""
    lines = list(rows)
    styles = [' style="text-align: right"' if _numbers(line[at] for line in lines) else "" for at in range(len(header))]
    head = "".join(f"<th{style}>{shown(name)}</th>" for name, style in zip(header, styles, strict=True))
    cells = ("".join(f"<td{style}>{shown(value, longest)}</td>" for value, style in zip(line, styles, strict=True)) for line in lines)
    body = "\n".join(f"<tr>{each}</tr>" for each in cells)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _numbers(values: Iterable[Any]) -> bool:
    kinds = {type(value) for value in values if value is not None}
    return bool(kinds) and kinds <= {int, float}


def trials_table(trials: Sequence[Trial], metric: str) -> str:
    """Return a table of trials with a column for each hyperparameter, as far as there are not too many."""
    points = [flatten(trial.hparams) for trial in trials]
    names = sorted({name for point in points for name in point})
    more = len(names) - _MOST_COLUMNS
    columns = names[:_MOST_COLUMNS]
    header = ["trial", "state", metric, *columns, *([f"and {more} more"] if more > 0 else []), "attempts", "seconds", "host"]
    rows = [_row(trial, point, columns, cut=more > 0) for trial, point in zip(trials, points, strict=True)]
    return table(header, rows)


def _row(trial: Trial, point: Mapping[str, Any], columns: Sequence[str], *, cut: bool) -> list[Any]:
    seconds = trial.finished_s - trial.started_s if trial.finished_s is not None and trial.started_s is not None else None
    spent = None if seconds is None else round(seconds, 1)
    values = [point.get(name) for name in columns] + ["…"] * cut
    attempts = trial.attempt if trial.started_s is not None else 0
    return [trial.number, trial.state.value.lower(), trial.metric, *values, attempts, spent, trial.host]
