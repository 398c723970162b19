"""Population based training (Jaderberg et al., "Population Based Training of Neural Networks", arXiv 1711.09846), in rounds:
all members train, then the worst are replaced by varied copies of the best, which go on from these ones' checkpoints.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from shadho_like.errors import OptionError
from shadho_like.operations import Close, Create, ExitedReason, Operation, ValidateAfter, latest_checkpoint_of
from shadho_like.searcher.base import BuiltInMethod, SearcherState
from shadho_like.searcher.halving import MAX_INVALID_IN_A_ROW
from shadho_like.searcher.options import check_counts
from shadho_like.searcher.samplers import Sampler
from shadho_like.space import Domain, Space
from shadho_like.space.domains import Choice
from shadho_like.trial import Hyperparameters, Json, RequestId


@dataclass(frozen=True, slots=True)
class _Member:
    """A trial of the population: its point, and the trial that it was copied from, if any."""

    hparams: Hyperparameters
    parent: int | None = None


class PopulationBasedTraining(BuiltInMethod):
    """Trains a population in rounds of one length, exploiting its best members and exploring around them.

    A member that fails counts as the worst of its round, and is replaced as the worst are. Lengths are cumulative across copies:
    a copy trains from where its parent's checkpoint stands up to the end of the next round.

    Args:
        sampler: chooses the points of the first round.
        space: the search space, within which points are varied.
        seed: of the choices that are made here.
        smaller_is_better: whether the metric is minimised.
        population_size: how many members there are.
        num_rounds: how many rounds there are.
        length_per_round: how long a member trains in each, in the user's unit.
        truncate_fraction: which share of the members is replaced by copies of as many of the best, 0 to 0.5.
        resample_probability: how likely a copy's hyperparameter is drawn anew.
        perturb_factor: how far it is moved otherwise, up or down, as a share of its domain; options of a choice stay.
        max_concurrent_trials: how many trials may have work at once.

    Raises:
        OptionError: a number out of its range.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        space: Space,
        seed: int,
        smaller_is_better: bool = True,
        population_size: int,
        num_rounds: int,
        length_per_round: int = 1,
        truncate_fraction: float = 0.2,
        resample_probability: float = 0.25,
        perturb_factor: float = 0.2,
        max_concurrent_trials: int = 16,
    ) -> None:
        check_counts("pbt", population_size=population_size, num_rounds=num_rounds, length_per_round=length_per_round)
        check_counts("pbt", max_concurrent_trials=max_concurrent_trials)
        _check_shares(0.5, truncate_fraction=truncate_fraction)
        _check_shares(1, resample_probability=resample_probability, perturb_factor=perturb_factor)
        self._sampler = sampler
        self._space = space
        self._seed = seed
        self._smaller_is_better = smaller_is_better
        self._population_size = population_size
        self._num_rounds = num_rounds
        self._length_per_round = length_per_round
        self._replaced = int(population_size * Fraction(str(truncate_fraction)))
        self._resample_probability = resample_probability
        self._perturb_factor = perturb_factor
        self._max_concurrent_trials = max_concurrent_trials
        self._members: dict[int, _Member] = {}
        self._waiting: list[int] = []
        self._working: set[int] = set()
        self._results: list[tuple[float, int]] = []
        self._failed = 0
        self._created = 0
        self._round = 0
        self._invalid_in_a_row = 0
        self._progress = 0.0

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """Create the first population; as many members as may have work at once begin to train."""
        operations: list[Operation] = []
        for _ in range(self._population_size):
            operations += self._create()
        return operations + self._work()

    def on_trial_created(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Nothing: all was asked for with the creation."""
        return []

    def on_validation_completed(self, state: SearcherState, request_id: RequestId, metric: Any, train_length: int) -> list[Operation]:
        """Take down the member's result of this round."""
        number = request_id.int
        value = float(metric)
        known = math.isfinite(value)
        self._sampler.observe(number, self._members[number].hparams, train_length, value if known else None)
        self._invalid_in_a_row = 0
        self._working.discard(number)
        self._results.append(((value if self._smaller_is_better else -value) if known else math.inf, number))
        return self._go_on()

    def on_trial_closed(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Nothing: it was replaced, or failed before."""
        return []

    def on_trial_exited_early(self, state: SearcherState, request_id: RequestId, exited_reason: ExitedReason) -> list[Operation]:
        """Replace a member with invalid hyperparameters by another of its kind at once, one that failed at the end of the round."""
        number = request_id.int
        member = self._members.pop(number)
        self._sampler.observe(number, member.hparams, int(state.trial_progress.get(request_id, 0)), None)
        self._working.discard(number)
        self._waiting = [waiting for waiting in self._waiting if waiting != number]
        self._results = [result for result in self._results if result[1] != number]
        if exited_reason is ExitedReason.INVALID_HP and self._invalid_in_a_row < MAX_INVALID_IN_A_ROW:
            self._invalid_in_a_row += 1
            parent = member.parent if member.parent in self._members else None
            return self._create(parent) + self._go_on()
        self._failed += 1
        return self._go_on()

    def progress(self, state: SearcherState) -> float:
        """Return the share of the rounds' results that are there."""
        return self._progress

    def state_to_json(self) -> Json:
        """Return the members and the round's results."""
        return {
            "members": [[number, member.hparams, member.parent] for number, member in self._members.items()],
            "waiting": self._waiting,
            "working": sorted(self._working),
            "results": [[None if badness == math.inf else badness, number] for badness, number in self._results],
            "counts": [self._failed, self._created, self._round, self._invalid_in_a_row],
            "progress": self._progress,
            "sampler": self._sampler.state_to_json(),
        }

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        self._members = {number: _Member(hparams, parent) for number, hparams, parent in value["members"]}
        self._waiting = list(value["waiting"])
        self._working = set(value["working"])
        self._results = [(math.inf if badness is None else badness, number) for badness, number in value["results"]]
        self._failed, self._created, self._round, self._invalid_in_a_row = value["counts"]
        self._progress = value["progress"]
        self._sampler.load_state(value["sampler"])

    def _go_on(self) -> list[Operation]:
        operations = self._work()
        done = self._population_size * self._round + len(self._results) + self._failed
        if not self._working:
            operations += self._next_round()
            done = self._population_size * (self._num_rounds if not self._members else self._round)
        self._progress = max(self._progress, done / (self._population_size * self._num_rounds))
        return operations

    def _work(self) -> list[Operation]:
        """Let waiting members train, as far as there are slots."""
        free = self._max_concurrent_trials - len(self._working)
        starting, self._waiting = self._waiting[:free], self._waiting[free:]
        self._working.update(starting)
        length = self._length_per_round * (self._round + 1)
        return [ValidateAfter(uuid.UUID(int=number), length) for number in starting]

    def _next_round(self) -> list[Operation]:
        """Replace the worst members by copies of the best, or end the search after the last round."""
        ranked = [number for _, number in sorted(self._results)]
        self._round += 1
        if not ranked or self._round == self._num_rounds:
            self._members.clear()
            return _closed(sorted(ranked))
        replaced = min(self._replaced, len(ranked) // 2)
        best, worst = ranked[: max(replaced, 1)], ranked[len(ranked) - replaced :]
        for number in worst:
            del self._members[number]
        self._waiting = sorted(self._members)
        self._results, copies = [], len(worst) + self._failed
        self._failed = 0
        operations = _closed(worst)
        for index in range(copies):
            operations += self._create(best[index % len(best)])
        return operations + self._work()

    def _create(self, parent: int | None = None) -> list[Operation]:
        """Make a member: a new one, or a varied copy."""
        number = self._created
        self._created += 1
        request_id = uuid.UUID(int=number)
        hparams = self._sampler.sample(number) if parent is None else self._explored(number, self._members[parent].hparams)
        self._members[number] = _Member(hparams, parent)
        self._waiting.append(number)
        return [Create(request_id, hparams, None if parent is None else latest_checkpoint_of(uuid.UUID(int=parent)))]

    def _explored(self, number: int, hparams: Hyperparameters) -> Hyperparameters:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self._seed, number, 1))))

        def change(domain: Domain, value: Any) -> Any:
            resampled, upward, drawn = rng.random() < self._resample_probability, rng.random() < 0.5, rng.random()
            if resampled:
                return domain.quantile(drawn)
            if isinstance(domain, Choice):
                return value
            moved = domain.unit(value) + (self._perturb_factor if upward else -self._perturb_factor)
            return domain.quantile(min(max(moved, 0.0), _BELOW_ONE))

        return self._space.vary(hparams, change, rng)


_BELOW_ONE = math.nextafter(1, 0)


def _closed(numbers: Iterable[int]) -> list[Operation]:
    return [Close(uuid.UUID(int=number)) for number in numbers]


def _check_shares(most: float, **shares: Any) -> None:
    for name, value in shares.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            message = f"{name} of pbt must be a number from 0 to {most}, not {value!r}"
            raise OptionError(message)
