"""Which checkpoints are kept. Pure: what is known goes in, what may be deleted comes out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from shadho_like.errors import OptionError, nearest


class CheckpointId(NamedTuple):
    """A checkpoint's id in its parts, which order those of one trial by age."""

    trial: int
    attempt: int
    number: int

    def __str__(self) -> str:
        return f"{self.trial}.{self.attempt}.{self.number}"


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint, as far as the policy is concerned.

    Attributes:
        id: its id.
        metric: the searched metric of a validation at its length; None without one.
        time_s: when it became known.
    """

    id: CheckpointId
    metric: float | None = None
    time_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CheckpointPolicy:
    """How many checkpoints are kept; what any of the three keeps is kept.

    Attributes:
        save_experiment_best: so many of the best of all trials.
        save_trial_best: so many of the best of each trial.
        save_trial_latest: so many of the newest of each trial; of a trial that may go on, one in any case.

    Raises:
        OptionError: one is no whole number of at least 0.
    """

    save_experiment_best: int = 0
    save_trial_best: int = 1
    save_trial_latest: int = 1

    def __post_init__(self) -> None:
        for name, value in self.to_json().items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                message = f"checkpoint_policy.{name} must be a whole number of at least 0, not {value!r}"
                raise OptionError(message)

    def to_json(self) -> dict[str, int]:
        """Return the plain form."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @classmethod
    def read(cls, value: Mapping[str, Any] | CheckpointPolicy | None) -> CheckpointPolicy:
        """Return the policy that a user wrote.

        Raises:
            OptionError: it has an unknown key or a wrong value.
        """
        if value is None or isinstance(value, CheckpointPolicy):
            return value or cls()
        known = [item.name for item in fields(cls)]
        if not isinstance(value, Mapping):
            message = f"checkpoint_policy must be a mapping with {', '.join(known)}, not {value!r:.80}"
            raise OptionError(message)
        for key in value:
            if key not in known:
                message = f"checkpoint_policy has no key {key!r}: {nearest(str(key), known)}"
                raise OptionError(message)
        return cls(**value)


def best_of(known: Iterable[Known], count: int, *, smaller_is_better: bool) -> list[Known]:
    """Return the best checkpoints among those with a validation, the older of equals first."""
    measured = [each for each in known if each.metric is not None]
    sign = 1.0 if smaller_is_better else -1.0
    return sorted(measured, key=lambda each: (sign * (each.metric or 0.0), each.time_s, each.id))[:count]


def surplus(
    known: Collection[Known],
    policy: CheckpointPolicy,
    *,
    smaller_is_better: bool,
    goes_on: Callable[[int], bool],
    needed: Container[int] = frozenset(),
    best: Collection[CheckpointId] | None = None,
) -> set[CheckpointId]:
    """Return the checkpoints that may be deleted.

    Args:
        known: all checkpoints of some trials.
        policy: what is kept.
        smaller_is_better: whether the metric is minimised.
        goes_on: whether a trial may still be trained; it keeps its newest then.
        needed: trials from which others begin that have no checkpoint of their own yet: all of theirs stay.
        best: the best of the whole experiment, where `known` is not all of it.
    """
    if best is None:
        best = [each.id for each in best_of(known, policy.save_experiment_best, smaller_is_better=smaller_is_better)]
    kept = set(best)
    doomed: set[CheckpointId] = set()
    ordered = sorted(known, key=lambda each: each.id)
    for trial, group in itertools.groupby(ordered, key=lambda each: each.id.trial):
        own = list(group)
        latest = max(policy.save_trial_latest, 1) if goes_on(trial) else policy.save_trial_latest
        kept.update(each.id for each in own[len(own) - min(latest, len(own)) :])
        kept.update(each.id for each in best_of(own, policy.save_trial_best, smaller_is_better=smaller_is_better))
        if trial not in needed:
            doomed.update(each.id for each in own)
    return doomed - kept
