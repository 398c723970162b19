"""Samplers: the part of a search method that chooses the next point of the search space."""

from __future__ import annotations

from typing import Protocol

from shadho_like.space import Space, trial_generator
from shadho_like.trial import Hyperparameters


class Sampler(Protocol):
    """Chooses points."""

    def sample(self, number: int) -> Hyperparameters:
        """Return the point of the `number`-th trial, counted from 0."""


class RandomSampler:
    """Independent draws. The point of a trial depends on the seed and the trial's number alone."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed

    def sample(self, number: int) -> Hyperparameters:
        """Return the point of the `number`-th trial, counted from 0."""
        return self._space.sample(trial_generator(self._seed, number), number)
