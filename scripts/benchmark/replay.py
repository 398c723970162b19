"""Replays a trace's trials on the simulated engine, each given its compute class by one rule. No rule is chosen here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from svm_trace import KERNELS, Trace

from shadho_like.dispatch import Assignment, Rule, RunTimes, Wait
from shadho_like.engine.simulated import SimulatedEngine
from shadho_like.events import AttemptFinished, AttemptStarted
from shadho_like.trial import Attempt, AttemptId, Hyperparameters, Success

OPEN_TRIALS = 100
"""How many trials are open at once, as with `max_queued_tasks`."""
_PATIENCE_S = 1e9
_PER_PART = 100


@dataclass(frozen=True)
class Replayed:
    """What came of a search.

    Attributes:
        per_hour: trials that ended in an hour.
        goal_h: hours to the first trial that reached the goal; those of the whole replay if none did.
        idle: the share of their time that workers had nothing to do.
        least: the share of the trials that the kernel had that came off worst; a quarter would be its due.
    """

    per_hour: float
    goal_h: float
    idle: float
    least: float


class OldestFirst:
    """A plain framework's rule: whichever worker is free takes the oldest trial."""

    def choose(self, compute_class: str, waits: Wait, now_s: float) -> str | None:
        """Return what has waited longest."""
        del compute_class, now_s
        return max(waits, key=waits.__getitem__, default=None)

    def learn(self, leaf: str, hparams: Hyperparameters, metric: float) -> None:
        """Learn nothing."""


class Oracle(RunTimes):
    """Knows the run time of each trial on each class, to a part of its kernel's run times.

    Args:
        trace: where they are.
        parts: into how many parts each kernel's are divided.
    """

    def __init__(self, trace: Trace, parts: int) -> None:
        super().__init__()
        self._parts = parts
        places = (np.arange(parts * _PER_PART) + 0.5) / (parts * _PER_PART)
        self.times_s = {
            (f"{kernel} {part}", name): float(times_s)
            for (kernel, name), whole in trace.times_s.items()
            for part, times_s in enumerate(whole[(places * len(whole)).astype(int)].reshape(parts, _PER_PART).mean(axis=1))
        }
        kinds = {kind for kind, _ in self.times_s}
        self._means = {kind: float(np.mean([self.times_s[kind, name] for name in trace.workers])) for kind in kinds}

    def leaf_of(self, hparams: Hyperparameters) -> str:
        """Return a trial's kernel and its part."""
        return f"{hparams['kernel']} {int(hparams['place'] * self._parts)}"

    def of_leaf(self, leaf: str) -> float:
        """Return the mean over the classes."""
        return self._means[leaf]

    def seconds(self, leaf: str, compute_class: str, now_s: float) -> float:
        """Return what is so."""
        return self.times_s[leaf, compute_class]


def kernel_of(hparams: Hyperparameters) -> str:
    """Return a trial's kernel, which is its leaf space."""
    return str(hparams["kernel"])


def replay(
    trace: Trace,
    rule: Rule,
    *,
    seed: int,
    hours: float,
    times: RunTimes | None = None,
    leaf_of: Callable[[Hyperparameters], str] = kernel_of,
) -> Replayed:
    """Run trials for some hours; the same seed gives the same trials, whatever the rule."""
    rng, engine = np.random.default_rng(seed), SimulatedEngine(trace.world, 0.0)
    assignment, samples = Assignment(leaf_of, times, rule), list[dict[str, Any]]()
    ended, goal_s = Counter[str](dict.fromkeys(KERNELS, 0)), hours * 3600

    def created() -> Attempt:
        samples.append(trace.trial(rng))
        return Attempt(AttemptId(len(samples) - 1, 1), samples[-1], seed=0)

    assignment.add([created() for _ in range(OPEN_TRIALS)])
    while engine.now() < hours * 3600:
        orders = assignment.assign(engine.classes(), engine.now())
        engine.cancel(orders.recalled)
        engine.submit(orders.submitted)
        for update in engine.wait(_PATIENCE_S):
            if isinstance(update, AttemptStarted | AttemptFinished):
                assignment.note(update)
            if isinstance(update, AttemptFinished) and isinstance(update.outcome, Success):
                ended[samples[update.attempt.trial]["kernel"]] += 1
                if update.outcome.metric is not None and update.outcome.metric <= trace.goal:
                    goal_s = min(goal_s, update.time_s)
                assignment.add([created()])
    took_s, workers = engine.now(), sum(trace.workers.values())
    count = sum(ended.values())
    return Replayed(count / took_s * 3600, goal_s / 3600, 1 - engine.busy_s / (workers * took_s), min(ended.values()) / count)
