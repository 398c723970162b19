"""Samplers: the part of a search method that chooses the next point of the search space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from shadho_like.space import Space
from shadho_like.trial import Hyperparameters, Json

Observed = float | Sequence[float] | None
"""The metric that a trial reported, or several in their order; None for a trial that failed or was invalid."""


class Sampler(Protocol):
    """Chooses points, and may learn from what became of them. Its state is part of its search method's."""

    def sample(self, number: int) -> Hyperparameters:
        """Return the point of the `number`-th trial, counted from 0."""

    def observe(self, number: int, hparams: Hyperparameters, length: int, metric: Observed) -> None:
        """Take in what a trial reported at a length, in the order of arrival."""

    def state_to_json(self) -> Json:
        """Return the state that `sample` and `observe` change; None where there is none."""

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""


class RandomSampler:
    """Independent draws. The point of a trial depends on the seed and the trial's number alone."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed

    def sample(self, number: int) -> Hyperparameters:
        """Return the point of the `number`-th trial, counted from 0."""
        return self._space.sample(self._space.generator(self._seed, number), number)

    def observe(self, number: int, hparams: Hyperparameters, length: int, metric: Observed) -> None:
        """Nothing: no result changes what is drawn next."""

    def state_to_json(self) -> Json:
        """Return None: there is no state."""
        return None

    def load_state(self, value: Any) -> None:
        """Nothing: there is no state."""
