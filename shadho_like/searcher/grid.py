"""Grid search: the cross product of all values. The order is that of the sorted names, the last one fastest."""

from __future__ import annotations

from typing import Any, ClassVar

from shadho_like.errors import OptionError, SpaceError
from shadho_like.searcher.options import check_counts
from shadho_like.searcher.random import RandomSearch
from shadho_like.searcher.samplers import Observed
from shadho_like.space import Space
from shadho_like.trial import Hyperparameters, Json


class GridSearch(RandomSearch):
    """Evaluates every grid point once. Each point is made when its trial is; a grid of any size takes no more room than a small one.

    Args:
        space: the search space, in which every continuous domain has a `count`.
        max_concurrent_trials: how many trials may be open at once.
        max_length: train each trial to this length, in the user's unit.

    Raises:
        OptionError: a number below 1, or a domain without a count, which the message names.
    """

    extensible: ClassVar[frozenset[str]] = frozenset({"max_length"})

    def __init__(self, space: Space, *, max_concurrent_trials: int = 16, max_length: int = 1) -> None:
        check_counts("grid", max_concurrent_trials=max_concurrent_trials, max_length=max_length)
        try:
            size = space.grid_size()
        except SpaceError as error:
            raise OptionError(str(error)) from error
        super().__init__(GridSampler(space), max_trials=size, max_concurrent_trials=max_concurrent_trials, max_length=max_length)


class GridSampler:
    """The grid points, one after another."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def sample(self, number: int) -> Hyperparameters:
        """Return the point of the `number`-th trial, counted from 0."""
        return self._space.grid_point(number)

    def observe(self, number: int, hparams: Hyperparameters, length: int, metric: Observed) -> None:
        """Nothing: no result changes what comes next."""

    def state_to_json(self) -> Json:
        """Return None: there is no state."""
        return None

    def load_state(self, value: Any) -> None:
        """Nothing: there is no state."""
