"""Real drivers and workers for whole-run tests: started in a folder, watched through the journal, ended by their own ids."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, ItemsView, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from shadho_like.errors import JournalError
from shadho_like.journal import JournalReader

PATIENCE_S = 300.0
Environment = dict[str, str]


def counts(directory: Path) -> ItemsView[str, int]:
    """Return how many trials are in each state; nothing before there is a journal."""
    with suppress(JournalError), JournalReader(directory) as journal:
        return journal.counts().items()
    return {}.items()


def completed(directory: Path) -> int:
    """Return how many trials are completed."""
    return dict(counts(directory)).get("COMPLETED", 0)


def until(true: Callable[[], bool], what: str, process: subprocess.Popen[str] | None = None) -> None:
    """Wait until something is so; fail when it takes unbearably long, or when the process that should do it ends before."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up_s, f"never came: {what}"
        if process is not None and process.poll() is not None:
            said = process.communicate()[0]
            assert true(), f"it ended with {process.returncode} before {what}:\n{said}"
        time.sleep(0.02)


@contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Give ports that nobody listens on, and that no test beside this one gets while the block runs, from here or from the system."""
    free: list[int] = []
    with ExitStack() as held:
        while len(free) < count:
            port = random.randrange(10_000, 30_000)
            # A name that one process of this machine can have at a time, and that is gone with it.
            name = held.enter_context(socket.socket(socket.AF_UNIX))
            with suppress(OSError):
                name.bind(f"\0shadho_like tests: port {port}")
                socket.create_server(("127.0.0.1", port)).close()
                free.append(port)
        yield free


@contextmanager
def running(command: Sequence[str], folder: Path, environment: Environment) -> Iterator[subprocess.Popen[str]]:
    """Run a process whose output can be read; end it in the end, if it has not ended by itself."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with suppress(ValueError):
            process.communicate()
