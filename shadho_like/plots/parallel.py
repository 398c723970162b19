"""Each trial as a line through its hyperparameters to its metric.

What a trial has not, as in a conditional space, is a place of its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shadho_like.errors import OptionError, nearest
from shadho_like.plots.canvas import BEST, GREY, Scale, bounded, figure, nothing, short, thinned, written
from shadho_like.space import flatten
from shadho_like.trial import Trial, TrialState

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from shadho_like.journal import JournalReader

_MOST_LINES = 800
_FEW_LINES = 150
_MOST_AXES = 12
_MOST_CATEGORIES = 10
_ABSENT_AT = -0.14
_TICKS = 5
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Column:
    """One axis.

    Attributes:
        name: of the hyperparameter.
        places: where each trial's line crosses it, 0 to 1, or below where the trial has no such value.
        ticks: (place, label).
    """

    name: str
    places: NDArray[np.float64]
    ticks: Sequence[tuple[float, str]]


def parallel(journal: JournalReader, config: Mapping[str, Any], names: Sequence[str] | None = None) -> Figure:
    """Return the figure; of the hyperparameters with these dotted paths, or of all that differ."""
    sign = 1 if config["smaller_is_better"] else -1
    measured = [glance for glance in journal.glances() if glance.metric is not None and glance.state is not TrialState.FAILED]
    measured.sort(key=lambda glance: (-sign * (glance.metric or 0.0), -glance.number))
    count = len(measured)
    # The worst first, so that the best lie on top.
    chosen = [measured[place].number for place in thinned(count, _MOST_LINES, range(max(0, count - _MOST_LINES // 2), count))]
    found = {trial.number: trial for trial in journal.trials_of(chosen)}
    trials = [found[number] for number in chosen if number in found]
    columns = _columns(trials, names)
    drawn = figure(max(6.0, 2.2 + 1.35 * min(len(columns), _MOST_AXES)), 5)
    axes = drawn.add_subplot()
    metric, name = written(config["metric"]), written(config["name"])
    if not trials or not columns:
        nothing(axes, "no trial has a metric yet" if not trials else "no hyperparameter differs between the trials")
        axes.set_title(f"{name}: nothing to compare", loc="left", fontsize=11)
        axes.set_ylabel(metric)
        return drawn
    values = bounded([trial.metric or 0.0 for trial in trials])
    scale = Scale.of(values)
    last = Column(metric, scale.place(values), _number_ticks(scale, whole=False))
    _draw(axes, [*columns[:_MOST_AXES], last], scale.place(values), sign)
    few = f"; {len(trials):,} of {count:,} drawn, the best among them" if len(trials) < count else ""
    many = f"; the first {_MOST_AXES} of {len(columns)} hyperparameters" if len(columns) > _MOST_AXES else ""
    best = f"the best, trial {trials[-1].number}, in orange"
    axes.set_title(f"{name}: {metric} of {count:,} trials, {best}{few}{many}{scale.told()}", loc="left", fontsize=11)
    return drawn


def _columns(trials: Sequence[Trial], names: Sequence[str] | None) -> list[Column]:
    points = [flatten(trial.hparams) for trial in trials]
    there = {name for point in points for name in point}
    wanted = names if names is not None else sorted(there)
    for name in wanted:
        if points and name not in there:
            message = f"no trial has a hyperparameter {name!r}: {nearest(name, sorted(there))}"
            raise OptionError(message)
    values = {name: [point.get(name, _NOTHING) for point in points] for name in wanted}
    return [_column(name, mine) for name, mine in values.items() if names is not None or _differ(mine)]


def _differ(values: Sequence[Any]) -> bool:
    return any(value is not values[0] and value != values[0] for value in values)


def _column(name: str, values: Sequence[Any]) -> Column:
    there = [value for value in values if value is not _NOTHING]
    absent = [(_ABSENT_AT, "not set")] if len(there) < len(values) else []
    # Few whole numbers are told apart best as what they are.
    if there and all(type(value) in {int, float} for value in there):
        numbers = bounded(there)
        scale = Scale.of(numbers)
        places = iter(scale.place(numbers))
        ticks = _number_ticks(scale, whole=all(type(value) is int for value in there))
    else:
        keys = [json.dumps(value) if isinstance(value, list | dict | bool) else str(value) for value in there]
        common = [key for key, _ in Counter(keys).most_common(_MOST_CATEGORIES)]
        shown = sorted(common)
        more = len(set(keys)) > len(shown)
        rows = len(shown) + more
        heights = {key: (row + 0.5) / rows for row, key in enumerate(shown)}
        places = iter(np.array([heights.get(key, (rows - 0.5) / rows) for key in keys]))
        ticks = [(height, short(key)) for key, height in heights.items()] + [((rows - 0.5) / rows, "others")] * more
    crossed = np.array([_ABSENT_AT if value is _NOTHING else next(places) for value in values])
    return Column(written(name, 24), crossed, [*absent, *ticks])


def _number_ticks(scale: Scale, *, whole: bool) -> list[tuple[float, str]]:
    from matplotlib.ticker import LogLocator, MaxNLocator

    locator = LogLocator(numticks=_TICKS) if scale.logarithmic else MaxNLocator(_TICKS, integer=whole)
    at = [value for value in locator.tick_values(scale.low, scale.high) if scale.low <= value <= scale.high]
    at = at if len(at) > 1 else [scale.low, *at, scale.high]
    return [(float(place), f"{value:.4g}") for value, place in zip(at, scale.place(np.array(at)), strict=True)]


def _draw(axes: Any, columns: Sequence[Column], metric: NDArray[np.float64], sign: int) -> None:
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    heights = np.column_stack([column.places for column in columns])
    # Lines of trials that agree in a category would lie on each other.
    spread = np.random.default_rng(0).uniform(-0.012, 0.012, heights.shape)
    spread[:, -1] = 0.0
    at = np.arange(len(columns))
    lines = [np.column_stack([at, row]) for row in heights + spread]
    goodness = 1 - metric if sign > 0 else metric
    ranks = np.argsort(np.argsort(goodness, kind="stable"), kind="stable") / max(1, len(goodness) - 1)
    colours = colormaps["viridis_r"](0.1 + 0.9 * ranks)
    colours[:, 3] = 0.06 + 0.34 * ranks**4 if len(lines) > _FEW_LINES else 0.25 + 0.6 * ranks
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=1))
    axes.plot(at, heights[-1], "o-", color=BEST, linewidth=2.2, markersize=5, zorder=4)
    axes.vlines(at, 0, 1, color="#444444", linewidth=1, zorder=3)
    for place, column in enumerate(columns):
        for height, label in column.ticks:
            axes.plot([place - 0.02, place + 0.02], [height, height], color="#444444", linewidth=1, zorder=3)
            box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
            aside, end = (0.06, "left") if place == len(columns) - 1 else (-0.04, "right")
            axes.text(place + aside, height, label, ha=end, va="center", fontsize=8, zorder=5, bbox=box)
    axes.set_xticks(at, [column.name for column in columns], rotation=25, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(columns) - 0.6)
    axes.set_ylim(_ABSENT_AT - 0.05 if heights.min() < 0 else -0.04, 1.04)
    axes.set_yticks([])
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0, colors="#222222")
    axes.get_xticklabels()[-1].set_fontweight("bold")
    axes.set_xlabel("hyperparameters, and at the right the metric; darker is better", color=GREY, fontsize=9)
