"""The metric of each trial at each length that it was trained to, and how many came that far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from shadho_like.plots.canvas import BEST, COLOURS, GREY, Scale, bounded, figure, nothing, thinned, tidy, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shadho_like.journal import JournalReader

_MOST_LINES = 1500
_MOST_LENGTHS = 24
_LOGARITHMIC_FROM = 8


def rungs(journal: JournalReader, config: Mapping[str, Any]) -> Figure:
    """Return the figure."""
    drawn = figure(8, 5.5)
    above, axes = drawn.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    metric, name = written(config["metric"]), written(config["name"])
    curves: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for trial, length, value, _ in journal.results(config["metric"]):
        curves[trial].append((length, value))
    tidy(above, y="trials")
    tidy(axes, x="length", y=metric)
    if not curves:
        nothing(above, "")
        nothing(axes, "no trial has a metric yet")
        above.set_title(f"{name}: nothing yet", loc="left", fontsize=11)
        return drawn
    lengths = np.array(sorted({length for curve in curves.values() for length, _ in curve}))
    reached = np.array([sum(curve[-1][0] >= length for curve in curves.values()) for length in _some(lengths)])
    _counts(above, _some(lengths), reached)
    values = bounded([value for curve in curves.values() for _, value in curve])
    scale = Scale.of(values)
    sign = 1 if config["smaller_is_better"] else -1
    ends = {trial: sign * curve[-1][1] for trial, curve in curves.items()}
    winner = min(ends, key=lambda trial: (-curves[trial][-1][0], ends[trial]))
    # The long ones and the good ones are what one looks for.
    order = sorted(curves, key=lambda trial: (curves[trial][-1][0], -ends[trial]))
    shown = [order[place] for place in thinned(len(order), _MOST_LINES, range(max(0, len(order) - _MOST_LINES // 2), len(order)))]
    _lines(axes, [curves[trial] for trial in shown], scale, lengths)
    best = curves[winner]
    at, height = [length for length, _ in best], np.clip(bounded([value for _, value in best]), scale.low, scale.high)
    axes.plot(at, height, "o-", color=BEST, linewidth=2, markersize=5, label=f"trial {winner}, the best of the longest")
    if _logarithmic(lengths):
        axes.set_xscale("log")
    axes.set_xticks(_some(lengths), [f"{length:g}" for length in _some(lengths)])
    axes.minorticks_off()
    scale.give(axes)
    few = f"; {len(shown):,} drawn" if len(shown) < len(curves) else ""
    above.set_title(f"{name}: {metric} by length of training, {len(curves):,} trials{few}{scale.told()}", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="best")
    return drawn


def _logarithmic(lengths: Any) -> bool:
    return bool(lengths[0] > 0 and lengths[-1] / lengths[0] >= _LOGARITHMIC_FROM)


def _some(lengths: Any) -> Any:
    return lengths[thinned(len(lengths), _MOST_LENGTHS)]


def _counts(axes: Any, lengths: Any, reached: Any) -> None:
    """Draw how many trials came how far, with the numbers."""
    axes.vlines(lengths, 0, reached, color=COLOURS[0], linewidth=6, alpha=0.8)
    axes.set_ylim(0, reached.max() * 1.3)
    if len(lengths) <= _MOST_LENGTHS // 2:
        for length, count in zip(lengths, reached, strict=True):
            axes.annotate(f"{count:,}", (length, count), xytext=(0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=9)


def _lines(axes: Any, curves: list[list[tuple[float, float]]], scale: Scale, lengths: Any) -> None:
    """Draw the trials, darker the further they went."""
    from matplotlib.collections import LineCollection

    points = [np.clip(bounded([value for _, value in curve]), scale.low, scale.high) for curve in curves]
    points = [np.column_stack([[length for length, _ in curve], mine]) for curve, mine in zip(curves, points, strict=True)]
    dense = min(1.0, (40 / len(curves)) ** 0.6)
    alphas = [0.03 + 0.5 * max(dense, float(np.searchsorted(lengths, curve[-1][0])) / len(lengths) * dense**0.5) for curve in curves]
    axes.add_collection(LineCollection(points, colors=GREY, linewidths=0.8, alpha=alphas))
    dots = np.concatenate(points)
    dots = dots[thinned(len(dots), 3 * _MOST_LINES)]
    # Beside each other, not all on one another.
    aside = np.random.default_rng(0).uniform(-1, 1, len(dots)) * min(1.0, len(dots) / 400)
    spread = lengths[-1] - lengths[0]
    dots[:, 0] = dots[:, 0] * (1 + 0.03 * aside) if _logarithmic(lengths) else dots[:, 0] + 0.008 * spread * aside
    axes.plot(dots[:, 0], dots[:, 1], "o", color=COLOURS[0], markersize=3, alpha=0.4, markeredgewidth=0)
    axes.autoscale_view()
