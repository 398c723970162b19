"""Jobs that do what no job should, and families of processes that do not want to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadho_like import hardware


@dataclass
class Call:
    """A job that calls a function."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()

    def run(self) -> Any:
        return self.function(*self.arguments)


def fail(kind: int) -> Any:
    if kind == 1:
        print("about to raise")
        raise ValueError("no such thing")
    if kind == 2:
        import ctypes

        ctypes.string_at(0)
    if kind == 3:
        os._exit(7)
    if kind == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == 5:
        print("about to hang", flush=True)
        signal.pause()
    if kind == 6:
        for _ in range(100):
            print("x" * (1024 * 1024 - 1))
    if kind == 7:
        sys.exit("enough")
    if kind == 8:
        os.system("echo of a child; printf 'of no line'")
    return kind


def visible() -> str | None:
    return os.environ.get(hardware.VISIBLE)


def end_of(process: int) -> bool:
    """Return whether a process has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def start_family(out: str) -> None:
    """Start a child in a session of its own, whose child goes on too; tell their ids, and wait for ever."""
    script = "import os,sys,time; os.fork(); os.setsid() if os.getpid() != os.getpgid(0) else 0; print(os.getpid(), flush=True); time.sleep(1000)"
    with open(out, "w", encoding="ascii") as file:
        subprocess.Popen([sys.executable, "-c", script], stdout=file)
    print(os.getpid(), flush=True)
    time.sleep(1000)


def family(tmp_path: Path) -> list[int]:
    texts = [(tmp_path / name).read_text(encoding="ascii") if (tmp_path / name).exists() else "" for name in ("log", "children")]
    return [int(word) for text in texts for word in text.split()]


def needs_all(folder: str, first: int) -> None:
    """Hold something for a moment that only one can hold; of the first ones, one holds it until all of them have tried."""
    held, tried = Path(folder, "held"), Path(folder, "tried")
    try:
        held.mkdir()
    except FileExistsError:
        raise RuntimeError("CUDA out of memory") from None
    finally:
        (tried / str(os.getpid())).touch()
    give_up_s = time.monotonic() + 300
    while len(os.listdir(tried)) < first:
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
    time.sleep(0.1)
    held.rmdir()
