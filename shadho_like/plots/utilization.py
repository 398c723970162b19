"""How many trials ran at once over time, on which host."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shadho_like.plots.canvas import COLOURS, GREY, figure, nothing, tidy, whole_numbers, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from shadho_like.journal import JournalReader

_BINS = 800
_MOST_HOSTS = 7
_UNITS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))

Span = tuple[float, float]


def utilization(journal: JournalReader, config: Mapping[str, Any]) -> Figure:
    """Return the figure."""
    drawn = figure(8, 4)
    axes = drawn.add_subplot()
    name = written(config["name"])
    told, driver, gaps = journal.status(), journal.driver(), journal.gaps()
    now_s = time.time() if driver is not None else journal.last_time_s()
    spans = _spans(journal.spans(), gaps, now_s)
    if not spans:
        nothing(axes, "no trial has run yet")
        tidy(axes, title=f"{name}: nothing yet", x="time", y="trials at once")
        return drawn
    began_s = min(start for host in spans.values() for start, _ in host)
    ended_s = max(began_s + 1e-3, *(end for host in spans.values() for _, end in host))
    edges = np.linspace(began_s, ended_s, _BINS + 1)
    layers = {host: busy(mine, edges) for host, mine in spans.items()}
    total = np.sum(list(layers.values()), axis=0)
    unit_s, unit = next(((unit_s, unit) for unit_s, unit in _UNITS if ended_s - began_s >= 2 * unit_s), _UNITS[-1])
    at = (edges - began_s) / unit_s
    shown = sorted(layers, key=lambda host: -float(layers[host].sum()))
    parts = [(written(host or "unknown", 30), layers[host]) for host in shown[:_MOST_HOSTS]]
    if len(shown) > _MOST_HOSTS:
        parts.append((f"{len(shown) - _MOST_HOSTS} more hosts", np.sum([layers[host] for host in shown[_MOST_HOSTS:]], axis=0)))
    below = np.zeros(_BINS)
    for (host, height), colour in zip(parts, COLOURS, strict=False):
        axes.fill_between(at, _held(below), _held(below + height), step="post", color=colour, alpha=0.85, linewidth=0, label=host)
        below = below + height
    for gap in gaps:
        start, end = (min(max(time_s, began_s), ended_s) - began_s for time_s in gap)
        if end - start > (ended_s - began_s) / _BINS:
            axes.axvspan(start / unit_s, end / unit_s, color=GREY, alpha=0.2, linewidth=0)
    slots = told.standing.engine.slots if told else None
    if slots is not None and slots >= total.max() * 0.5:
        axes.axhline(slots, color=GREY, linestyle="--", linewidth=1, label=f"{slots} slots at last")
    top = max(float(total.max()), slots or 0)
    axes.set_ylim(0, top * 1.08)
    axes.set_xlim(0, at[-1])
    whole_numbers(axes.yaxis)
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(began_s))
    busiest = f"{float(total.mean()):.3g} at once on average, {math.ceil(float(total.max()) - 1e-9)} at most"
    tidy(axes, title=f"{name}: trials at once by host, {busiest}", x=f"{unit} since {began}", y="trials at once")
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return drawn


def _spans(attempts: Iterable[tuple[str, float, float | None]], gaps: Sequence[Span], now_s: float) -> dict[str, list[Span]]:
    """Return when attempts ran, by host: what a driver that died left is over when it died, not when the next one found it."""
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    died_s = {end: start for start, end in gaps}
    for host, start, end in attempts:
        over_s = now_s if end is None else died_s.get(end, end)
        if over_s > start:
            spans[host].append((start, over_s))
    return spans


def busy(spans: Sequence[Span], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many spans cover each of the bins between equidistant edges, on average over the bin."""
    # The area under the count up to a time is a sum of ramps, of which each edge asks.
    starts, ends = (np.sort(np.asarray(times)) for times in zip(*spans, strict=True))
    area = _ramps(starts, edges) - _ramps(ends, edges)
    return np.asarray(np.diff(area) / np.diff(edges))


def _ramps(times: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each edge the sum over the times before it of how long before it they are."""
    begin = edges[0]
    before = np.searchsorted(times, edges, side="right")
    sums = np.concatenate([[0.0], np.cumsum(times - begin)])
    return np.asarray((edges - begin) * before - sums[before])


def _held(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.append(values, values[-1])
