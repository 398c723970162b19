"""The processes of one trial among each other, as `torchrun` starts them on one machine; or the one process that is all of them.

Standard library and Python 3.8 only. Rank 0 listens on the loopback interface, with a key that only this user can read.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, Mapping

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_MEETING_FILE = ".shadho_distributed-{run}.json"
_GONE = "rank {rank} of this trial has ended before this one; if it failed, its error is in the log"
_SAME_CALLS = "every process of a trial has to make the same calls, in the same order"
_PAUSE_S = 0.05
_PATIENCE_S = 300.0
_WORD_S = 60.0
_SOON_S = 10.0


class Distributed:
    """This process among those of its trial. All of them make the same calls, in the same order; RuntimeError says whose end came first.

    Attributes:
        rank: this process's, from 0; only rank 0 reports and saves checkpoints.
        size: how many there are.
        local_rank: the same as `rank`, as all are on one machine.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, folder: str | None = None) -> None:
        """Take rank and size from what `torchrun` set; meet the others when they are first needed.

        Raises:
            RuntimeError: they are on several machines.
        """
        env = os.environ if environment is None else environment
        self.rank = self.local_rank = int(env.get("RANK", "0")) if "WORLD_SIZE" in env else 0
        self.size = int(env.get("WORLD_SIZE", "1"))
        if int(env.get("LOCAL_WORLD_SIZE", self.size)) != self.size:
            message = f"context.distributed works among the processes of one machine, not all of these {self.size}"
            raise RuntimeError(message)
        run = "-".join(env.get(name, "0") for name in ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_PORT"))
        name = "".join(letter if letter.isalnum() else "-" for letter in run)
        self._file = os.path.join(folder or os.getcwd(), _MEETING_FILE.format(run=name))
        self._others: list[Connection] = []
        self._late: set[tuple[int, str]] = set()

    def gather(self, value: Any) -> list[Any] | None:
        """Return every process's value in order of their ranks on rank 0, None on the others."""
        return self._gather(value, "context.distributed.gather")

    def allgather(self, value: Any) -> list[Any]:
        """Return every process's value in order of their ranks."""
        call = "context.distributed.allgather"
        values: list[Any] = self.agree(self._gather(value, call), call)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value."""
        return self.agree(value, "context.distributed.broadcast")

    def agree(self, value: Any, call: str) -> Any:
        """Return rank 0's value; `call` is what the script calls, as all of them have to."""
        if self.size == 1:
            return value
        self._meet()
        if self.rank > 0:
            return self._heard(0, call)
        for rank in range(1, self.size):
            self._tell(rank, value, call)
        return value

    def confirm(self, call: str) -> None:
        """After `agree`: have rank 0 know that the others live and heard it. Who is late hears it later, and is not waited for."""
        if self.rank > 0:
            # Rank 0 may have left by now.
            with suppress(RuntimeError):
                self._tell(0, None, call)
            return
        give_up_s = time.monotonic() + _SOON_S
        for rank, other in enumerate(self._others, 1):
            if other.poll(max(0.0, give_up_s - time.monotonic())):
                self._heard(rank, call)
            else:
                self._late.add((rank, call))
                _say(f"rank {rank} has not called {call} for {_SOON_S:g} s, and rank 0 goes on without it: {_SAME_CALLS}")

    def _gather(self, value: Any, call: str) -> list[Any] | None:
        if self.size == 1:
            return [value]
        self._meet()
        if self.rank == 0:
            return [value, *(self._heard(rank, call) for rank in range(1, self.size))]
        self._tell(0, value, call)
        return None

    def _heard(self, rank: int, call: str) -> Any:
        """Return what another process says next: rank 0 hears all, and all hear rank 0."""
        other = self._others[max(0, rank - 1)]
        try:
            while True:
                self._wait(other.poll, f"rank {rank}", call)
                theirs, value = other.recv()
                if theirs == call:
                    return value
                if (rank, theirs) not in self._late:
                    break
                self._late.remove((rank, theirs))
        except (EOFError, OSError) as error:
            raise RuntimeError(_GONE.format(rank=rank)) from error
        raise RuntimeError(f"rank {rank} called {theirs} where rank {self.rank} called {call}: {_SAME_CALLS}")

    def _tell(self, rank: int, value: Any, call: str) -> None:
        other, room = self._others[max(0, rank - 1)], select.poll()
        try:
            room.register(other.fileno(), select.POLLOUT)
            self._wait(lambda seconds: room.poll(1000 * seconds), f"rank {rank}", call)
            other.send((call, value))
        except OSError as error:
            raise RuntimeError(_GONE.format(rank=rank)) from error

    def _wait(self, ready: Callable[[float], Any], whom: str, call: str) -> None:
        """Wait until that is true of a number of seconds. Whoever is waited for may evaluate for hours, or never come: the log is told."""
        waited_s, pause_s = 0.0, _WORD_S
        while not ready(pause_s):
            waited_s += pause_s
            pause_s = waited_s
            _say(f"rank {self.rank} has waited {waited_s:g} s in {call} for {whom}, and still does: {_SAME_CALLS}")

    def close(self) -> None:
        """Part."""
        for other in self._others:
            other.close()
        self._others = []

    def _meet(self) -> None:
        if not self._others:
            (self._welcome if self.rank == 0 else self._visit)()

    def _welcome(self) -> None:
        from multiprocessing import AuthenticationError
        from multiprocessing.connection import Listener

        key = secrets.token_bytes(32)
        with Listener(("127.0.0.1", 0), backlog=self.size, authkey=key) as listener:
            partial = f"{self._file}.{os.getpid()}"
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                json.dump({"address": listener.address, "key": key.hex()}, file)
            os.replace(partial, self._file)
            try:
                visitors: dict[int, Connection] = {}
                coming = select.poll()
                coming.register(listener._listener._socket.fileno(), select.POLLIN)  # type: ignore[attr-defined]  # noqa: SLF001
                while len(visitors) < self.size - 1:
                    self._wait(lambda seconds: coming.poll(1000 * seconds), "the others", "shadho_worker.init")
                    # Another program of this machine may try the port, or a process that knows it from another trial.
                    with suppress(AuthenticationError, ConnectionError, EOFError):
                        visitor = listener.accept()
                        visitors[visitor.recv()] = visitor
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(self._file)
        self._others = [visitors[rank] for rank in range(1, self.size)]

    def _visit(self) -> None:
        from multiprocessing import AuthenticationError
        from multiprocessing.connection import Client

        give_up_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                with open(os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii") as file:
                    owner = os.fstat(file.fileno()).st_uid
                    meeting = json.load(file)
                if owner == os.getuid():
                    first = Client((meeting["address"][0], meeting["address"][1]), authkey=bytes.fromhex(meeting["key"]))
                    break
            except (AuthenticationError, OSError, EOFError):
                # Rank 0 is not there yet, or this is what an earlier run left.
                pass
            if time.monotonic() > give_up_s:
                message = f"rank 0 of this trial did not come within {_PATIENCE_S:g} s: {_SAME_CALLS}"
                raise TimeoutError(message)
            time.sleep(_PAUSE_S)
        first.send(self.rank)
        self._others = [first]


def _say(text: str) -> None:
    print(f"shadho_worker: {text}", file=sys.stderr, flush=True)
