"""What a callback is told of a search. To write one, take what is wanted of `Callback`; the rest does nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadho_like.trial import Trial


@dataclass(frozen=True, slots=True)
class Search:
    """The search that is told of. Its command is left out, for it may hold what nobody else is to know.

    Attributes:
        id: the experiment's, the same in every run of its driver, and no other's.
        name: the experiment's name.
        directory: where it is kept.
        metric: the name of the searched metric.
        smaller_is_better: whether that is minimised.
        method: the search method's name.
        resumed: whether a driver before this one ran it.
    """

    id: str
    name: str
    directory: Path
    metric: str
    smaller_is_better: bool
    method: str
    resumed: bool


class Callback:
    """Told of a search by its driver, in the driver's own thread: the search waits meanwhile.

    All that it is told of is safe on the disk. What it raises is shown as a notice, and the search goes on.
    """

    def begin(self, search: Search) -> None:
        """A run of the driver begins."""

    def measured(self, trial: Trial, kind: str, length: float, metrics: Mapping[str, float]) -> None:
        """A trial reported numbers.

        Args:
            trial: as it is now.
            kind: "training" or "validation" for what it reported while it ran, in its own unit of length; "result" for what the
                search method was told.
            length: how far training was.
            metrics: the numbers by their names.
        """

    def ended(self, trial: Trial) -> None:
        """A trial is over: completed, stopped, failed or canceled."""

    def end(self) -> None:
        """The run of the driver ends. Trials that are not over may go on in another."""


def flat(trial: Trial) -> dict[str, Any]:
    """Return a trial's hyperparameters by their dotted paths, as numbers, truth values and texts."""
    import json

    from shadho_like.space import flatten

    values = flatten(trial.hparams).items()
    return {name: value if isinstance(value, int | float | str) else json.dumps(value) for name, value in values}
