"""How results come back from workers that nobody need trust: as JSON, or as a user's own codec has it. Nothing is unpickled."""

from __future__ import annotations

from typing import Any, Protocol


class Codec(Protocol):
    """A user's own way to send results. It travels to the workers, which encode; what it decodes may be anything at all."""

    def encode(self, value: Any) -> bytes:
        """Return a result as bytes. Called on a worker."""

    def decode(self, data: bytes) -> Any:
        """Return the result. Called in the driver; an error here is that job's failure."""
