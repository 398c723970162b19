"""Which trials no other beats when several metrics count. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shadho_like.trial import Trial


def pareto_front(trials: Iterable[Trial], metrics: Mapping[str, str], shown: str) -> list[Trial]:
    """Return the trials to which there is none that is as good in every metric and better in one, in the order of their numbers.

    Args:
        trials: those that have no metric are left out.
        metrics: minimize or maximize, for each metric's name.
        shown: the metric that is a trial's own; the others are among its `metrics`.
    """
    front: list[tuple[tuple[float, ...], Trial]] = []
    # Sorted, a trial can only be beaten by one before it: so all that are on the front stay there.
    for badness, trial in sorted(_badness(trials, metrics, shown), key=lambda item: (item[0], item[1].number)):
        if not any(_beats(other, badness) for other, _ in front):
            front.append((badness, trial))
    return sorted((trial for _, trial in front), key=lambda trial: trial.number)


def _badness(trials: Iterable[Trial], metrics: Mapping[str, str], shown: str) -> Iterable[tuple[tuple[float, ...], Trial]]:
    for trial in trials:
        values = {**trial.metrics, shown: trial.metric}
        numbers = [(values.get(name), 1 if direction == "minimize" else -1) for name, direction in metrics.items()]
        badness = tuple(sign * number for number, sign in numbers if isinstance(number, int | float))
        if len(badness) == len(metrics):
            yield badness, trial


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
