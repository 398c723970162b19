"""A worker that lies: it speaks Work Queue's protocol as far as a task's end, and answers the request for a file as it is told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

Answer = Callable[[str], bytes]
"""Given the name of the file that is asked for, what goes back."""

GREETING = b"""workqueue 9 liar Linux x86_64 8.0.0
info worker-id worker-0123456789abcdef0123456789abcdef
alive
resource workers 1 1 1
resource disk 2000 2000 2000
resource memory 2000 2000 2000
resource gpus 0 0 0
resource cores 1 1 1
resource tag 0
info end_of_resource_update 0
info tasks_running 0
info worker-end-time 0
"""

RESULT = "result 0 0 2 1000 {task}\n0\nend\n"


class HostileWorker:
    """One connection to a manager, served by a thread until the manager or the test ends it.

    Args:
        port: of the manager.
        answer: what goes back for a file.
        greeting: what is said first.
        result: what is said of the task's end, with `{task}` for its number.
        hangs_up: whether it goes away after its answer.

    Attributes:
        asked: set when the manager asks for a file.
        gone: set when the manager has closed the connection.
    """

    def __init__(self, port: int, answer: Answer, greeting: bytes = GREETING, result: str = RESULT, *, hangs_up: bool = False) -> None:
        self.asked = threading.Event()
        self.gone = threading.Event()
        self._answer = answer
        self._greeting = greeting
        self._result = result
        self._hangs_up = hangs_up
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        try:
            with self._socket.makefile("rb") as lines:
                self._socket.sendall(self._greeting)
                for line in lines:
                    self._hear(line.decode("utf-8", "replace").split(), lines.read)
        except OSError:
            pass
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.gone.set()

    def _hear(self, words: list[str], read: Callable[[int], bytes]) -> None:
        match words:
            case ["put", _, size, *_]:
                read(int(size))
            case ["cmd", size]:
                read(int(size))
            case ["task", number]:
                self._task = number
            case ["end"]:
                self._socket.sendall(b"available_results\n")
            case ["send_results", _]:
                self._socket.sendall(self._result.replace("{task}", self._task).encode("utf-8", "surrogateescape"))
                if self._hangs_up and self._result != RESULT:
                    raise ConnectionAbortedError
            case ["get", name, *_]:
                self.asked.set()
                self._socket.sendall(self._answer(name))
                if self._hangs_up:
                    raise ConnectionAbortedError
            case _:
                pass
