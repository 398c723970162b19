"""Is it the same experiment? What a driver asks for, compared with what its directory holds. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shadho_like.errors import ExperimentChanged

_PARTS = ("command", "objective", "space", "method", "metric", "smaller_is_better", "evaluations", "seed")


def check_unchanged(held: Mapping[str, Any], asked: Mapping[str, Any], root: Path) -> None:
    """Compare the configuration that a directory holds with the one that is asked for.

    How many trials may be open at once is no part of what an experiment is.

    Raises:
        ExperimentChanged: they differ; the message says in what, and how to start afresh.
    """
    changes = [change for part in _PARTS for change in _changes(part, _plain(held[part]), _plain(asked[part]))]
    if changes:
        listed = "\n  ".join(changes)
        way_out = "give this one another name= or directory=, or remove that folder, to start afresh"
        message = f"{root} holds another experiment than this driver describes:\n  {listed}\n{way_out}"
        raise ExperimentChanged(message)


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"name", "keys"}:
        return {"name": value["name"], **{key: item for key, item in value["keys"].items() if key != "max_concurrent_trials"}}
    return json.loads(json.dumps(value))


def _changes(path: str, held: Any, asked: Any) -> Iterator[str]:
    """Yield a line for each place at which two JSON values differ."""
    if isinstance(held, dict) and isinstance(asked, dict):
        for key in sorted(held.keys() | asked.keys()):
            if key not in asked:
                yield f"{path}.{key} is missing, it was {_short(held[key])}"
            elif key not in held:
                yield f"{path}.{key} is new: {_short(asked[key])}"
            else:
                yield from _changes(f"{path}.{key}", held[key], asked[key])
    elif held != asked or type(held) is not type(asked):
        yield f"{path} was {_short(held)}, now it is {_short(asked)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
