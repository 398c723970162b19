"""The journal of a search: taken up where it still holds, set aside where it does not. What has been run is kept apart from it,
with each experiment, so that a search that changed plays through what is known and runs only what is not.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

from shadho_like.errors import MethodError
from shadho_like.experiment import Experiment
from shadho_like.journal import Journal, JournalReader
from shadho_like.launch import Launch
from shadho_like.paths import ExperimentPaths
from shadho_like.runner.kept_results import kept
from shadho_like.runner.search import Search
from shadho_like.searcher import create
from shadho_like.space import as_space


@dataclass(frozen=True, slots=True)
class Record:
    """A search's journal, open.

    Attributes:
        experiment: what it holds.
        launch: where it is.
        since_s: results from before this time do not count.
    """

    experiment: Experiment
    launch: Launch
    since_s: float


def open_record(search: Search, slots: int, now_s: float, *, fresh: bool) -> Record:
    """Open a search's journal; a new one where there is none, or none that holds, or where it is to begin afresh.

    Args:
        search: whose.
        slots: how many jobs can run at once.
        now_s: the time in seconds since 1970.
        fresh: whether to forget all results so far.

    Raises:
        ExperimentInUse: another process runs this search.
        UserError: `agg_results` failed.
    """
    paths = ExperimentPaths(search.directory)
    described = _described(search, slots)
    journal = Journal(paths, {**described, "since_s": now_s if fresh else 0.0})
    try:
        since_s: float = journal.config["since_s"]
        experiment = None if fresh and not journal.new else _taken_up(search, journal, described)
        if experiment is None:
            journal.close()
            set_aside(search)
            since_s = now_s if fresh else since_s
            journal = Journal(paths, {**described, "since_s": since_s})
            experiment = _experiment(journal, described, search)
    except BaseException:
        journal.close()
        raise
    launch = Launch(described["name"], paths, objective=search.plan.search.run_experiment_config)
    return Record(experiment, launch, since_s)


def set_aside(search: Search) -> None:
    """Rename a search's journal, which nobody has open, if there is one."""
    paths = ExperimentPaths(search.directory)
    earlier = (paths.journal.with_name(f"journal.{number}.sqlite") for number in itertools.count(1))
    if paths.journal.exists():
        paths.journal.rename(next(path for path in earlier if not path.exists()))


def _described(search: Search, slots: int) -> dict[str, Any]:
    """Return what makes this search the one that it is. With other slots, other points are tested at once."""
    name, space, keys = search.method(slots)
    return {
        "name": str(search.base_dir),
        "command": None,
        "objective": type(search.plan.search).__qualname__,
        "space": as_space(space).to_json(),
        "method": {"name": name, "keys": keys},
        "metric": "passed" if search.kind == "binary_search" else "success",
        "smaller_is_better": False,
        "evaluations": 1,
        "seed": 0,
        "search": search.plan.digest,
    }


def _taken_up(search: Search, journal: Journal, described: dict[str, Any]) -> Experiment | None:
    """Return the experiment of a journal, None if it is of another search, or says what is not so any more."""
    held = {key: value for key, value in journal.config.items() if key != "since_s"}
    if held != json.loads(json.dumps(described)):
        return None
    if not journal.new:
        since_s = journal.config["since_s"]
        with JournalReader(search.directory) as reader:
            if search.is_outdated(reader.trials(), lambda job: kept(job, since_s)):
                return None
    try:
        return _experiment(journal, described, search)
    except MethodError:
        return None


def _experiment(journal: Journal, described: dict[str, Any], search: Search) -> Experiment:
    method = described["method"]
    _, space, _ = search.method(1)
    return Experiment(journal, create(method["name"], space, seed=0, smaller_is_better=False, **method["keys"]))
