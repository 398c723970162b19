"""Studies as optuna-dashboard's pages draw them: of very many trials those that matter, and of the others one in so many."""

from __future__ import annotations

import heapq
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from copy import copy
from copy import deepcopy as copied

from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from shadho_like.following import Seen
from shadho_like.studies.storage import ExperimentStorage
from shadho_like.trial import TrialState


class DrawnStorage(ExperimentStorage):
    """The studies of another storage; of one with more than twice as many trials as there should be, at most so many are shown.

    A study's name then says so. A trial that has a result and waits to be trained on is shown as pruned there: charts leave out what runs.

    Args:
        whole: the storage with all trials.
        most: how many trials of a large study are shown.
    """

    def __init__(self, whole: ExperimentStorage, most: int) -> None:
        self.studies = whole.studies
        self._most = most

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies."""
        frozen = super().get_all_studies()
        for study, whole in zip(frozen, self.studies, strict=True):
            if whole.size > 2 * self._most:
                study.study_name = f"{whole.name}: {self._most:,} of {whole.size:,} trials"
        return frozen

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None) -> list[FrozenTrial]:
        """Return the trials to show; while there are any that may change, one that runs or waits comes first.

        optuna-dashboard keeps the trials before the first such one, and asks for the others again: so it asks for all.
        """
        study = self.study(study_id)
        trials = study.trials(lambda seen: chosen(seen, study.metrics, self._most))
        drawn = [*trials[:1], *map(_with_result, trials[1:])]
        if states is not None:
            drawn = [trial for trial in drawn if trial.state in states]
        return copied(drawn) if deepcopy else drawn


def _with_result(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial that waits with a result as one that ended with it."""
    if trial.user_attrs["state"] != TrialState.PAUSED.value or trial.values is None:
        return trial
    pruned = copy(trial)
    pruned.state, pruned.datetime_complete = OptunaState.PRUNED, trial.datetime_start
    return pruned


def chosen(seen: Sequence[Seen], metrics: Mapping[str, str], most: int) -> Sequence[int]:
    """Return the numbers of the trials to show: all, or at most so many where that leaves out more than half.

    Those are the newest that are not over, the best, those that were the best when they were created, the newest, and of the rest as
    many as there is room for, evenly. Those that are not over come first, and of them those that run.

    Args:
        seen: all trials.
        metrics: minimize or maximize, for each metric that is searched.
        most: how many.
    """
    going = _running_first(seen, [one.trial.number for one in seen if not one.trial.state.final])
    if len(seen) <= 2 * most:
        return [*going, *(one.trial.number for one in seen if one.trial.state.final)]
    share = most // 10
    going = going[:share]
    over = [one.trial.number for one in seen if one.trial.state.final]
    kept = set(over[-share:])
    for name, direction in metrics.items():
        kept |= _best(list(_ranked(seen, name, -1.0 if direction == "maximize" else 1.0)), share // len(metrics))
    rest = [number for number in over if number not in kept]
    kept.update(rest[:: max(1, math.ceil(len(rest) / (most - len(going) - len(kept))))])
    return [*going, *sorted(kept)]


def _running_first(seen: Sequence[Seen], going: Sequence[int]) -> list[int]:
    return sorted(going, key=lambda number: (_TURNS.index(seen[number].trial.state), -number))


_TURNS = (TrialState.RUNNING, TrialState.PENDING, TrialState.PAUSED)


def _ranked(seen: Sequence[Seen], name: str, sign: float) -> Iterator[tuple[float, int]]:
    """Yield the badness of each completed trial in a metric, and its number."""
    for one in seen:
        trial = one.trial
        if trial.state is TrialState.COMPLETED and trial.metric is not None:
            value = trial.metrics.get(name, trial.metric)
            if isinstance(value, int | float):
                yield sign * value, trial.number


def _best(ranked: Sequence[tuple[float, int]], count: int) -> set[int]:
    """Return the numbers of the best, and of those that no earlier one was as good as; each are half of them at most."""
    records, least = list[int](), math.inf
    for badness, number in ranked:
        if badness < least:
            least = badness
            records.append(number)
    half = max(1, count // 2)
    return {*records[-half:], *(number for _, number in heapq.nsmallest(half, ranked))}
