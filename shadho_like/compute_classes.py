"""The compute classes of a search, as its driver declares them, and the rule by which they share its trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from shadho_like.dispatch import Assignment, RankOrder, RunTimes
from shadho_like.errors import OptionError
from shadho_like.resources import ComputeClass
from shadho_like.space import LeafSpace, Space, flatten
from shadho_like.trial import Hyperparameters

_MOST_LEAVES = 1000


def check_new(compute_class: ComputeClass, declared: Sequence[ComputeClass]) -> None:
    """Check a compute class that is to be declared after others.

    Raises:
        OptionError: its name or what tells its workers apart is taken, or its numbers cannot be.
    """
    name, wanted = compute_class.name, (compute_class.resource, compute_class.value)
    if not isinstance(name, str) or not name.strip() or any(other.name == name for other in declared):
        raise OptionError(f"each compute class needs a name of its own, which {name!r} is not")
    for other in declared:
        if (other.resource, other.value) == wanted:
            raise OptionError(f"compute class {name!r} has the same workers as {other.name!r}: {wanted[0]} = {wanted[1]!r}")


def assignment(
    space: Space, declared: Sequence[ComputeClass], *, use_complexity: bool = False, use_priority: bool = False
) -> Assignment:
    """Return what gives trials their classes: by measured run times, or by SHADHO's ranks where one of them is wanted.

    Args:
        space: the search space.
        declared: compute classes, by SHADHO's rules the one for the highest rank first.
        use_complexity: rank leaf spaces by SHADHO's complexity.
        use_priority: rank leaf spaces by SHADHO's priority, which it later called uncertainty.
    """
    leaves = {leaf.name: leaf for leaf in islice(space.leaves(), _MOST_LEAVES)}
    complexities = {name: leaf.complexity for name, leaf in leaves.items()}
    if not (use_complexity or use_priority):
        return Assignment(space.leaf_of, RunTimes(complexities, [each.name for each in declared]))
    priorities = None
    if use_priority:
        # It loads NumPy, which the other rules do without.
        from shadho_like.dispatch.priorities import Priorities

        priorities = Priorities(lambda leaf, hparams: _features(leaves.get(leaf), hparams))
    names = [each.name for each in declared]
    return Assignment(space.leaf_of, rule=RankOrder(names, list(leaves), complexities if use_complexity else None, priorities))


def unused(declared: Sequence[ComputeClass], engine: str) -> Iterator[str]:
    """Say that classes mean nothing where all trials run on one machine."""
    if declared and engine == "local":
        name = declared[0].name
        yield f"compute class {name!r} is not used: on this machine alone all workers are alike; config.workqueue.name is not set"


def _features(leaf: LeafSpace | None, hparams: Hyperparameters) -> list[float]:
    """Return where the sample's values lie in their domains; those that cannot be told from the sample are left in the middle."""
    flat = flatten(hparams)
    domains = leaf.domains if leaf is not None else {}
    return [domain.unit(flat[path]) if path in flat and domain.contains(flat[path]) else 0.5 for path, domain in domains.items()]
