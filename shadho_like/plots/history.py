"""The metric whenever a trial was validated, in the order in which that came, and the best so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from shadho_like.plots.canvas import (
    BEST,
    COLOURS,
    GREY,
    RED,
    Scale,
    bounded,
    figure,
    legend,
    nothing,
    thinned,
    tidy,
    whole_numbers,
    written,
)
from shadho_like.trial import TrialState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from shadho_like.journal import JournalReader

_MOST_POINTS = 4000
_MOST_STEPS = 1000
_MOST_LENGTHS = 6
_SHADES = (GREY, COLOURS[4], COLOURS[0], COLOURS[2], COLOURS[1], COLOURS[3])


def history(journal: JournalReader, config: Mapping[str, Any]) -> Figure:
    """Return the figure."""
    drawn = figure(8, 4.8)
    axes = drawn.add_subplot()
    metric, name = written(config["metric"]), written(config["name"])
    results = sorted(journal.results(config["metric"]), key=lambda result: (result[3], result[0], result[1]))
    failed_s = sorted(glance.finished_s or 0.0 for glance in journal.glances() if glance.state is TrialState.FAILED)
    tidy(axes, x="validations, in the order in which they came", y=metric)
    if not results:
        nothing(axes, f"all {len(failed_s)} trials that ended failed" if failed_s else "no trial has a metric yet")
        axes.set_title(f"{name}: nothing yet", loc="left", fontsize=11)
        return drawn
    values = bounded([value for _, _, value, _ in results])
    scale = Scale.of(values)
    sign = 1 if config["smaller_is_better"] else -1
    best = sign * np.minimum.accumulate(sign * values)
    better = np.flatnonzero(np.diff(best, prepend=np.nan) != 0)
    shown = thinned(len(values), _MOST_POINTS, better[-_MOST_STEPS:])
    lengths = np.array([length for _, length, _, _ in results])
    _points(axes, shown + 1, np.clip(values[shown], scale.low, scale.high), lengths[shown])
    line = np.append(better[thinned(len(better), _MOST_STEPS, [len(better) - 1])], len(best) - 1)
    label = "best of all validations so far" if len(np.unique(lengths)) > 1 else "best so far"
    axes.step(line + 1, np.clip(best[line], scale.low, scale.high), where="post", color=BEST, linewidth=2, label=label)
    scale.give(axes)
    if failed_s:
        rug = np.searchsorted([time_s for *_, time_s in results], failed_s)[thinned(len(failed_s), _MOST_STEPS)]
        label = f"{len(failed_s):,} trial{'s' * (len(failed_s) > 1)} failed"
        transform = axes.get_xaxis_transform()
        axes.plot(rug + 0.5, np.full(len(rug), 0.015), "|", color=RED, markersize=8, alpha=0.7, transform=transform, label=label)
    trial, _, value, _ = results[int(np.argmin(sign * values))]
    few = f"; {len(shown):,} of {len(values):,} validations drawn" if len(shown) < len(values) else ""
    axes.set_title(f"{name}: best {metric} {value:.6g} (trial {trial}){few}{scale.told()}", loc="left", fontsize=11)
    margin = 0.5 + len(values) * 0.01
    axes.set_xlim(1 - margin, len(values) + margin)
    whole_numbers(axes.xaxis)
    legend(drawn)
    return drawn


def _points(axes: Axes, places: NDArray[np.int64], values: NDArray[np.float64], lengths: NDArray[np.float64]) -> None:
    """Draw what was measured; where trials were trained to several lengths, each has its colour."""
    found = np.unique(lengths)
    if len(found) > _MOST_LENGTHS:
        dots = axes.scatter(places, values, c=lengths, s=14, cmap="viridis_r", alpha=0.7, linewidths=0)
        axes.figure.colorbar(dots, ax=axes, label="trained to length")
        return
    shades = _SHADES[: len(found)] if len(found) > 1 else COLOURS[:1]
    for length, colour in zip(found, shades, strict=True):
        mine = lengths == length
        label = f"trained to {length:g}" if len(found) > 1 else "a trial"
        axes.plot(places[mine], values[mine], "o", color=colour, alpha=0.5, markersize=4, markeredgewidth=0, label=label)
