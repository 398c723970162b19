"""How a listing is printed: a table for a person, comma-separated values or JSON for a program."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from shadho_like.plain_text import harmless

Row = Mapping[str, Any]
_WIDTH = 10_000
_WORD, _PIECE = 10, 8


def form_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a listing its options `--csv` and `--json`, which come as `form`."""
    as_csv = click.option("--csv", "form", flag_value="csv", help="Print comma-separated values.")
    as_json = click.option("--json", "form", flag_value="json", help="Print one JSON object a line.")
    return as_csv(as_json(command))


def print_rows(form: str | None, rows: Iterable[Row], columns: Sequence[str], shown: Mapping[str, Callable[[Row], str]]) -> None:
    """Print rows.

    Args:
        form: csv, json, or None for a person.
        rows: dicts of JSON values, all with the same keys.
        columns: these keys; there may be no row.
        shown: for a person: what is in each column, by its heading.
    """
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_csv_cell(row[name]) for name in columns] for row in rows)
    elif form == "json":
        for row in rows:
            click.echo(json.dumps({name: row[name] for name in columns}))
    else:
        print_table(list(shown), ([show(row) for show in shown.values()] for row in rows))


def print_table(head: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table for a person: as wide as the terminal, or a line a row where there is none.

    Columns without anything in them are left out. Where the terminal is too narrow for the words, each row is a paragraph.
    """
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    cells = [list(map(harmless, row)) for row in rows]
    places = [place for place in range(len(head)) if not cells or any(row[place] for row in cells)]
    columns = [(head[place], [row[place] for row in cells]) for place in places]
    widths = [max(_least(word) for text in (heading, *column) for word in text.split()) for heading, column in columns]
    if sum(widths) + 2 * (len(widths) - 1) > console.width:
        label = max(len(heading) for heading, _ in columns)
        paragraphs = ("\n".join(f"{head[place]:{label}}  {row[place]}" for place in places if row[place]) for row in cells)
        click.echo("\n\n".join(paragraphs))
        return
    # Folded, not cut: what a person sees can be copied.
    wanted = (Column(heading, overflow="fold", min_width=width) for (heading, _), width in zip(columns, widths, strict=True))
    table = Table(*wanted, box=None, pad_edge=False)
    for row in cells:
        table.add_row(*(row[place] for place in places))
    console.print(table)


def _least(word: str) -> int:
    """Return how wide a column must be for a word, of which a long one may be folded."""
    return len(word) if len(word) <= _WORD else _PIECE


def number(value: float | None) -> str:
    """Return a number as a person reads it; nothing for None."""
    return "" if value is None else f"{value:.6g}"


def _csv_cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict | bool) else value
