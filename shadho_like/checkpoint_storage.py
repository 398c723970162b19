"""Where checkpoints are to be kept, as a user writes it: `{"type": "shared_fs", "path": "/scratch/me"}` or `{"type": "transfer"}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shadho_like.errors import OptionError, nearest

_SHARED, _TRANSFER = "shared_fs", "transfer"


@dataclass(frozen=True, slots=True)
class CheckpointStorage:
    """Where checkpoints are kept.

    Attributes:
        path: a folder that the driver's machine and all workers see; None where checkpoints travel with the trials instead, to the
            experiment's directory.
    """

    path: str | None = None

    @classmethod
    def read(cls, value: Mapping[str, Any] | CheckpointStorage | None) -> CheckpointStorage:
        """Return the storage that a user wrote; by default, checkpoints travel.

        Raises:
            OptionError: it has an unknown type or key, or no path where it needs one.
        """
        if value is None or isinstance(value, CheckpointStorage):
            return value or cls()
        if not isinstance(value, Mapping):
            message = f"checkpoint_storage must be a mapping with a type, {_SHARED} or {_TRANSFER}, not {value!r:.80}"
            raise OptionError(message)
        kind, path = value.get("type"), value.get("path")
        if kind not in (_SHARED, _TRANSFER):  # it may be a list, which no set can look for
            message = f"checkpoint_storage.type: there is no {kind!r}: {nearest(str(kind), (_SHARED, _TRANSFER))}"
            raise OptionError(message)
        known = ("type", "path") if kind == _SHARED else ("type",)
        for key in value:
            if key not in known:
                message = f"checkpoint_storage has no key {key!r} where its type is {kind}: {nearest(str(key), known)}"
                raise OptionError(message)
        if kind == _SHARED and not (isinstance(path, str) and path.startswith("/")):
            message = f"checkpoint_storage.path must be an absolute path, the same on all machines, not {path!r:.80}"
            raise OptionError(message)
        return cls(path)
