"""Runs searches side by side: each is an experiment with a journal of its own, and all share the slots of one place for jobs.

One thread does it all. An experiment's loop gives control back after every pass, so that they take turns here; what all of them
wait for, the end of a job, is waited for in one place.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from os.path import abspath
from typing import Any

from shadho_like import hardware
from shadho_like.configs import Config
from shadho_like.configs.tree import walk
from shadho_like.engine.devices import Devices
from shadho_like.engine.jobs import Jobs
from shadho_like.engine.pool import JobPool
from shadho_like.errors import OptionError, nearest
from shadho_like.interrupts import SignalInterrupts
from shadho_like.runner.codec import Codec
from shadho_like.runner.configs.search_configs import SearchConfig
from shadho_like.runner.display import Display
from shadho_like.runner.plan import Plan
from shadho_like.runner.search import Search
from shadho_like.runner.search_run import SearchRun

_WAKE_S = 1.0
_TOGETHER_S = 0.05
_ENGINES = ("local", "workqueue")


@dataclass(frozen=True, slots=True)
class Options:
    """How searches are run; see `run_binary_searches`.

    Raises:
        OptionError: a value that cannot be.
    """

    max_gpus: int | None = None
    simultaneous_jobs_per_gpu: int | None = None
    fresh: bool = False
    job_timeout: float | None = None
    engine: str = "local"
    workqueue: Mapping[str, Any] | None = None
    codec: Codec | None = None

    def __post_init__(self) -> None:
        if self.engine not in _ENGINES:
            raise OptionError(f"engine: there is no {self.engine!r} for jobs: {nearest(str(self.engine), _ENGINES)}")
        for name, least in (("max_gpus", 0), ("simultaneous_jobs_per_gpu", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise OptionError(f"{name} must be a whole number of at least {least}, not {value!r}")
        timeout = self.job_timeout
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0):
            raise OptionError(f"job_timeout must be a number of seconds above 0, or None for no limit, not {timeout!r}")
        if self.engine == "local" and (self.codec is not None or self.workqueue is not None):
            raise OptionError("workqueue and codec are for engine='workqueue': give that too, or leave them out")


def planned(configs: Sequence[Any], kind: type[SearchConfig], search: Callable[[Plan], Search]) -> list[Search]:
    """Return the searches of some configs, all of which have been checked.

    Raises:
        OptionError: something in one cannot be.
    """
    if isinstance(configs, Config) or not all(isinstance(config, kind) for config in configs):
        raise OptionError(f"configs must be a list of {kind.__name__}, not {configs!r:.200}")
    searches = [search(Plan(config, f"configs[{place}]")) for place, config in enumerate(configs)]
    places: dict[str, str] = {}
    for one in searches:
        other = places.setdefault(abspath(one.base_dir), one.plan.called)
        if other != one.plan.called:
            text = f"{other} and {one.plan.called} share the base_dir {one.base_dir}: give each search a folder of its own"
            raise OptionError(text)
    return searches


def run_searches(searches: Sequence[Search], options: Options) -> list[Any]:
    """Run searches to their ends; return their answers.

    Raises:
        UserError: a search's own code failed; the others have ended well.
        WorldError: the machine, a folder or the cluster refuses; what is done is kept.
        KeyboardInterrupt: the user ended it; what is done is kept.
    """
    if not searches:
        return []
    with ExitStack() as stack:
        interrupts = stack.enter_context(SignalInterrupts())
        display = stack.enter_context(Display())
        jobs = stack.enter_context(closing(jobs_for(searches, options)))
        runs = [stack.enter_context(closing(SearchRun(search, jobs, display.notice, fresh=options.fresh))) for search in searches]
        _run_side_by_side(runs, jobs, interrupts, display)
        done = sum(run.engine.done + run.engine.found for run in runs)
    if interrupts.count + interrupts.terminations and any(run.answer is None and run.error is None for run in runs):
        display.notice(f"interrupted: {done} finished jobs are kept; the same call carries on from there")
        raise KeyboardInterrupt
    for error in (run.error for run in runs if run.error is not None):
        raise error
    return [run.answer.returned for run in runs if run.answer is not None]


def _run_side_by_side(runs: Sequence[SearchRun], jobs: Jobs, interrupts: SignalInterrupts, display: Display) -> None:
    tickets = itertools.count()
    owners: dict[int, SearchRun] = {}
    for run in runs:
        run.step(interrupts)

    def fill(candidates: Sequence[SearchRun]) -> None:
        for run in _starters(candidates, jobs):
            ticket = next(tickets)
            owners[ticket] = run
            run.start_next(ticket)

    stepped_s = time.monotonic()
    while active := [run for run in runs if run.active]:
        fill(active)
        most_s = _TOGETHER_S if any(run.engine.has_news for run in active) else _WAKE_S
        ends = jobs.wait(display.patience_s(most_s), interrupts.fd)
        for end in ends:
            owners.pop(end.ticket).take(end)
        # Jobs that no answer can make needless begin before the disk is waited for.
        fill([run for run in active if run.search.independent or not run.engine.has_news])
        # What quick jobs come to is committed together.
        if ends and time.monotonic() - stepped_s < _TOGETHER_S and _may_wait(active):
            continue
        stepped_s = time.monotonic()
        notices, jobs.notices[:] = list(jobs.notices), []
        for notice in notices:
            display.notice(notice)
        for run in active:
            run.step(interrupts)
        display.update([run for run in runs if run.active], jobs)


def _may_wait(runs: Sequence[SearchRun]) -> bool:
    """Return whether nothing depends on what jobs came to, and others are left to start meanwhile."""
    return all(run.search.independent and run.engine.has_waiting for run in runs)


def _starters(runs: Sequence[SearchRun], jobs: Jobs) -> Iterator[SearchRun]:
    """Yield the search that may start a job, as long as there is a free slot: the one that has fewest, in turns."""
    while jobs.free() > 0 and (able := [run for run in runs if run.active and run.engine.has_waiting]):
        yield min(able, key=lambda run: (run.engine.running, run.last_started))


def jobs_for(searches: Sequence[Search], options: Options) -> Jobs:
    """Return the place where the jobs of searches run.

    Raises:
        WorldError: it cannot be had.
    """
    known = _known(searches)
    if options.engine == "workqueue":
        from shadho_like.runner.workers import WorkerJobs

        first = searches[0]
        return WorkerJobs(
            first.directory / "workqueue",
            first.base_dir.name or first.kind,
            options.workqueue or {},
            known,
            slots=options.max_gpus and options.max_gpus * (options.simultaneous_jobs_per_gpu or 1),
            job_timeout_s=options.job_timeout,
            codec=options.codec,
        )
    pool = JobPool(local_devices(options.max_gpus, options.simultaneous_jobs_per_gpu), options.job_timeout, known)
    pool.notices.append(_said_of(pool.devices))
    pool.warm_up()
    return pool


def local_devices(max_gpus: int | None, simultaneous_jobs_per_gpu: int | None) -> Devices:
    """Return this machine's GPUs, as many as are wanted, each with its slots; without any, the processor with its cores."""
    names = hardware.gpus(os.environ)[:max_gpus]
    return Devices(names, (simultaneous_jobs_per_gpu or 1) if names else hardware.cores())


def _said_of(devices: Devices) -> str:
    """Return where jobs run, in a line."""
    names = [device.name for device in devices if device.name is not None]
    if not names:
        return f"no GPU is to be seen: jobs run on the processor, {devices.slots} at once"
    each = devices.slots // len(names)
    return f"jobs run on GPU {', '.join(names)}, {f'{each} at once on each' if each > 1 else 'one at a time on each'}"


def _known(searches: Sequence[Search]) -> list[Any]:
    """Return what jobs refer to: the searches' configs, and the classes of all configs, which a script may define itself."""
    configs = [search.plan.search for search in searches]
    kinds = {type(part) for config in configs for _, part in walk(config)}
    return [*configs, *kinds]

