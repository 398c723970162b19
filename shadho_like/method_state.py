"""The state of a user's own search method as bytes, and the small difference between two of them that follow each other.

A method that has `save_method_state` and `load_method_state` is given a folder; of others the attributes are pickled. Only the
driver writes and reads these, never a worker.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import shadho_checkpoint

from shadho_like.errors import MethodError
from shadho_like.searcher.base import SearchMethod

_GAP = 16


@dataclass(frozen=True, slots=True)
class Delta:
    """How one state becomes the next.

    The first `kept` bytes stay where they are but for `patches`; `middle` and the last `suffix` bytes of the state before follow.

    Attributes:
        kept, suffix: numbers of bytes.
        patches: (offset, bytes) within the first `kept`.
        middle: new bytes.
    """

    kept: int
    suffix: int
    patches: tuple[tuple[int, bytes], ...]
    middle: bytes

    def pack(self) -> bytes:
        """Return it as bytes."""
        heads = np.array([self.kept, self.suffix, len(self.patches)], "<i8").tobytes()
        table = np.array([(offset, len(data)) for offset, data in self.patches], "<i8").tobytes()
        return b"".join([heads, table, *(data for _, data in self.patches), self.middle])

    @classmethod
    def unpack(cls, data: bytes) -> Delta:
        """Read what `pack` gave."""
        kept, suffix, count = np.frombuffer(data, "<i8", 3).tolist()
        at = 24 + 16 * count
        patches = []
        for offset, size in np.frombuffer(data, "<i8", 2 * count, 24).reshape(count, 2).tolist():
            patches.append((offset, data[at : at + size]))
            at += size
        return cls(kept, suffix, tuple(patches), data[at:])

    def apply(self, before: bytes) -> bytes:
        """Return the state after `before`."""
        head = bytearray(before[: self.kept])
        for offset, data in self.patches:
            head[offset : offset + len(data)] = data
        return bytes(head) + self.middle + before[len(before) - self.suffix :]


def difference(before: bytes, after: bytes) -> Delta:
    """Return how `before` becomes `after`; small where a pickle grew at its end, whose headers hold its lengths."""
    old, new = np.frombuffer(before, np.uint8), np.frombuffer(after, np.uint8)
    common = min(len(old), len(new))
    backwards = np.flatnonzero(old[len(old) - common :][::-1] != new[len(new) - common :][::-1])
    suffix = int(backwards[0]) if len(backwards) else common
    kept = common - suffix
    changed = np.flatnonzero(old[:kept] != new[:kept])
    if len(changed) == 0:
        return Delta(kept, suffix, (), after[kept : len(after) - suffix])
    starts = changed[np.flatnonzero(np.diff(changed, prepend=changed[0] - _GAP - 1) > _GAP)]
    ends = changed[np.flatnonzero(np.diff(changed, append=changed[-1] + _GAP + 1) > _GAP)] + 1
    patches = tuple((start, after[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True))
    return Delta(kept, suffix, patches, after[kept : len(after) - suffix])


def save(method: SearchMethod) -> bytes:
    """Return a method's state.

    Raises:
        MethodError: it cannot be saved; the message says why.
    """
    own: Any = getattr(method, "save_method_state", None)
    try:
        if own is None:
            return bytes(cloudpickle.dumps(vars(method)))
        with tempfile.TemporaryDirectory() as folder:
            own(Path(folder))
            return _packed(Path(folder))
    except Exception as error:
        message = f"the state of the search method {type(method).__name__} cannot be saved: {type(error).__name__}: {error}"
        raise MethodError(message) from error


def load(method: SearchMethod, state: bytes) -> None:
    """Give a method the state that `save` returned.

    Raises:
        MethodError: it cannot take it; the message says why.
    """
    own: Any = getattr(method, "load_method_state", None)
    try:
        if own is None:
            vars(method).update(pickle.loads(state))
            return
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=io.BytesIO(state)) as tar:
                for member in tar:
                    shadho_checkpoint.extract(tar, member, folder)
            own(Path(folder))
    except Exception as error:
        message = f"the search method {type(method).__name__} cannot take up its state again: {type(error).__name__}: {error}"
        raise MethodError(message) from error


def _packed(folder: Path) -> bytes:
    """Return a folder as an archive in which nothing but the files' contents and names matters."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            if path.is_dir():
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = path.stat().st_size
                with path.open("rb") as file:
                    tar.addfile(entry, file)
    return target.getvalue()
