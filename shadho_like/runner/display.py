"""What a person sees while searches run: on a terminal a live line for each, elsewhere the same lines from time to time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from shadho_like.engine.jobs import Jobs
from shadho_like.progress import duration, live

if TYPE_CHECKING:
    from rich.live import Live

    from shadho_like.runner.points import Point
    from shadho_like.runner.search_run import SearchRun

_LIVE_S, _PLAIN_S, _FIRST_S = 0.25, 20.0, 2.0
_MOST_POINTS = 4


class Display:
    """Shows running searches on standard output; a context manager."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._due_s = time.monotonic() + _FIRST_S

    def __enter__(self) -> Display:
        if sys.stdout.isatty():
            self._live = live()
        if self._live is not None:
            self._live.start()
            self._due_s = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def patience_s(self, longest_s: float) -> float:
        """Return how long nothing need be shown."""
        return max(0.0, min(longest_s, self._due_s - time.monotonic()))

    def notice(self, text: str) -> None:
        """Print a line, above the live ones where there are any."""
        if self._live is not None:
            self._live.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def update(self, runs: Sequence[SearchRun], jobs: Jobs) -> None:
        """Show where the searches stand, if it is time to."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        lines = [" · ".join(parts(run, jobs, len(runs))) for run in runs]
        if self._live is None:
            self._due_s = now_s + _PLAIN_S
            print("\n".join(lines), flush=True)
        else:
            from rich.text import Text

            self._due_s = now_s + _LIVE_S
            self._live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)


def parts(run: SearchRun, jobs: Jobs, searches: int) -> Iterator[str]:
    """Yield what is to be said of a search: how far it is, the points under test with their slots, jobs, time left."""
    engine, search = run.engine, run.search
    yield f"{search.base_dir}: {search.standing(run.method)}"
    begun = [point for point in engine.points if point.running]
    if begun:
        shown = ", ".join(map(_shown, begun[:_MOST_POINTS]))
        yield f"running {shown}" + (f" and {len(begun) - _MOST_POINTS} more" if len(begun) > _MOST_POINTS else "")
    yield f"{engine.done + engine.found} jobs done" + (f", {engine.failed} failed" if engine.failed else "")
    if engine.done:
        left_s = search.left_s(run.method, engine.done + engine.found, engine.busy_s / engine.done, jobs.slots / searches)
        yield f"about {duration(left_s)} left"


def _shown(point: Point) -> str:
    """Return a point with the devices of its jobs that run: `lr=0.1 (GPU 0, 1)`."""
    values = ", ".join(f"{name}={value}" for name, value in point.attempt.hparams.items())
    devices = sorted({str(device) for _, device in point.running.values() if device is not None})
    slots = f"GPU {', '.join(devices)}" if devices else f"{len(point.running)} running"
    return f"{values} ({slots})" if len(point.jobs) > 1 or devices else values
