"""Jobs in processes of their own: what became of each is told truly, whatever it does, and nothing is left of it."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.processes import until
from hypothesis import given
from hypothesis import strategies as st
from wild_jobs import Call, end_of, fail, family, needs_all, start_family, visible

from shadho_like.engine.devices import Devices
from shadho_like.engine.jobs import JobEnd
from shadho_like.engine.pool import JobPool
from shadho_like.errors import EngineError
from shadho_like.trial import FailureKind


def all_ends(pool: JobPool, jobs: dict[int, tuple[Any, Path | None]]) -> dict[int, JobEnd]:
    """Run jobs, each as soon as there is room."""
    waiting = list(jobs.items())
    ends: dict[int, JobEnd] = {}
    while len(ends) < len(jobs):
        while waiting and pool.free():
            ticket, (job, log) = waiting.pop(0)
            pool.start(ticket, job, log)
        for end in pool.wait(60):
            assert end.ticket not in ends
            ends[end.ticket] = end
    return ends


def one_end(job: Any, log: Path | None = None, **keys: Any) -> JobEnd:
    with closing(JobPool(Devices((), 1), **keys)) as pool:
        return all_ends(pool, {0: (job, log)})[0]


LIMIT_S = 3000


class Hurried(JobPool):
    """A pool whose clock jumps, past what a job may take, when all that it runs hangs: no other job is ever too slow for it."""

    def __init__(self, slots: int, hanging: Collection[Path]) -> None:
        super().__init__(Devices((), slots), LIMIT_S)
        self.hanging, self.ahead_s = set(hanging), 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s

    def wait(self, timeout_s: float, wake_fd: int | None = None) -> list[JobEnd]:
        while not (ends := super().wait(0.05, wake_fd)):
            hang = {log for log in self.hanging if log.exists() and log.read_text() == "about to hang\n"}
            if len(hang) == self.devices.slots - self.free():
                self.hanging -= hang
                self.ahead_s += LIMIT_S
        return ends


REASONS = {
    1: (FailureKind.ERROR, "ValueError: no such thing"),
    2: (FailureKind.SIGNAL, "killed by SIGSEGV"),
    3: (FailureKind.EXIT_CODE, "exited with status 7"),
    4: (FailureKind.SIGNAL, "killed by SIGKILL"),
    5: (FailureKind.TIME_LIMIT, "ran longer than the 3000 s that a job may"),
    7: (FailureKind.EXIT_CODE, "exited with status 1"),
}


@pytest.mark.usefixtures("nobody_short_of_memory")
def test_two_hundred_jobs_of_which_many_go_wrong(tmp_path: Path) -> None:
    # Each of the wild kinds ten times, but what takes long or much room less often.
    kinds = {number: number // 10 % 10 for number in range(200)}
    kinds |= {number: 0 for number, kind in kinds.items() if kind in {5, 6} and number % 10 > 1}
    logs = {number: tmp_path / str(number) / "experiment_output.log" for number in kinds}
    with closing(Hurried(4, [logs[number] for number, kind in kinds.items() if kind == 5])) as pool:
        ends = all_ends(pool, {number: (Call(fail, (kind,)), logs[number]) for number, kind in kinds.items()})
    for number, kind in kinds.items():
        end = ends[number]
        said = (end.failure.kind, end.failure.message) if end.failure else None
        assert said == REASONS.get(kind), f"job {number}: {end}"
        assert end.value == (None if kind in REASONS else kind)
        if kind == 6:
            assert logs[number].stat().st_size == 100 * 1024 * 1024
    by_kind = {kind: ends[number].failure for number, kind in kinds.items()}
    assert "about to raise" in by_kind[1].log_tail  # type: ignore[union-attr]
    assert by_kind[1].log_tail.endswith("ValueError: no such thing")  # type: ignore[union-attr]
    assert by_kind[5].log_tail == "about to hang"  # type: ignore[union-attr]
    assert by_kind[7].log_tail == "enough"  # type: ignore[union-attr]
    assert logs[next(number for number, kind in kinds.items() if kind == 8)].read_text() == "of a child\nof no line"


def test_a_slot_sees_its_device_and_jobs_are_spread_evenly() -> None:
    with closing(JobPool(Devices(("0", "GPU-ab", "MIG-1/2/3"), 2))) as pool:
        devices = [pool.start(ticket, Call(visible)) for ticket in range(6)]
        assert pool.free() == 0
        with pytest.raises(EngineError, match="every device is full"):
            pool.start(6, Call(fail, (0,)))
        ends: dict[int, JobEnd] = {}
        while len(ends) < 6:
            ends |= {end.ticket: end for end in pool.wait(60)}
    assert devices == ["0", "GPU-ab", "MIG-1/2/3"] * 2
    assert [ends[ticket].value for ticket in range(6)] == [ends[ticket].device for ticket in range(6)] == devices


def test_a_job_that_is_ended_takes_its_children_along(tmp_path: Path) -> None:
    with closing(JobPool(Devices((), 1))) as pool:
        pool.start(0, Call(start_family, (str(tmp_path / "children"),)), tmp_path / "log")
        until(lambda: len(family(tmp_path)) == 3, "three processes")
        pool.end([0])
        while not pool.free():
            assert pool.wait(0.05) == []
        assert all(map(end_of, family(tmp_path)))


DRIVER = """
import signal, sys
from pathlib import Path
from wild_jobs import Call, start_family
from shadho_like.engine.devices import Devices
from shadho_like.engine.pool import JobPool

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background, which ignores it
pool = JobPool(Devices((), 1))
pool.start(0, Call(start_family, (sys.argv[1] + "/children",)), Path(sys.argv[1], "log"))
pool.wait(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_jobs_die_with_the_driver_and_their_children_too(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], env=environment, stderr=subprocess.DEVNULL)
    until(lambda: len(family(tmp_path)) == 3, "three processes")
    driver.send_signal(number)
    driver.wait()
    until(lambda: all(map(end_of, family(tmp_path))), "the end of all processes")


def kill_grandparent(path: str) -> int:
    """Kill the process that runs the jobs, the first time."""
    with Path(path).open("a", encoding="ascii") as file:
        file.write("ran\n")
    if Path(path).read_text(encoding="ascii").count("ran") == 1:
        keeper = os.getppid()
        warm = int(Path(f"/proc/{keeper}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
        os.kill(warm, signal.SIGKILL)
        time.sleep(1000)
    return 5


def test_the_death_of_the_process_that_runs_the_jobs_costs_none(tmp_path: Path) -> None:
    end = one_end(Call(kill_grandparent, (str(tmp_path / "ran"),)))
    assert (end.value, end.failure) == (5, None)


class Grows:
    """Something that takes all memory of a GPU that it does not have for itself."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number

    def run(self) -> int:
        mine = self.folder / f"{self.number}.{os.getpid()}"
        mine.touch()
        give_up_s = time.monotonic() + 300
        while self.number < 2 and len(list(self.folder.glob("*"))) < 2 and not (self.folder.parent / "retry").exists():
            assert time.monotonic() < give_up_s
            time.sleep(0.01)
        others = [path for path in self.folder.glob("*") if path != mine]
        if others:
            (self.folder.parent / "retry").touch()
            mine.unlink()
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        mine.unlink()
        return self.number


def test_out_of_memory_on_a_shared_gpu_is_tried_again_alone(tmp_path: Path) -> None:
    (tmp_path / "on").mkdir()
    with closing(JobPool(Devices(("0",), 2))) as pool:
        ends = all_ends(pool, {number: (Grows(tmp_path / "on", number), tmp_path / f"{number}.log") for number in range(2)})
        assert {ticket: end.value for ticket, end in ends.items()} == {0: 0, 1: 1}
        assert 1 <= len(pool.notices) <= 2
        assert not any(device.alone for device in pool.devices)
        assert all("out of memory on GPU 0, which other jobs use too" in notice for notice in pool.notices)
        assert pool.free() == 2


def test_jobs_that_are_to_be_alone_on_one_gpu_take_turns(tmp_path: Path) -> None:
    (tmp_path / "tried").mkdir()
    with closing(JobPool(Devices(("0",), 4))) as pool:
        ends = all_ends(pool, {number: (Call(needs_all, (str(tmp_path), 4)), None) for number in range(9)})
        assert [end.failure for end in ends.values()] == [None] * 9
        assert len(pool.notices) >= 3
        assert pool.free() == 4


def test_out_of_memory_alone_is_a_failure() -> None:
    def full() -> None:
        raise MemoryError("all of it")

    with closing(JobPool(Devices(("0",), 1))) as pool:
        end = all_ends(pool, {0: (Call(full), None)})[0]
    assert end.failure is not None
    assert (end.failure.kind, end.failure.message) == (FailureKind.OUT_OF_MEMORY, "MemoryError: all of it")


def test_what_cannot_cross(tmp_path: Path) -> None:
    def returns_lock() -> Any:
        return threading.Lock()

    end = one_end(Call(returns_lock))
    assert end.failure is not None
    assert end.failure.message.startswith("the lock that it returned cannot be sent back: TypeError: cannot pickle")
    end = one_end(Call(print, (threading.Lock(),)))
    assert end.failure is not None
    assert end.failure.message.startswith("it cannot be sent to another process: TypeError")
    (tmp_path / "file").touch()
    end = one_end(Call(print), tmp_path / "file" / "log")
    assert end.failure is not None
    assert "cannot be written" in end.failure.message


class Unloadable:
    """Something that other processes cannot load."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (only_here, (os.getpid(),))


def only_here(pid: int) -> Unloadable:
    if pid != os.getpid():
        raise RuntimeError("this lives elsewhere")
    return Unloadable()


class Touches:
    """Something that starts a thread where it is loaded, as an open accelerator would."""

    def __setstate__(self, _: Any) -> None:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


@pytest.fixture
def another_thread() -> Iterator[None]:
    """A thread, with which no copy of this process can be made."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.usefixtures("another_thread")
def test_where_this_process_cannot_be_copied_a_new_one_is(tmp_path: Path) -> None:
    with closing(JobPool(Devices(("5",), 2), known=(Call,))) as pool:
        ends = all_ends(pool, {0: (Call(visible), None), 1: (Call(fail, (1,)), tmp_path / "log"), 2: (Call(fail, (8,)), None)})
    assert [ends[number].value for number in range(3)] == ["5", None, 8]
    assert (tmp_path / "log").read_text(encoding="utf-8").splitlines()[0] == "about to raise"


@pytest.mark.usefixtures("another_thread")
def test_a_new_process_that_would_not_survive_a_fork_is_not_forked() -> None:
    end = one_end(Call(fail, (0,)), known=(Touches(),))
    assert (end.value, end.failure) == (0, None)


@pytest.mark.usefixtures("another_thread")
def test_what_cannot_be_loaded_is_each_jobs_failure() -> None:
    end = one_end(Call(fail, (0,)), known=(Unloadable(),))
    assert end.failure is not None
    assert end.failure.message == "RuntimeError: this lives elsewhere"


def draw() -> list[float]:
    import random

    import numpy as np

    return [random.random(), float(np.random.random())]  # noqa: NPY002 - as old code does


def test_jobs_draw_different_numbers() -> None:
    import numpy as np

    with closing(JobPool(Devices((), 2), known=(np.random.mtrand,))) as pool:
        ends = all_ends(pool, {number: (Call(draw), None) for number in range(6)})
    assert len({end.value[0] for end in ends.values()}) == len({end.value[1] for end in ends.values()}) == 6


@pytest.fixture
def devices() -> Devices:
    return Devices(("a", "b"), 2)


def test_a_reserved_device_takes_nobody_else(devices: Devices) -> None:
    first, second = devices.take(), devices.take()
    assert first is not None
    assert second is not None
    assert (first.name, second.name) == ("a", "b")
    alone = devices.reserve()
    assert alone is first
    assert devices.free() == 1
    assert not devices.take_reserved(first)
    devices.give_back(first)
    assert devices.take_reserved(first)
    assert devices.free() == 1
    devices.give_back(first)
    devices.open(first)
    assert devices.free() == 3


@given(names=st.integers(1, 5), slots=st.integers(1, 4), steps=st.lists(st.booleans(), max_size=60))
def test_the_least_loaded_device_is_next(names: int, slots: int, steps: list[bool]) -> None:
    devices = Devices([str(name) for name in range(names)], slots)
    held = []
    for take in steps:
        if take and devices.free():
            least = min(device.running for device in devices)
            device = devices.take()
            assert device is not None
            assert device.running == least + 1
            held.append(device)
        elif held:
            devices.give_back(held.pop(len(held) // 2))
        assert devices.free() == names * slots - len(held)
        assert all(device.running <= slots for device in devices)


PARALLEL = """
import sys
import numpy as np
from sklearn.cluster import KMeans
from runner_jobs import all_ends, Call
from shadho_like.engine.devices import Devices
from shadho_like.engine.pool import JobPool

def fit():
    return float(KMeans(3, n_init=1, random_state=0).fit(np.random.default_rng(0).normal(size=(5000, 4))).inertia_)

if sys.argv[1] == "first":
    fit()
pool = JobPool(Devices((), 2), 800)
print(len({end.value for end in all_ends(pool, {number: (Call(fit), None) for number in range(4)}).values()} - {None}))
pool.close()
"""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", ["first", "later"])
def test_parallel_loops_work_in_jobs_whatever_the_driver_did_before(tmp_path: Path, first: str) -> None:
    helpers = "from wild_jobs import Call\n\n\n" + inspect.getsource(all_ends)
    (tmp_path / "runner_jobs.py").write_text(f"from __future__ import annotations\n{helpers}", encoding="utf-8")
    (tmp_path / "script.py").write_text(PARALLEL, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "script.py", first]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


LEAVES = """
import atexit, os, sys, tempfile
from wild_jobs import Call
from shadho_like.engine.devices import Devices
from shadho_like.engine.pool import JobPool

atexit.register(print, "the end of", os.getpid())
folder = tempfile.TemporaryDirectory()
print("begun", end=" ")
pool = JobPool(Devices((), 1))
pool.start(0, Call(os.path.isdir, (folder.name,)), None)
[end] = pool.wait(1000)
pool.close()
print(end.value, os.path.isdir(folder.name), os.getpid())
"""


def test_what_the_driver_does_at_its_end_no_job_does(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", LEAVES], env=environment, capture_output=True, text=True, check=True)
    said, pid = done.stdout.split("\n")[0].rsplit(" ", 1)
    assert (said, done.stdout.split("\n")[1:]) == ("begun True True", [f"the end of {pid}", ""])


FORGETS_SIGNALS = """
import os, signal
from wild_jobs import Call
from shadho_like.engine.devices import Devices
from shadho_like.engine.pool import JobPool

os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
pool = JobPool(Devices((), 1))
for ticket in range(2):
    pool.start(ticket, Call(os.path.isdir, ("/",)), None)
    [end] = pool.wait(1000)
    print(end.value, end.failure)
pool.close()
"""


def test_a_driver_whose_copies_forget_signals_as_asyncio_has_them_do_runs_jobs() -> None:
    """Since Python 3.12 a program that has loaded asyncio, as notebooks and much else do, does what this driver does."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", FORGETS_SIGNALS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True None\nTrue None\n"
