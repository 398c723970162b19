"""What a person sees while searches run: on a terminal a live line for each, elsewhere the same lines from time to time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from shadho_like.engine.jobs import Jobs
from shadho_like.live_lines import LiveLines
from shadho_like.progress import duration

if TYPE_CHECKING:
    from shadho_like.runner.points import Point
    from shadho_like.runner.search_run import SearchRun

_MOST_POINTS = 4


class Display(LiveLines):
    """Shows running searches on standard output; a context manager."""

    def update(self, runs: Sequence[SearchRun], jobs: Jobs) -> None:
        """Show where the searches stand, if it is time to."""
        if self.due:
            self.show("\n".join(" · ".join(parts(run, jobs, len(runs))) for run in runs))


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
