"""`GPUScheduler`: jobs on this machine's GPUs for asyncio. Jobs wait here until there is a free slot."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from pathlib import Path
from typing import Any

from shadho_like.engine.jobs import Job, JobEnd
from shadho_like.engine.pool import JobPool
from shadho_like.errors import OptionError, WorldError
from shadho_like.runner.jobs import GPUJobResult
from shadho_like.runner.run import Options, local_devices

_Waiting = tuple[Job, str | None, "asyncio.Future[GPUJobResult]"]


class GPUScheduler:
    """Runs jobs, each in a process of its own that sees one GPU, or none where the machine has none.

    A job is anything that can be pickled and has `run()`; one that says where its output goes has `get_out_file()`, or `out_file`.

    Args:
        max_gpus: how many GPUs to use at most; by default all that `CUDA_VISIBLE_DEVICES` names, or the machine has.
        simultaneous_jobs_per_gpu: how many jobs share a GPU. Without any GPU, as many run at once as there are cores.
        job_timeout: seconds after which a job is killed, and has failed; None for no limit.

    Raises:
        OptionError: a number that cannot be.
    """

    def __init__(self, max_gpus: int | None = None, simultaneous_jobs_per_gpu: int = 1, *, job_timeout: float | None = None) -> None:
        options = Options(max_gpus, simultaneous_jobs_per_gpu, job_timeout=job_timeout)
        self._devices = local_devices(options.max_gpus, options.simultaneous_jobs_per_gpu)
        self._pool = JobPool(self._devices, job_timeout)
        self._tickets = itertools.count()
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[int, _Waiting] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard_fd: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def gpu_ids(self) -> list[str]:
        """The GPUs, as values for `CUDA_VISIBLE_DEVICES`; none for the processor."""
        return [device.name for device in self._devices if device.name is not None]

    async def run_job(self, job: Job) -> GPUJobResult:
        """Run a job as soon as there is a free slot, on the GPU that has least to do; cancelled, the job is killed.

        Raises:
            WorldError: the process that runs the jobs dies again and again.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._forget_loop()
            self._loop = loop
        entry = (job, _out_file(job), loop.create_future())
        self._waiting.append(entry)
        try:
            self._go_on()
            result: GPUJobResult = await entry[2]
        finally:
            self._drop(entry)
        return result

    def _drop(self, entry: _Waiting) -> None:
        """Forget a job whose caller waits for it no more."""
        if entry in self._waiting:
            self._waiting.remove(entry)
        tickets = [ticket for ticket, running in self._running.items() if running is entry]
        if tickets:
            self._pool.end(tickets)
            del self._running[tickets[0]]

    def _go_on(self) -> None:
        """Take in what ended, fill the slots, and see to it that this is called when there is more to do."""
        try:
            for end in self._pool.advance():
                self._finish(end)
            while self._waiting and self._pool.free() > 0:
                self._start(self._waiting.popleft())
        except WorldError as error:
            for _, _, future in (*self._waiting, *self._running.values()):
                if not future.done():
                    future.set_exception(error)
        for notice in self._pool.notices:
            print(notice, flush=True)
        self._pool.notices.clear()
        self._listen()

    def _start(self, entry: _Waiting) -> None:
        job, out_file, _ = entry
        ticket = next(self._tickets)
        self._running[ticket] = entry
        self._pool.start(ticket, job, None if out_file is None else Path(out_file))

    def _finish(self, end: JobEnd) -> None:
        job, out_file, future = self._running.pop(end.ticket)
        if not future.done():
            future.set_result(GPUJobResult.of(job, end, out_file))

    def _listen(self) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pool.fd != self._heard_fd:
            if self._heard_fd is not None:
                self._loop.remove_reader(self._heard_fd)
            if self._pool.fd is not None:
                self._loop.add_reader(self._pool.fd, self._go_on)
            self._heard_fd = self._pool.fd
        if (wait_s := self._pool.due_s() - self._pool.now()) < float("inf"):
            self._timer = self._loop.call_later(max(0.0, wait_s), self._go_on)

    def _forget_loop(self) -> None:
        """Let go of a loop that is over: a scheduler may outlive it."""
        if self._loop is not None and not self._loop.is_closed() and self._heard_fd is not None:
            self._loop.remove_reader(self._heard_fd)
        self._heard_fd = self._timer = None

    def shutdown(self) -> None:
        """Kill what runs, and leave no process. May be called twice."""
        self._forget_loop()
        self._pool.close()

    def __enter__(self) -> GPUScheduler:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def __del__(self) -> None:
        # A constructor that raised made no pool.
        if hasattr(self, "_pool"):
            self._pool.close()


def _out_file(job: Any) -> str | None:
    """Return where a job says that its output goes.

    Raises:
        OptionError: it cannot run at all.
    """
    if not callable(getattr(job, "run", None)):
        raise OptionError(f"a job needs a method run, and {job!r:.100} has none")
    told = getattr(job, "get_out_file", None)
    path = told() if callable(told) else getattr(job, "out_file", None)
    return None if path is None else str(path)
