"""One keeper runs many tasks: nothing of one is felt by the next, and what is ordered about one never hits another."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cluster import children
from e2e.processes import until

from shadho_like.engine.supervision import Ended, Supervision, Task

ALLOCATE = "import sys; data = b'x' * (int(sys.argv[1]) << 20)"


@pytest.fixture
def supervision() -> Iterator[Supervision]:
    supervision = Supervision()
    yield supervision
    supervision.close()


def shell(number: int, folder: Path, command: str) -> Task:
    return Task(id=number, argv=("/bin/sh", "-c", command), folder=str(folder), log=str(folder / f"{number}.log"))


@pytest.fixture
def many_files() -> Iterator[list[int]]:
    """More open files than `select` has numbers for."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 4096:
        pytest.skip("this machine does not allow 4096 open files: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 4096), before[1]))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield opened
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def ends(supervision: Supervision, count: int = 1) -> dict[int, Ended]:
    """Return the next ends that are reported."""
    told: list[Ended] = []
    while len(told) < count:
        heard = select.poll()
        heard.register(supervision.fd, select.POLLIN)
        assert heard.poll(120_000)
        told += supervision.read()
        assert supervision.alive
    assert len(told) == count
    return {end.task: end for end in told}


def keeper_of(supervision: Supervision, folder: Path, number: int) -> int:
    """Run a task; return the process that kept it."""
    supervision.run(shell(number, folder, "echo $PPID"))
    assert ends(supervision)[number].status == 0
    return int((folder / f"{number}.log").read_text())


def test_a_keeper_takes_the_next_task_and_there_are_as_many_as_run_at_once(supervision: Supervision, tmp_path: Path) -> None:
    assert len({keeper_of(supervision, tmp_path, number) for number in range(3)}) == 1
    for number in (3, 4):
        supervision.run(shell(number, tmp_path, "echo $PPID; while [ ! -e gate ]; do sleep 0.05; done"))
    until(lambda: all((tmp_path / f"{number}.log").is_file() and (tmp_path / f"{number}.log").read_text() for number in (3, 4)), "both")
    (tmp_path / "gate").touch()
    both = ends(supervision, 2)
    assert [both[number].status for number in (3, 4)] == [0, 0]
    keepers = {int((tmp_path / f"{number}.log").read_text()) for number in (3, 4)}
    assert len(keepers) == 2
    assert keeper_of(supervision, tmp_path, 5) in keepers


def test_whoever_kills_the_process_that_removes_folders_ends_no_task(supervision: Supervision, tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    supervision.run(shell(0, tmp_path, "cut -d ' ' -f 4 /proc/$PPID/stat; echo $PPID; while [ ! -e gate ]; do sleep 0.05; done"))
    until(lambda: log.is_file() and log.read_text().count("\n") == 2, "the task")
    supervisor, keeper = map(int, log.read_text().split())

    def remove_and_kill(folder: Path) -> None:
        folder.mkdir()
        supervision.remove(folder)
        until(lambda: not folder.exists(), "the removal")
        [remover] = set(children(supervisor)) - {keeper}
        os.kill(remover, signal.SIGKILL)
        until(lambda: remover not in children(supervisor), "its end")

    for number in range(3):
        remove_and_kill(tmp_path / f"folder {number}")
    (tmp_path / "gate").touch()
    assert ends(supervision)[0].status == 0


def test_the_largest_process_is_that_of_the_task(supervision: Supervision, tmp_path: Path) -> None:
    peaks = []
    for number, megabytes in enumerate((1, 200, 1)):
        argv = (sys.executable, "-c", ALLOCATE, str(megabytes))
        supervision.run(Task(id=number, argv=argv, folder=str(tmp_path), log=os.devnull))
        peaks.append(ends(supervision)[number].peak_bytes >> 20)
    assert peaks[1] >= 200
    assert 0 < peaks[0] < 100
    assert 0 < peaks[2] < 100


@pytest.mark.parametrize("order", ["end", "ask"])
def test_an_order_that_comes_too_late_does_not_hit_the_next_task(supervision: Supervision, tmp_path: Path, order: str) -> None:
    """The order crosses the report of the task's end, at one time or another, and the next task is there at once."""
    for number in range(0, 100, 2):
        supervision.run(shell(number, tmp_path, ":"))
        while not select.select([supervision.fd], [], [], number * 1e-4)[0]:
            getattr(supervision, order)(number)
        getattr(supervision, order)(number)
        supervision.run(shell(number + 1, tmp_path, "echo whole"))
        both = ends(supervision, 2)
        assert both[number + 1].status == 0
        assert (tmp_path / f"{number + 1}.log").read_text() == "whole\n"


@pytest.mark.parametrize("order", ["end", "ask"])
def test_an_order_that_comes_with_its_task_ends_it(supervision: Supervision, tmp_path: Path, order: str) -> None:
    """A keeper that wakes up late finds both."""
    keeper = keeper_of(supervision, tmp_path, 0)
    os.kill(keeper, signal.SIGSTOP)
    supervision.run(shell(1, tmp_path, "sleep 1000"))
    getattr(supervision, order)(1)
    supervision.run(shell(2, tmp_path, ":"))
    assert ends(supervision)[2].status == 0
    os.kill(keeper, signal.SIGCONT)
    assert ends(supervision)[1].status != 0


def test_an_idle_keeper_sleeps_and_holds_nothing_of_a_task(supervision: Supervision, tmp_path: Path) -> None:
    keeper = keeper_of(supervision, tmp_path, 0)
    files = sorted(os.listdir(f"/proc/{keeper}/fd"))
    with tempfile.TemporaryFile() as file:
        task = shell(1, tmp_path, "cd /; exec 5< /dev/null; (setsid sleep 1000 &) ; echo done")
        supervision.run(task, (file.fileno(), file.fileno()))
        assert ends(supervision)[1].status == 0
    assert sorted(os.listdir(f"/proc/{keeper}/fd")) == files
    assert Path(f"/proc/{keeper}/task/{keeper}/children").read_text() == ""
    until(lambda: Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()[0] == "S", "the keeper's sleep")


def test_a_task_whose_folder_cannot_be_made_says_so_and_the_next_runs(supervision: Supervision, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    keeper = keeper_of(supervision, tmp_path, 0)
    supervision.run(replace(shell(1, tmp_path / "file" / "folder", ":"), make_folder=True))
    end = ends(supervision)[1]
    assert (end.status, end.broken.startswith("[Errno 20] Not a directory")) == (None, True)
    assert keeper_of(supervision, tmp_path, 2) == keeper


def test_an_idle_keeper_that_is_killed_is_replaced(supervision: Supervision, tmp_path: Path) -> None:
    keeper = keeper_of(supervision, tmp_path, 0)
    for number, how in enumerate((signal.SIGKILL, signal.SIGTERM), 1):
        os.kill(keeper, how)
        until(lambda: not Path(f"/proc/{keeper}").exists(), "its end")  # noqa: B023
        fresh = keeper_of(supervision, tmp_path, number)
        assert fresh != keeper
        keeper = fresh


def test_a_keeper_that_takes_no_whole_task_is_replaced(supervision: Supervision, tmp_path: Path) -> None:
    """It is stopped, and the task is more than its socket holds."""
    keeper = keeper_of(supervision, tmp_path, 0)
    os.kill(keeper, signal.SIGSTOP)
    text = "x" * 4_000_000
    supervision.run(replace(shell(1, tmp_path, "wc -c < large"), files={"large": text}))
    assert ends(supervision)[1].status == 0
    assert (tmp_path / "1.log").read_text().split() == [str(len(text))]
    until(lambda: not Path(f"/proc/{keeper}").exists(), "the end of the one that was stopped")


def test_a_keeper_that_is_told_to_end_ends_its_task_and_itself(supervision: Supervision, tmp_path: Path) -> None:
    supervision.run(shell(0, tmp_path, "(setsid sleep 1000 & echo $!); echo $PPID; sleep 1000"))
    until(lambda: (tmp_path / "0.log").is_file() and len((tmp_path / "0.log").read_text().split()) == 2, "its processes")
    orphan, keeper = map(int, (tmp_path / "0.log").read_text().split())
    os.kill(keeper, signal.SIGTERM)
    assert ends(supervision)[0].status is None
    until(lambda: not Path(f"/proc/{keeper}").exists(), "the keeper's end")
    assert not Path(f"/proc/{orphan}").exists()


def test_a_thousand_open_files_are_not_too_many(many_files: list[int], tmp_path: Path) -> None:
    supervision = Supervision(descriptors=many_files)
    for number in range(2):
        supervision.run(shell(number, tmp_path, "exit 3"))
        assert ends(supervision)[number].status == 3
    supervision.run(shell(2, tmp_path, "exec sleep 1000"))
    supervision.end(2)
    assert ends(supervision)[2].status is None
    supervision.close()
