"""The engine of one search among several: an attempt is a point, whose jobs go to slots that all searches share.

It never waits itself: whoever runs the searches waits for the jobs of all of them, and hands each engine its own.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from shadho_like.engine.base import EngineStatus, Launch, Update
from shadho_like.engine.jobs import JobEnd, Jobs
from shadho_like.events import AttemptFinished, AttemptStarted
from shadho_like.resources import Capacity
from shadho_like.runner.jobs import ExperimentJob, GPUJobResult
from shadho_like.runner.kept_results import keep, kept
from shadho_like.runner.search import Search
from shadho_like.trial import Attempt, AttemptId

_ROOM = 256
_SHORT_S = 0.1


@dataclass(slots=True)
class Point:
    """An attempt under way: its jobs, those that wait and run by their places, and the results so far.

    Attributes:
        running: (place, device) of each job that runs, by its ticket.
    """

    attempt: Attempt
    jobs: Sequence[ExperimentJob]
    waiting: deque[int]
    results: dict[int, GPUJobResult]
    running: dict[int, tuple[int, str | None]] = field(default_factory=dict)
    started_s: float = 0.0
    told: bool = False

    @property
    def begun(self) -> bool:
        """Whether a job of it runs, or has in this run of the driver or an earlier one."""
        return bool(self.running or self.results)


class PointsEngine:
    """Runs the points of one search.

    Args:
        search: whose points.
        jobs: where jobs run.
        since_s: results from before this time do not count.

    Attributes:
        delivered: whether the last `wait` returned anything.
        done, found: how many jobs ended in this run, and how many had ended before.
        failed: how many of both failed.
        busy_s: seconds that the jobs which ended in this run took together.
    """

    asks: ClassVar[bool] = False

    def __init__(self, search: Search, jobs: Jobs, since_s: float) -> None:
        self.delivered = False
        self.done = self.found = self.failed = 0
        self.busy_s = 0.0
        self._search = search
        self._jobs = jobs
        self._since_s = since_s
        self._points: dict[AttemptId, Point] = {}
        self._updates: list[Update] = []
        self._host = socket.gethostname()

    def open(self, launch: Launch) -> None:
        """Do nothing: the jobs' processes are there, or start with the first job."""

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._jobs.now()

    def room(self) -> int:
        """Return how many more attempts are wanted now."""
        return _ROOM - len(self._points)

    def classes(self) -> Sequence[Capacity]:
        """Return nothing: all jobs are alike."""
        return ()

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Take attempts over; one whose jobs have all finished before is finished at once.

        Raises:
            UserError: the search's config makes no job of one, or `agg_results` failed.
        """
        for attempt in attempts:
            jobs = self._search.jobs(attempt.hparams)
            results = {place: result for place, job in enumerate(jobs) if (result := self.kept(job)) is not None}
            waiting = deque(place for place in range(len(jobs)) if place not in results)
            self.found += len(results)
            self.failed += sum(not result.success for result in results.values())
            point = self._points[attempt.id] = Point(attempt, jobs, waiting, results)
            if results:
                point.started_s = self.now()
            self._finish_if_complete(point)

    def kept(self, job: ExperimentJob) -> GPUJobResult | None:
        """Return what became of a job that has finished."""
        return kept(job, self._since_s)

    def ask(self, attempts: Sequence[AttemptId]) -> None:
        """Do nothing: a job cannot be asked."""

    def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Kill these attempts' jobs."""
        gone = [point for attempt in attempts if (point := self._points.pop(attempt, None))]
        self._jobs.end([ticket for point in gone for ticket in point.running])
        self._updates = [update for update in self._updates if getattr(update, "attempt", None) not in attempts]

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[Update]:
        """Return what happened, without waiting."""
        updates, self._updates = self._updates, []
        for point in self._points.values():
            # A point that is over in no time is told of once.
            if point.begun and not point.told and self.now() - point.started_s >= _SHORT_S:
                point.told = True
                updates.append(AttemptStarted(point.started_s, point.attempt.id, self._host))
        self.delivered = bool(updates)
        return updates

    def status(self) -> EngineStatus:
        """Return the slots, which other searches share."""
        return EngineStatus(None, self._jobs.slots)

    def close(self) -> None:
        """Kill what runs."""
        self.cancel(list(self._points))

    @property
    def has_news(self) -> bool:
        """Whether `wait` has anything to return."""
        return bool(self._updates)

    @property
    def points(self) -> Collection[Point]:
        """The points that wait or run."""
        return self._points.values()

    @property
    def running(self) -> int:
        """How many jobs run."""
        return sum(len(point.running) for point in self._points.values())

    @property
    def has_waiting(self) -> bool:
        """Whether a job could be started."""
        return any(point.waiting for point in self._points.values())

    def start_next(self, ticket: int) -> None:
        """Start the job that is next, one of a point that has begun if there is one.

        Raises:
            EngineError: jobs cannot be run any more.
        """
        able = [point for point in self._points.values() if point.waiting]
        point = next((point for point in able if point.begun), None)
        if point is None:
            running = [point.attempt.hparams for point in self._points.values() if point.begun]
            point = able[self._search.next_point([point.attempt.hparams for point in able], running)]
            point.started_s = self.now()
        place = point.waiting.popleft()
        job = point.jobs[place]
        point.running[ticket] = place, self._jobs.start(ticket, job, Path(job.get_out_file()))

    def take(self, end: JobEnd) -> None:
        """Take in the end of one of its jobs, whose result is kept before anything follows from it.

        Raises:
            UserError: `agg_results` failed.
            WorldError: the result cannot be kept.
        """
        point = next((point for point in self._points.values() if end.ticket in point.running), None)
        if point is None:
            return
        place, _ = point.running.pop(end.ticket)
        job = point.jobs[place]
        result = GPUJobResult.of(job, end, job.get_out_file())
        keep(job, result, end)
        self.done += 1
        self.failed += not result.success
        self.busy_s += end.finished_s - end.started_s
        point.results[place] = result
        self._finish_if_complete(point)

    def _finish_if_complete(self, point: Point) -> None:
        if len(point.results) < len(point.jobs):
            return
        results = [point.results[place] for place in range(len(point.jobs))]
        outcome = self._search.outcome(point.attempt.hparams, results)
        del self._points[point.attempt.id]
        self._updates.append(AttemptFinished(self.now(), point.attempt.id, point.started_s, self._host, outcome))
