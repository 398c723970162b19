"""A single trial: one training, with its retries, checkpoints and journal, and nothing searched."""

from __future__ import annotations

from typing import ClassVar

from shadho_like.errors import OptionError
from shadho_like.searcher.options import check_counts
from shadho_like.searcher.random import RandomSearch
from shadho_like.searcher.samplers import Sampler
from shadho_like.space import Space


class SingleTrial(RandomSearch):
    """Trains one trial.

    Args:
        sampler: gives its point.
        space: the hyperparameters, all of them constant.
        max_length: train it to this length, in the user's unit.

    Raises:
        OptionError: a number below 1, or a hyperparameter that has several values, which the message names.
    """

    extensible: ClassVar[frozenset[str]] = frozenset({"max_length"})

    def __init__(self, sampler: Sampler, *, space: Space, max_length: int = 1) -> None:
        check_counts("single", max_length=max_length)
        varying = _varying(space)
        if varying:
            message = f"the search method 'single' runs one trial and takes constants only, yet these vary: {', '.join(varying)}"
            raise OptionError(message)
        super().__init__(sampler, max_trials=1, max_concurrent_trials=1, max_length=max_length)


def _varying(space: Space) -> list[str]:
    """Return the names of what has several values: domains, and where none does, the alternatives that there are."""
    leaves = list(space.leaves())
    domains = {path: domain for leaf in leaves for path, domain in leaf.domains.items()}
    varying = sorted(path for path, domain in domains.items() if len(domain.values() or (None, None)) > 1)
    if not varying and space.grid_size() > 1:
        return sorted({leaf.name for leaf in leaves} or {"the search space"})
    return varying
