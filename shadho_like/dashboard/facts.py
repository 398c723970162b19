"""What our page shows of an experiment, as plain data: where it stands, its rungs, machines, running attempts and failures."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import Any

from shadho_like.filelock import FileLock
from shadho_like.following import Following, Seen
from shadho_like.journal import JournalReader, Told
from shadho_like.paths import ExperimentPaths
from shadho_like.requests import waiting
from shadho_like.trial import Trial, TrialState, rank

_SHOWN = 200
_FAILURES = 20


def overview(following: Following) -> dict[str, Any]:
    """Return an experiment in a line."""
    paths, config = ExperimentPaths(following.directory.absolute()), following.config
    best = best_of(following)
    return {
        "name": config["name"],
        "directory": str(following.directory),
        "method": config["method"]["name"],
        "metric": following.metric,
        "phase": following.phase.value,
        "over": following.phase.over,
        "driver": FileLock.holder(paths.lock),
        "waiting": [request.action.value if request.action else "" for request in waiting(paths.requests)],
        "counts": Counter(seen.trial.state.value for seen in following.seen),
        "best": None if best is None else {"trial": best.number, "value": best.metric, "hyperparameters": best.hparams},
        "turn": following.turn,
    }


def best_of(following: Following) -> Trial | None:
    """Return the trial with the best metric; of equals as `rank` says."""
    smaller = following.config["smaller_is_better"]
    found = (seen.trial for seen in following.seen if seen.trial.metric is not None)
    return min(found, key=lambda trial: rank(trial.metric or 0.0, trial.finished_s, trial.number, smaller_is_better=smaller), default=None)


def details(following: Following) -> dict[str, Any]:
    """Return what is behind the line."""
    trials = [seen.trial for seen in following.seen]
    running = [trial for trial in trials if trial.state is TrialState.RUNNING]
    failed = heapq.nlargest(_FAILURES, (trial for trial in trials if trial.failure), key=lambda trial: trial.finished_s or 0.0)
    with JournalReader(following.directory) as journal:
        told = journal.status()
        machines = list(_machines(journal, told))
        attempts = list(_running(following, journal, running[-_SHOWN:]))
    return {
        **overview(following),
        "rungs": list(rungs(following)),
        "engine": told.standing.engine.to_json() if told is not None and told.live else None,
        "progress": told.standing.progress if told is not None and told.live else None,
        "machines": machines,
        "running": attempts,
        "running_in_all": len(running),
        "failures": [
            {"trial": trial.number, "attempt": trial.attempt, "host": trial.host, "time_s": trial.finished_s, **trial.failure.to_json()}
            for trial in failed
            if trial.failure is not None
        ],
    }


def rungs(following: Following) -> Iterator[dict[str, Any]]:
    """Yield, for each length at which trials have reported, how many did, how many are on their way there, and the best."""
    better = min if following.config["smaller_is_better"] else max
    reached, best = Counter[float](), dict[float, tuple[float, int]]()
    coming = Counter[float]()
    for seen in following.seen:
        if seen.trial.length > seen.trial.validated and not seen.trial.state.final:
            coming[seen.trial.length] += 1
        for length, value in seen.results.items():
            reached[length] += 1
            if length not in best or better(value, best[length][0]) != best[length][0]:
                best[length] = (value, seen.trial.number)
    for length in sorted({*reached, *coming}):
        reported = best.get(length, (None, None))
        yield {"length": length, "reached": reached[length], "coming": coming[length], "best": reported[0], "trial": reported[1]}


def _machines(journal: JournalReader, told: Told | None) -> Iterator[dict[str, Any]]:
    """Yield how many attempts each machine has had, by what became of them, and its GPUs as far as a driver told of them."""
    gpus = {host.name: host.gpus for host in told.standing.engine.hosts} if told is not None else {}
    counts: dict[str, Counter[str]] = {}
    for host, state, count in journal.attempts_by_host():
        counts.setdefault(host, Counter())[state] = count
    for host, by_state in sorted(counts.items(), key=lambda item: (-item[1]["RUNNING"], item[0])):
        yield {"host": host, "gpus": gpus.get(host, ""), "attempts": by_state}


def _running(following: Following, journal: JournalReader, running: list[Trial]) -> Iterator[dict[str, Any]]:
    """Yield the attempts that run, newest trial first."""
    began = {(row["trial"], row["attempt"]): row["started_s"] for row in journal.attempts_of([trial.number for trial in running])}
    for trial in reversed(running):
        yield {
            "trial": trial.number,
            "attempt": trial.attempt,
            "host": trial.host,
            "started_s": began.get((trial.number, trial.attempt)),
            "from": trial.validated,
            "to": trial.asked or trial.length,
            "last": _last(following.seen[trial.number]),
        }


def _last(seen: Seen) -> float | None:
    """Return the last value of the searched metric that a trial has reported."""
    curve = seen.curve or seen.results
    return curve[max(curve)] if curve else None


def trial_facts(journal: JournalReader, number: int, seen: Seen | None) -> dict[str, Any]:
    """Return all that is known of a trial.

    Raises:
        OptionError: there is none with this number.
    """
    trial = journal.trial(number)
    return {
        "trial": number,
        "state": trial.state.value,
        "over": trial.state.final,
        "name": journal.config["metric"],
        "metric": trial.metric,
        "metrics": dict(trial.metrics),
        "hyperparameters": trial.hparams,
        "length": trial.validated,
        "to": trial.length,
        "failure": trial.failure.to_json() if trial.failure else None,
        "results": sorted((seen.curve or seen.results).items()) if seen else [],
        "attempts": journal.attempts(number),
    }
