"""Binary search for the boundary between values that pass and values that fail, several points at a time and no answer waited for.

Seed of the idea: plain bisection, whose every point divides what is left in two; k points divide it in k + 1. An answer is acted on
when it comes: what it decides is stopped, and the free slots go where they tell most. Within the space, `prop` names the value.
"""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadho_like.errors import OptionError
from shadho_like.operations import Close, Create, ExitedReason, Operation, ValidateAfter
from shadho_like.searcher.base import BuiltInMethod, SearcherState
from shadho_like.searcher.bisection import Bisection
from shadho_like.searcher.options import check_counts
from shadho_like.searcher.samplers import Sampler
from shadho_like.trial import Hyperparameters, Json, RequestId

PASS, INCONCLUSIVE, FAIL = 1.0, 0.5, 0.0
"""The metrics by which a trial gives its verdict; between them, the nearest counts."""

_SCALES = ("linear", "log")


@dataclass(slots=True)
class _Point:
    """A grid point under test: its open trials with their place in the sweep, and the verdicts so far.

    Attributes:
        wave: 0 for what was tested first, else one more than the newest wave of which an answer had come.
    """

    wave: int
    trials: dict[int, int] = field(default_factory=dict)
    passed: int = 0
    waiting: list[int] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bracket:
    """What a binary search found.

    Attributes:
        achieved: the last value that passes; None if none does.
        failed: the first value that fails; None if none does.
        contradictions: values whose verdict was not that of their side, with the verdict.
    """

    achieved: float | None
    failed: float | None
    contradictions: tuple[tuple[float, bool], ...]


class BinarySearch(BuiltInMethod):
    """Finds where values of one hyperparameter stop to pass. A trial's metric is its verdict: 1 passes, 0 fails, 0.5 says nothing.

    Args:
        sampler: gives everything else of a trial's hyperparameters.
        prop: the hyperparameter, by its dotted path.
        range: the lowest and the highest value; two ints make all values ints.
        precision: how far apart the two values may be that are found; on a logarithmic scale, their ratio, above 1.
        success_direction_lower: whether lower values are the better ones: then it is the high values that pass, and the lowest of
            these is searched for; otherwise the low values pass, and the highest of these is searched for.
        sweep_props: other hyperparameters with the values that are tried at each point; the point passes if all of them do.
        scale: linear or log: whether points lie evenly by difference or by ratio.
        max_inconclusive: how often a trial that said nothing, or whose code failed, is asked again; then it counts as failed.
        max_length: train each trial to this length, in the user's unit.
        max_concurrent_trials: how many trials may have work at once.

    Raises:
        OptionError: a range the wrong way round, a precision of 0, a scale that there is not.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        prop: str,
        range: Sequence[float],  # noqa: A002 - the name that configurations have for it
        precision: float,
        success_direction_lower: bool = True,
        sweep_props: Mapping[str, Sequence[Any]] | None = None,
        scale: str = "linear",
        max_inconclusive: int = 3,
        max_length: int = 1,
        max_concurrent_trials: int = 16,
    ) -> None:
        _check(prop, sweep_props, max_inconclusive=max_inconclusive, max_length=max_length, max_concurrent_trials=max_concurrent_trials)
        self._low, self._high = _bounds(range, precision, scale)
        self._whole = all(isinstance(value, int) for value in (*range, precision)) and scale == "linear"
        self._log = scale == "log"
        self._prop = prop
        self._low_passes = not success_direction_lower
        sweeps = sweep_props or {}
        self._sweep = [dict(zip(sweeps, values, strict=True)) for values in itertools.product(*sweeps.values())]
        self._sampler = sampler
        self._max_inconclusive = max_inconclusive
        self._max_length = max_length
        self._slots = max_concurrent_trials
        width = math.log(self._high / self._low) / math.log(precision) if self._log else (self._high - self._low) / precision
        self._bisection = Bisection(max(1, math.ceil(width - 1e-9)))
        self._points: dict[int, _Point] = {}
        self._place: dict[int, int] = {}
        self._created = 0
        self._wave = 0

    @property
    def bracket(self) -> Bracket:
        """What is known of the boundary."""
        known = self._bisection
        achieved = self.value(known.passed) if known.passed >= 0 else None
        failed = self.value(known.failed) if known.failed <= known.cells else None
        return Bracket(achieved, failed, tuple((self.value(point), passes) for point, passes in known.contradictions))

    @property
    def cells(self) -> int:
        """One less than the number of points of the grid."""
        return self._bisection.cells

    @property
    def limits(self) -> tuple[float, float]:
        """The values between which the boundary may be, the one on the side that passes first."""
        return self.value(max(self._bisection.passed, 0)), self.value(min(self._bisection.failed, self.cells))

    @property
    def remaining(self) -> float:
        """How many cells of the grid may hold the boundary."""
        return self._bisection.remaining()

    def value(self, point: int) -> float:
        """Return the value at a point of the grid."""
        share = point / self._bisection.cells
        share = share if self._low_passes else 1 - share
        if self._log:
            return float(self._low * (self._high / self._low) ** share)
        if self._whole:
            return int(self._low) + round((int(self._high) - int(self._low)) * share)
        return self._low + (self._high - self._low) * share

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        """Fill the slots."""
        return self._refill()

    def held_to(self) -> int | None:
        """Return `max_concurrent_trials`, while trials of points that are being tried wait."""
        waiting = any(point.waiting for point in self._points.values())
        return self._slots if waiting and len(self._place) >= self._slots else None

    def on_trial_created(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Nothing: all was asked for with the creation."""
        return []

    def on_validation_completed(self, state: SearcherState, request_id: RequestId, metric: Any, train_length: int) -> list[Operation]:
        """Act on a verdict."""
        return self._hear(request_id.int, min((PASS, INCONCLUSIVE, FAIL), key=lambda verdict: abs(verdict - float(metric))))

    def on_trial_closed(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        """Nothing: its slot was given on when its answer came or was not needed any more."""
        return []

    def on_trial_exited_early(self, state: SearcherState, request_id: RequestId, exited_reason: ExitedReason) -> list[Operation]:
        """Take invalid hyperparameters for a failure, and any other end for no answer."""
        return self._hear(request_id.int, FAIL if exited_reason is ExitedReason.INVALID_HP else INCONCLUSIVE)

    def progress(self, state: SearcherState) -> float:
        """Return how many of the halvings are done."""
        known = self._bisection
        if known.finished:
            return 1.0
        halvings = math.log2(known.cells) + 1
        return (math.log2(known.cells) - math.log2(known.remaining())) / halvings

    def _hear(self, number: int, verdict: float) -> list[Operation]:
        place = self._place.pop(number, None)
        if place is None:
            return []
        point = self._points[place]
        self._wave = max(self._wave, point.wave + 1)
        sweep = point.trials.pop(number)
        if verdict == INCONCLUSIVE and point.asked.get(sweep, 0) < self._max_inconclusive:
            point.asked[sweep] = point.asked.get(sweep, 0) + 1
            point.waiting.insert(0, sweep)
        elif verdict == PASS:
            point.passed += 1
            if point.passed == len(self._sweep):
                self._bisection.answer(place, passes=True)
                del self._points[place]
        else:
            self._bisection.answer(place, passes=False)
            return self._stop([place]) + self._act()
        return self._act()

    def _act(self) -> list[Operation]:
        """Stop what is decided, and use the free slots."""
        return self._stop([place for place in self._points if self._bisection.is_decided(place)]) + self._refill()

    def _stop(self, places: list[int]) -> list[Operation]:
        numbers = [number for place in places for number in self._points.pop(place).trials]
        for number in numbers:
            del self._place[number]
        return [Close(uuid.UUID(int=number), stop=True) for number in numbers]

    def _refill(self) -> list[Operation]:
        operations: list[Operation] = []
        free = self._slots - len(self._place)
        for place, point in self._points.items():
            while free > 0 and point.waiting:
                operations += self._create(place, point)
                free -= 1
        for place in self._chosen(free):
            point = self._points[place] = _Point(self._wave, waiting=list(range(len(self._sweep))))
            while free > 0 and point.waiting:
                operations += self._create(place, point)
                free -= 1
        return operations

    def _chosen(self, free: int) -> list[int]:
        if free <= 0:
            return []
        older = [place for place, point in self._points.items() if point.wave < self._wave]
        newer = [place for place, point in self._points.items() if point.wave >= self._wave]
        at_once, all_at_once = (math.ceil(slots / len(self._sweep)) for slots in (free, self._slots))
        return self._bisection.choose(at_once, older, newer, all_at_once)

    def _create(self, place: int, point: _Point) -> list[Operation]:
        number, sweep = self._created, point.waiting.pop(0)
        self._created += 1
        point.trials[number] = sweep
        self._place[number] = place
        hparams = self._sampler.sample(0)
        for path, value in {**self._sweep[sweep], self._prop: self.value(place)}.items():
            _set(hparams, path, value)
        request_id = uuid.UUID(int=number)
        return [Create(request_id, hparams), ValidateAfter(request_id, self._max_length), Close(request_id)]

    def state_to_json(self) -> Json:
        """Return what is known, the points under test and the number of trials."""
        known = self._bisection
        points = [
            [place, point.wave, list(point.trials.items()), point.passed, point.waiting, list(point.asked.items())]
            for place, point in self._points.items()
        ]
        return {"known": [known.passed, known.failed, known.contradictions], "points": points, "created": self._created, "wave": self._wave}

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        passed, failed, contradictions = value["known"]
        self._bisection = Bisection(self._bisection.cells, passed, failed, [(point, passes) for point, passes in contradictions])
        self._points = {
            place: _Point(wave, dict(map(tuple, trials)), passed, list(waiting), dict(map(tuple, asked)))
            for place, wave, trials, passed, waiting, asked in value["points"]
        }
        self._place = {number: place for place, point in self._points.items() for number in point.trials}
        self._created = value["created"]
        self._wave = value["wave"]


def _check(prop: Any, sweep_props: Any, **counts: Any) -> None:
    """Raise OptionError for the first of the other options that cannot be."""
    check_counts("the binary search", **counts)
    if not isinstance(prop, str) or not all(prop.split(".")):
        message = f"prop of the binary search is the dotted name of a hyperparameter, as in 'data.size', not {prop!r}"
        raise OptionError(message)
    sweeps = sweep_props if isinstance(sweep_props, Mapping) else {None: None} if sweep_props is not None else {}
    if not all(isinstance(name, str) and isinstance(values, Sequence) and not isinstance(values, str) for name, values in sweeps.items()):
        message = f"sweep_props of the binary search are lists of values by name, as in {{'depth': [2, 4]}}, not {sweep_props!r}"
        raise OptionError(message)


def _bounds(values: Sequence[float], precision: float, scale: str) -> tuple[float, float]:
    if scale not in _SCALES:
        message = f"scale of the binary search is one of {', '.join(_SCALES)}, not {scale!r}"
        raise OptionError(message)
    pair = isinstance(values, Sequence) and len(values) == 2 and all(_is_number(value) for value in values)
    if not pair or not values[0] < values[1]:
        message = f"range of the binary search is its lowest and its highest value, as in (10, 100), not {values!r}"
        raise OptionError(message)
    if scale == "log" and values[0] <= 0:
        message = f"the range of a binary search on a logarithmic scale must be above 0, not {values!r}"
        raise OptionError(message)
    if not _is_number(precision) or precision <= (1 if scale == "log" else 0):
        least = "a ratio above 1" if scale == "log" else "above 0"
        message = f"precision of the binary search must be {least}, not {precision!r}"
        raise OptionError(message)
    return values[0], values[1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _set(hparams: Hyperparameters, path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        hparams = hparams.setdefault(parent, {})
    hparams[name] = value
