"""What a user derives a search from: fields that say what is searched, and three methods that say how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shadho_like.configs import REQUIRED, Config, pydraclass
from shadho_like.runner.jobs import GPUJobResult


@pydraclass
class SearchConfig(Config):
    """What binary and grid searches have in common.

    Attributes:
        base_dir: the folder for the search's record and its results; no other search may have it.
        sweep_props: properties of the experiment with the values that each takes, all combined with all.
        base_experiment_config: where each point's experiment config begins.
    """

    base_dir: str | Path = REQUIRED
    sweep_props: dict[str, list[Any]] = {}  # noqa: RUF012 - a default that each config gets a copy of
    base_experiment_config: Any = REQUIRED

    def get_experiment_config_and_base_dir(self, *args: Any, **prop_values: Any) -> tuple[Any, str]:
        """Return a point's experiment config and the folder for what that experiment writes, which no other point has.

        It declares a parameter for each property of the point, or takes them all as `**prop_values`. One that no sweep
        names gets the field of that name in `base_experiment_config`.
        """
        raise NotImplementedError

    def run_experiment_config(self, config: Any) -> Any:
        """Run an experiment and return its result. Called in a process of its own."""
        raise NotImplementedError

    def agg_results(self, results: list[GPUJobResult]) -> Any:
        """Make one result of several, failed ones among them. Called in the driver, in the order of the sweep."""
        raise NotImplementedError


@pydraclass
class BinarySearchConfig(SearchConfig):
    """A search for the boundary between values of `prop` that pass and values that do not.

    `agg_results` returns (whether the value passes, any result).

    Attributes:
        prop: the field of the experiment config that is searched, by its dotted path.
        range: the lowest and the highest value; two ints make all values ints.
        precision: how far apart the last value that passes and the first that does not may be.
        success_direction_lower: whether lower values are the better ones, so that the lowest that passes is searched for.
    """

    prop: str = REQUIRED
    range: tuple[int | float, int | float] = REQUIRED
    precision: int | float = REQUIRED
    success_direction_lower: bool = True


@pydraclass
class GridSearchConfig(SearchConfig):
    """A search over all combinations of `sweep_props`; `agg_results` makes its result of all of theirs."""
