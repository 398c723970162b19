"""Where an experiment is in its life. Standard library only."""

from __future__ import annotations

from enum import Enum


class Phase(str, Enum):
    """What an experiment does while a driver runs it, or would do if one did."""

    ACTIVE = "ACTIVE"
    """It runs trials."""
    PAUSED = "PAUSED"
    """It starts none until it is activated."""
    CANCELING = "CANCELING"
    """It ends as soon as what runs has taken its checkpoints."""
    COMPLETED = "COMPLETED"
    """Its search method has no more to do."""
    CANCELED = "CANCELED"
    """The user ended it."""
    FAILED = "FAILED"
    """Its search method gave it up."""

    @property
    def over(self) -> bool:
        """Whether nothing more happens unless the user continues it."""
        return self in {Phase.COMPLETED, Phase.CANCELED, Phase.FAILED}
