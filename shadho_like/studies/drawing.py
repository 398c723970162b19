"""Studies as optuna-dashboard's pages draw them: of very many trials those that matter, and of the others one in so many."""

from __future__ import annotations

import heapq
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from copy import copy
from copy import deepcopy as copied
from dataclasses import dataclass

from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from shadho_like.changed import Mark
from shadho_like.following import Following, Seen
from shadho_like.studies.storage import ExperimentStorage, Study
from shadho_like.trial import TrialState


@dataclass(frozen=True, slots=True)
class _Choice:
    """What is shown of a study until its journal says more.

    Attributes:
        mark: how far the journal was read.
        numbers: the trials to show.
        curves: those of them whose curves are shown too.
    """

    mark: Mark
    numbers: Sequence[int]
    curves: Container[int]


class DrawnStorage(ExperimentStorage):
    """The studies of another storage; of one with more than twice as many trials as there should be, at most so many are shown.

    The same holds for curves, of which each costs a browser as much as dozens of points. A study's name then says so. A trial that has a
    result and waits to be trained on is shown as pruned there: charts leave out what runs.

    Args:
        whole: the storage with all trials.
        most: how many trials of a large study are shown.
        most_curves: of how many of them the values on the way are shown.
    """

    def __init__(self, whole: ExperimentStorage, most: int, most_curves: int) -> None:
        self.studies = whole.studies
        self._most = most
        self._most_curves = most_curves
        self._choices: dict[int, _Choice] = {}

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies."""
        frozen = super().get_all_studies()
        for study, whole in zip(frozen, self.studies, strict=True):
            curves = whole.curves
            parts = ((self._most, whole.size, "trials"), (self._most_curves, curves, "curves"))
            thinned = ", ".join(f"{most:,} of {size:,} {what}" for most, size, what in parts if size > 2 * most)
            study.study_name = f"{whole.name}: {thinned}" if thinned else whole.name
        return frozen

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None) -> list[FrozenTrial]:
        """Return the trials to show; while there are any that may change, one that runs or waits comes first.

        optuna-dashboard keeps the trials before the first such one, and asks for the others again: so it asks for all.
        """
        study = self.study(study_id)
        trials = study.trials(lambda following: self._choice(study, following).numbers)
        curves = self._choices[study_id].curves
        drawn = [trial if trial.number in curves else _without_curve(trial) for trial in (*trials[:1], *map(_with_result, trials[1:]))]
        if states is not None:
            drawn = [trial for trial in drawn if trial.state in states]
        return copied(drawn) if deepcopy else drawn

    def _choice(self, study: Study, following: Following) -> _Choice:
        known = self._choices.get(study.id)
        if known is None or known.mark is not following.mark:
            numbers = chosen(following.seen, study.metrics, self._most)
            curves = with_curves(following.seen, numbers, study.metrics, self._most_curves)
            known = self._choices[study.id] = _Choice(following.mark, numbers, curves)
        return known


def _without_curve(trial: FrozenTrial) -> FrozenTrial:
    if not trial.intermediate_values:
        return trial
    point = copy(trial)
    point.intermediate_values = {}
    return point


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


def with_curves(seen: Sequence[Seen], numbers: Sequence[int], metrics: Mapping[str, str], most: int) -> Container[int]:
    """Return which of the trials to show are shown with their curves: all that have one, or some where those are more than twice too many.

    Those are some that are not over, the best, those that were the best when they were created, and of the rest one in so many.
    """
    having = [number for number in numbers if seen[number].has_curve]
    if len(having) <= 2 * most:
        return set(having)
    kept = {number for number in having if not seen[number].trial.state.final}
    kept = set(sorted(kept)[-(most // 5) :])
    for name, direction in metrics.items():
        ranked = _ranked([seen[number] for number in having], name, -1.0 if direction == "maximize" else 1.0)
        kept |= _best(list(ranked), 2 * most // 5 // len(metrics))
    rest = [number for number in having if number not in kept]
    return {*kept, *rest[:: max(1, math.ceil(len(rest) / max(1, most - len(kept))))]}


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
