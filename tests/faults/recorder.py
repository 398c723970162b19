"""Records every write that SQLite makes, so that the files can be put back to how they were at any of them.

SQLite asks a table of functions for each file operation. The recorder registers the usual table under another name, in which opening
a file swaps the functions that write, cut and sync for ones that take down what they do and then do it.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_FILE = ctypes.c_void_p
_IO_METHODS = 18
_WRITE, _TRUNCATE, _SYNC = 2, 3, 4


class _IoMethods(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("functions", ctypes.c_void_p * _IO_METHODS)]


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_IoMethods))]


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_int),
        ("file_bytes", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("delete", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 14),
    ]


_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_void_p, _FILE, ctypes.c_int, ctypes.c_void_p)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_char_p, ctypes.c_int)
_WRITES = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_TRUNCATES = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_int64)
_SYNCS = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_int)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a file.

    Attributes:
        kind: write, truncate, sync or delete; or done, when what was asked for had been confirmed.
        path: of the file.
        at: the offset of a write, the size to which a file is cut, or for done, the number that was given.
        data: what was written.
    """

    kind: str
    path: Path
    at: int = 0
    data: bytes = b""


@dataclass
class Files:
    """What is on the disk: files by their paths, changed step by step."""

    contents: dict[Path, bytearray] = field(default_factory=dict)

    def apply(self, step: Step, length: int | None = None) -> None:
        """Do a step; of a write, only the first `length` bytes where that is given."""
        if step.kind == "delete":
            self.contents.pop(step.path, None)
        elif step.kind == "truncate":
            content = self.contents.setdefault(step.path, bytearray())
            del content[step.at :]
            content.extend(bytes(step.at - len(content)))
        elif step.kind == "write":
            data = step.data[:length]
            content = self.contents.setdefault(step.path, bytearray())
            content.extend(bytes(max(0, step.at + len(data) - len(content))))
            content[step.at : step.at + len(data)] = data

    def put(self, folder: Path) -> None:
        """Write all files into a folder."""
        for path, content in self.contents.items():
            (folder / path.name).write_bytes(content)


@dataclass(frozen=True, slots=True)
class Cut:
    """The files as they are when everything ends at one moment.

    Attributes:
        name: which moment.
        files: what is on the disk then.
        done: the last number that had been confirmed.
    """

    name: str
    files: Files
    done: int


def cuts(steps: list[Step], generator: random.Random) -> Iterator[Cut]:
    """Yield the disk before and after each step, with each write torn, and with what no sync had made durable lost in part.

    The files of a cut are valid until the next one is asked for.
    """
    files, durable, done = Files(), Files(), 0
    unsure: list[Step] = []
    yield Cut("before all", files, done)
    for number, step in enumerate(steps):
        if step.kind == "done":
            done = step.at
            continue
        if step.kind == "sync":
            for sure in [each for each in unsure if each.path == step.path]:
                durable.apply(sure)
            unsure = [each for each in unsure if each.path != step.path]
            yield Cut(f"step {number}, power lost after {step.kind} of {step.path.name}", _survived(durable, unsure, generator), done)
            continue
        if step.kind == "write" and len(step.data) > 1:
            torn = Files({path: bytearray(content) for path, content in files.contents.items()})
            torn.apply(step, len(step.data) // 2)
            yield Cut(f"step {number}, write of {step.path.name} torn", torn, done)
        files.apply(step)
        unsure.append(step)
        yield Cut(f"step {number}, after {step.kind} of {step.path.name}", files, done)
        if number % 4 == 0:
            yield Cut(f"step {number}, power lost after {step.kind} of {step.path.name}", _survived(durable, unsure, generator), done)


def _survived(durable: Files, unsure: list[Step], generator: random.Random) -> Files:
    """Return the disk when of the steps that no sync confirmed some were done and some were not."""
    files = Files({path: bytearray(content) for path, content in durable.contents.items()})
    for step in unsure:
        if step.kind == "delete" or generator.random() < 0.5:
            files.apply(step)
    return files


class Recorder:
    """Takes down what SQLite does to files.

    Attributes:
        steps: all of it, in order.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._paths: dict[int, Path] = {}
        self._tables: dict[int, _IoMethods] = {}
        self._kept: list[Any] = []

    def done(self, number: int) -> None:
        """Note that something had been confirmed."""
        self.steps.append(Step("done", Path(), number))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record all databases that are opened meanwhile.

        Skips the test where this Python's SQLite cannot be reached.
        """
        library = ctypes.CDLL(_sqlite3.__file__)
        if not hasattr(library, "sqlite3_vfs_find"):
            pytest.skip("this Python has SQLite built in where ctypes cannot reach it")
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        usual = library.sqlite3_vfs_find(None)
        ours = _Vfs.from_buffer_copy(usual.contents)
        ours.name = b"recorder"
        ours.open = self._function(_OPEN, self._opener(_OPEN(usual.contents.open)))
        ours.delete = self._function(_DELETE, self._deleter(_DELETE(usual.contents.delete)))
        self._kept.append(ours)
        library.sqlite3_vfs_register(ctypes.byref(ours), 1)
        try:
            yield
        finally:
            library.sqlite3_vfs_register(usual, 1)
            library.sqlite3_vfs_unregister(ctypes.byref(ours))

    def _function(self, kind: Any, python: Callable[..., int]) -> int:
        """Return the address of a Python function as C calls it."""
        function = kind(python)
        self._kept.append(function)
        address = ctypes.cast(function, ctypes.c_void_p).value
        assert address is not None
        return address

    def _opener(self, usual: Callable[..., int]) -> Callable[..., int]:
        def opened(vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
            # The name is handed on as the address that it is: SQLite goes on using the text there.
            status = usual(vfs, name, file, flags, out)
            if status == 0 and name:
                self._paths[file] = Path(ctypes.string_at(name).decode())
                handle = _File.from_address(file)
                address = ctypes.addressof(handle.methods.contents)
                if address not in self._tables:
                    self._tables[address] = self._table(handle.methods.contents)
                handle.methods = ctypes.pointer(self._tables[address])
            return status

        return opened

    def _deleter(self, usual: Callable[..., int]) -> Callable[..., int]:
        def deleted(vfs: int, name: bytes, sync: int) -> int:
            self.steps.append(Step("delete", Path(name.decode())))
            return usual(vfs, name, sync)

        return deleted

    def _table(self, usual: _IoMethods) -> _IoMethods:
        """Return the functions of an open file, three of which take down what they do."""
        ours = _IoMethods.from_buffer_copy(usual)
        writes, truncates, syncs = _WRITES(usual.functions[_WRITE]), _TRUNCATES(usual.functions[_TRUNCATE]), _SYNCS(usual.functions[_SYNC])

        def write(file: int, data: int, size: int, at: int) -> int:
            self.steps.append(Step("write", self._paths[file], at, ctypes.string_at(data, size)))
            return int(writes(file, data, size, at))

        def truncate(file: int, size: int) -> int:
            self.steps.append(Step("truncate", self._paths[file], size))
            return int(truncates(file, size))

        def sync(file: int, flags: int) -> int:
            self.steps.append(Step("sync", self._paths[file]))
            return int(syncs(file, flags))

        ours.functions[_WRITE] = self._function(_WRITES, write)
        ours.functions[_TRUNCATE] = self._function(_TRUNCATES, truncate)
        ours.functions[_SYNC] = self._function(_SYNCS, sync)
        return ours
