"""How a job crosses to its process and its answer back: in unnamed files, which are gone with those who hold them.

Objects that both sides know (the search's config, its classes) are loaded once; in a job or an answer they are but a number.
"""

from __future__ import annotations

import io
import os
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import cloudpickle

from shadho_like.trial import FailureKind

_READ_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a job's process says of it.

    Attributes:
        value: what the job returned.
        kind, message: why it failed; None where it did not.
    """

    value: Any = None
    kind: FailureKind | None = None
    message: str = ""


def new_file(data: bytes = b"") -> IO[bytes]:
    """Return an open file without a name."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when its job is over
    file.write(data)
    file.flush()
    return file


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a file's beginning."""
    view, at = memoryview(data), 0
    while at < len(data):
        at += os.pwrite(descriptor, view[at : at + _READ_BYTES], at)


def read_all(descriptor: int) -> bytes:
    """Return what is in a file, wherever it was read before."""
    parts, at = [], 0
    while part := os.pread(descriptor, _READ_BYTES, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def dumps(value: Any, known: Sequence[Any] = ()) -> bytes:
    """Return a value as bytes; what lives in a script itself goes with it, and the objects of `known` as their places in it."""
    file = io.BytesIO()
    _Pickler(file, known).dump(value)
    return file.getvalue()


def loads(data: bytes, known: Sequence[Any] = ()) -> Any:
    """Return what `dumps` was given."""
    return _Unpickler(io.BytesIO(data), known).load()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: IO[bytes], known: Sequence[Any]) -> None:
        super().__init__(file)
        self._places = {id(value): place for place, value in enumerate(known)}

    def persistent_id(self, value: Any) -> int | None:
        """Return a known object's place."""
        return self._places.get(id(value))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], known: Sequence[Any]) -> None:
        super().__init__(file)
        self._known = known

    def persistent_load(self, place: int) -> Any:
        """Return the object at a place."""
        return self._known[place]
