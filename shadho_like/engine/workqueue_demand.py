"""When nobody can run what a search asks for: what is missing, what there is, and when that is worth a line. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_PATIENCE_S = 30.0
_UNITS = {"cores": "cores", "gpus": "GPUs", "memory": "MB of memory", "disk": "MB of disk"}
_COUNTED = {"cores", "gpus"}
_OFFERED = ("cores", "gpus", "memory", "disk")

Offers = Sequence[Sequence[int]]
"""Of workers that are alike: how many there are, and what each has, in the order of `_OFFERED`."""


class Demand:
    """What every task asks for, against what there is.

    Args:
        needs: amounts by Work Queue's names of them.
        features: what a worker must advertise.
    """

    def __init__(self, needs: Mapping[str, int], features: Sequence[str]) -> None:
        self._needs = needs
        self._features = features
        self._text = ""
        self._unused_said = False
        self.due_s = math.inf
        """When it is to be said that nobody can run a task; infinite while somebody can, or when it has been said."""

    def hear(self, lacking: str, offers: Offers, now_s: float) -> None:
        """Take in how it stands: "resources" or "features" are lacking, or nothing."""
        text = self._told(lacking, offers) if lacking else ""
        if text != self._text:
            self._text = text
            self.due_s = now_s + _PATIENCE_S if text else math.inf

    def say(self, now_s: float) -> str | None:
        """Return the line, when it is due."""
        if now_s < self.due_s:
            return None
        self.due_s = math.inf
        return self._text

    def unused(self, gpus: int) -> str | None:
        """Return a line, once, where workers have GPUs and it was not said how many a trial is to have: it is shown none then."""
        if not gpus or "gpus" in self._needs or self._unused_said:
            return None
        self._unused_said = True
        there = f"the workers' {_amount('gpus', gpus)}"
        return f"trials are shown none of {there}, as config.workqueue.gpus is not set: 1 gives each trial one, 0 none"

    def _told(self, lacking: str, offers: Offers) -> str:
        asked = [_amount(name, amount) for name, amount in self._needs.items() if amount] + list(self._features)
        there = [f"{each[0]} with {self._offered(each[1:])}" for each in offers]
        if lacking == "resources":
            hint = "ask for less in config.workqueue, or start workers that have more"
        else:
            advertised = " and ".join(self._features)
            hint = f"none of them seems to advertise {advertised}: a wq_worker says which GPUs it offers, and takes --feature"
        return f"no connected worker can run a trial, which asks for {', '.join(asked)}; connected: {'; '.join(there)}; {hint}"

    def _offered(self, amounts: Sequence[int]) -> str:
        """Return what workers have; memory and disk, which are rough, only where they are asked for."""
        of_interest = {"cores", "gpus", *self._needs}
        return ", ".join(_amount(name, amount) for name, amount in zip(_OFFERED, amounts, strict=True) if name in of_interest)


def _amount(name: str, amount: int) -> str:
    units = _UNITS[name]
    return f"{amount:,} {units[:-1] if amount == 1 and name in _COUNTED else units}"
