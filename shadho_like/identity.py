"""Is it the same experiment? What a driver asks for, compared with what its directory holds. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from shadho_like.errors import ExperimentChanged

_PARTS = ("command", "objective", "space", "method", "metric", "smaller_is_better", "evaluations", "seed")


def grown_keys(held: Mapping[str, Any], asked: Mapping[str, Any], extensible: Collection[str]) -> dict[str, int]:
    """Return the keys of the search method that may grow and are greater than when the experiment began, with their new values."""
    if held["method"]["name"] != asked["method"]["name"]:
        return {}
    before, now = held["method"]["keys"], asked["method"]["keys"]
    pairs = {key: (before.get(key), now.get(key)) for key in extensible}
    return {key: new for key, (old, new) in pairs.items() if isinstance(old, int) and isinstance(new, int) and new > old}


def check_unchanged(held: Mapping[str, Any], asked: Mapping[str, Any], root: Path, grown: Collection[str] = ()) -> None:
    """Compare the configuration that a directory holds with the one that is asked for.

    How many trials may be open at once is no part of what an experiment is; nor are keys that may grow, and did.

    Raises:
        ExperimentChanged: they differ; the message says in what, and how to start afresh.
    """
    besides = {"max_concurrent_trials", *grown}
    changes = [change for part in _PARTS for change in _changes(part, _plain(held[part], besides), _plain(asked[part], besides))]
    if changes:
        listed = "\n  ".join(changes)
        way_out = "give this one another name= or directory=, or remove that folder, to start afresh"
        message = f"{root} holds another experiment than this driver describes:\n  {listed}\n{way_out}"
        raise ExperimentChanged(message)


def _plain(value: Any, besides: Collection[str]) -> Any:
    """Return the value as a journal gives it back, tuples as lists; of a search method, without these keys."""
    plain = json.loads(json.dumps(value))
    if isinstance(plain, dict) and plain.keys() == {"name", "keys"}:
        return {"name": plain["name"], **{key: item for key, item in plain["keys"].items() if key not in besides}}
    return plain


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
