"""What a picture of a search looks like: a timeline of its trials, its points, a boundary, a front. Which searches: see pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from played import Played, Run
from svg import BLUES, GOLD, GRID, INK, MUTED, Axes, Drawing, hours, shade

_WIDTH = 720.0
_PASSES, _FAILS, _STOPPED = "#1f5fa8", "#d4632a", "#9aa4ae"
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 16.0, 46.0, 40.0


def timeline(title: str, played: Played) -> str:
    """Draw a row for each trial: when it trained, up to which length, and from whose checkpoint."""
    row = min(9.0, max(6.0, 400 / played.trials)) if played.trials > 4 else 26.0
    lengths = sorted({run.length for run in played.runs})
    drawing = Drawing(_WIDTH, _TOP + _BOTTOM + played.trials * row, title)
    frame = (_LEFT, _TOP, _WIDTH - _LEFT - _RIGHT, played.trials * row)
    axes = Axes(drawing, *frame, (0, played.took_s), (played.trials, 0))
    step = 1 if played.trials <= 4 else 5 if played.trials <= 60 else 10
    rows = [(number + 0.5, str(number)) for number in range(0, played.trials, step)]
    axes.ticks(hours(played.took_s), rows, "time", "trial")
    _legend(drawing, lengths, lost=any(run.lost for run in played.runs))
    for run in played.runs:
        _from_where_it_was(axes, run, played, row)
    for run in played.runs:
        x, y = axes.at(run.began_s, run.trial)
        end, _ = axes.at(run.ended_s, run.trial)
        thick = row - 2
        drawing.rect(x, y + 1, max(end - x - 0.6, 1), thick, shade(lengths.index(run.length), len(lengths)), round_=1)
    for run in played.runs:
        if run.lost:
            drawing.cross(*axes.at(run.ended_s, run.trial + 0.5), min(3.5, row / 2 - 1))
    best = played.best
    x, y = axes.at(best.ended_s, best.trial + 0.5)
    drawing.circle(x, y, 4, GOLD)
    return str(drawing)


def _from_where_it_was(axes: Axes, run: Run, played: Played, row: float) -> None:
    """Draw the wait since a trial's last attempt, or the way from its parent."""
    before = [each for each in played.runs if each.trial in {run.trial, run.parent} and each.ended_s <= run.began_s]
    if not before:
        return
    last = max(before, key=lambda each: (each.trial == run.trial, each.ended_s))
    x, y = axes.at(run.began_s, run.trial + 0.5)
    since, above = axes.at(last.ended_s, last.trial + 0.5)
    if last.trial == run.trial:
        axes.drawing.line([(since, y), (x, y)], MUTED, width=0.8)
    else:
        axes.drawing.line([(since, above), (x - 3, above + row / 2), (x - 3, y), (x + 2, y)], GOLD, width=1.4)


def _legend(drawing: Drawing, lengths: Sequence[int], *, lost: bool) -> None:
    x = _LEFT + 60
    drawing.text(x, 20, "trained to length", colour=INK)
    x += 96
    for place, length in enumerate(lengths):
        drawing.rect(x, 11, 14, 10, shade(place, len(lengths)), round_=1)
        drawing.text(x + 18, 20, str(length))
        x += 28 + 7 * len(str(length))
    x += 14
    drawing.circle(x, 16, 4, GOLD)
    drawing.text(x + 9, 20, "the best trial")
    if lost:
        x += 100
        drawing.cross(x, 16, 3.5)
        drawing.text(x + 9, 20, "its worker was lost")


def points(title: str, played: Played, best: Mapping[str, float]) -> str:
    """Draw the points of a search over learning rate and dropout, and beside them when each was done and how good it was."""
    drawing = Drawing(_WIDTH, 330, title)
    plane = Axes(drawing, _LEFT, _TOP, 300, 240, (-4, 0), (0, 0.8))
    rates, dropouts = [(power, f"1e{power}") for power in range(-4, 1)], [(share / 10, f"0.{share}") for share in (0, 2, 4, 6, 8)]
    plane.ticks(rates, dropouts, "learning rate", "dropout")
    x, y = plane.at(math.log10(best["learning_rate"]), best["dropout"])
    for above in (0.01, 0.04, 0.09, 0.16):
        # Half axes at which the loss is so much above the best: 4 decades and 0.8 are a unit each.
        across, down = math.sqrt(above) * plane.width, math.sqrt(2 * above) * plane.height
        if x - across >= plane.left and y + down <= plane.top + plane.height and y - down >= plane.top:
            drawing.ellipse(x, y, across, down, GRID if above > 0.05 else "#c8d1da")
    done = sorted((run for run in played.runs if run.metric is not None), key=lambda run: run.trial)
    shades = [shade(place * len(BLUES) // len(done), len(BLUES)) for place in range(len(done))]
    for run, colour in zip(done, shades, strict=True):
        drawing.circle(*plane.at(math.log10(run.hparams["learning_rate"]), run.hparams["dropout"]), 4, colour)
    losses = [run.metric for run in done if run.metric is not None]
    top = max(losses)
    course = Axes(drawing, 410, _TOP, _WIDTH - 410 - _RIGHT, 240, (0, played.took_s), (0.1, math.ceil(top * 10) / 10))
    marks = [(tenth / 10, f"{tenth / 10:g}") for tenth in range(1, math.ceil(top * 10) + 1)]
    course.ticks(hours(played.took_s), marks, "time", "loss")
    _best_so_far(course, done)
    for run, colour in zip(done, shades, strict=True):
        drawing.circle(*course.at(run.ended_s, run.metric or 0), 3, colour)
    for run in played.runs:
        if run.lost:
            drawing.cross(*course.at(run.ended_s, course.y[1]), 3.5)
    _legend_of_points(drawing, lost=any(run.lost for run in played.runs))
    return str(drawing)


def _best_so_far(course: Axes, done: Sequence[Run]) -> None:
    line: list[tuple[float, float]] = []
    least = math.inf
    for run in sorted(done, key=lambda run: run.ended_s):
        if run.metric is not None and run.metric < least:
            if line:
                line.append(course.at(run.ended_s, least))
            least = run.metric
            line.append(course.at(run.ended_s, least))
    line.append(course.at(course.x[1], least))
    course.drawing.line(line, GOLD, width=2)


def _legend_of_points(drawing: Drawing, *, lost: bool) -> None:
    _legend_of_order(drawing, _LEFT + 60)
    drawing.line([(440, 16), (460, 16)], GOLD, width=2)
    drawing.text(466, 20, "the best so far")
    if lost:
        drawing.cross(566, 16, 3.5)
        drawing.text(575, 20, "a worker was lost")


def _legend_of_order(drawing: Drawing, x: float) -> None:
    drawing.text(x, 20, "trials from first", colour=INK)
    for place, colour in enumerate(BLUES):
        drawing.circle(x + 92 + 12 * place, 16, 4, colour)
    drawing.text(x + 156, 20, "to last", colour=INK)


def boundary(
    title: str, played: Played, prop: str, bounds: tuple[float, float], threshold: float, seen: Sequence[tuple[float, float, float]]
) -> str:
    """Draw which values were tested when, with what verdict, and between which two the boundary was known to be."""
    drawing = Drawing(_WIDTH, 330, title)
    axes = Axes(drawing, _LEFT, _TOP, _WIDTH - _LEFT - _RIGHT, 240, (0, played.took_s), bounds)
    low, high = bounds
    axes.ticks(hours(played.took_s), [(value, f"{value:g}") for value in range(int(low), int(high) + 1, 10)], "time", prop)
    steps = [(0.0, low, high), *seen, (played.took_s, *seen[-1][1:])]
    lower, upper = [], []
    for (_, *before), (now_s, *after) in pairwise(steps):
        lower += [axes.at(now_s, before[0]), axes.at(now_s, after[0])]
        upper += [axes.at(now_s, before[1]), axes.at(now_s, after[1])]
    drawing.line([axes.at(0, low), *lower, *reversed(upper), axes.at(0, high)], "none", fill="#eef4fb")
    drawing.line([axes.at(0, threshold), axes.at(played.took_s, threshold)], MUTED, dash="4 3")
    for run in played.runs:
        value = run.hparams[prop]
        x, y = axes.at(run.began_s, value)
        end, _ = axes.at(run.ended_s, value)
        colour = _STOPPED if run.metric is None else _PASSES if run.metric > 0.5 else _FAILS
        drawing.rect(x, y - 2.5, max(end - x - 0.6, 1), 5, colour, round_=1)
    for place, (colour, words) in enumerate(((_PASSES, "passes"), (_FAILS, "fails"), (_STOPPED, "stopped: decided meanwhile"))):
        drawing.rect(_LEFT + 90 + 80 * place, 12, 14, 8, colour, round_=1)
        drawing.text(_LEFT + 109 + 80 * place, 20, words)
    drawing.rect(_LEFT + 430, 11, 14, 10, "#d5e5f7")
    drawing.text(_LEFT + 449, 20, "where the boundary may be")
    return str(drawing)


def front(title: str, pairs: Sequence[tuple[float, float]]) -> str:
    """Draw trials by two metrics, both of them minimised, and those that no other beats in both."""
    drawing = Drawing(_WIDTH, 330, title)
    axes = Axes(drawing, _LEFT, _TOP, _WIDTH - _LEFT - _RIGHT, 240, (0.1, 0.5), (15, 85))
    losses, latencies = [(tenth / 10, f"{tenth / 10:g}") for tenth in range(1, 6)], [(value, str(value)) for value in range(20, 81, 20)]
    axes.ticks(losses, latencies, "loss", "latency, ms")
    best = sorted(pair for pair in pairs if not any(_beats(other, pair) for other in pairs))
    drawing.line([axes.at(*pair) for pair in best], GOLD, width=2)
    for place, pair in enumerate(pairs):
        drawing.circle(*axes.at(*pair), 4, shade(place * len(BLUES) // len(pairs), len(BLUES)), edge=GOLD if pair in best else "white")
    _legend_of_order(drawing, _LEFT + 110)
    drawing.line([(400, 16), (420, 16)], GOLD, width=2)
    drawing.text(426, 20, "those that no other beats in both")
    return str(drawing)


def _beats(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))
