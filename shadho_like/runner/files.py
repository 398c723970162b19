"""The files in which a search leaves its answer: a pickle for Python, JSON for everything else."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import shadho_worker

from shadho_like.runner.kept_results import write_whole
from shadho_like.runner.plain import as_json


def write_answer(base_dir: Path, kind: str, filed: Mapping[str, Any], total_time_s: float) -> tuple[Path, list[str]]:
    """Write `{base_dir}/{kind}_results_{timestamp}.pkl` and the same as JSON beside it, each whole or not at all.

    Args:
        base_dir: the search's folder.
        kind: see `Search`.
        filed: what was found.
        total_time_s: how long this run took.

    Returns:
        The path of the pickle, and what is to be said about it. Where no pickle can be made, the path is that of the JSON.

    Raises:
        WorldError: the file system refuses.
    """
    timestamp, path = _free_name(base_dir, kind)
    value = {**filed, "total_time": total_time_s, "timestamp": timestamp}
    plain = path.with_suffix(".json")
    write_whole(plain, (json.dumps(as_json(value), indent=2, allow_nan=False) + "\n").encode())
    try:
        data = cloudpickle.dumps(value)
    except Exception as error:
        return plain, [f"what agg_results returned cannot be pickled, and is in {plain} only: {shadho_worker.describe(error)[0]}"]
    write_whole(path, data)
    return path, []


def _free_name(base_dir: Path, kind: str) -> tuple[str, Path]:
    """Return a timestamp, and a name with it; of several in one second, the later ones are numbered."""
    timestamp = time.strftime("%Y%m%d_%H%M%S")
    for suffix in itertools.chain([""], (f"_{number}" for number in itertools.count(2))):
        path = base_dir / f"{kind}_results_{timestamp}{suffix}.pkl"
        if not path.exists() and not path.with_suffix(".json").exists():
            break
    return timestamp, path
