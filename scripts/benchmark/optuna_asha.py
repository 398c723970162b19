"""Optuna's ASHA (its SuccessiveHalvingPruner) in the same simulated cluster: every worker asks, trains to the next rung, and is told
whether to go on. Nothing of ours decides anything here.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna

from shadho_like.engine.simulated import World


def reached_s(
    world: World, names: list[str], rungs: list[int], divisor: int, goal: float, until_s: float, *, tpe: bool, seed: int
) -> float:
    """Return when a trial of the greatest length has a metric of at most `goal`, in the world's seconds; infinity if none has."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True) if tpe else optuna.samplers.RandomSampler(seed=seed)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=rungs[0], reduction_factor=divisor)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    chance = np.random.default_rng(seed)
    order = itertools.count()
    ends: list[tuple[float, int, Any, dict[str, float], int]] = []
    now_s = 0.0

    def start() -> None:
        trial = study.ask()
        hparams = {name: trial.suggest_float(name, 0, 1) for name in names}
        push(trial, hparams, 0)

    def push(trial: Any, hparams: dict[str, float], rung: int) -> None:
        before_s = world.duration(hparams, rungs[rung - 1]) if rung else 0.0
        end_s = now_s + world.duration(hparams, rungs[rung]) - before_s
        heapq.heappush(ends, (end_s, next(order), trial, hparams, rung))

    for _ in range(world.workers):
        start()
    while ends:
        now_s, _, trial, hparams, rung = heapq.heappop(ends)
        if now_s > until_s:
            return math.inf
        if chance.random() < world.crash:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            start()
            continue
        value = world.metric(hparams, rungs[rung])
        if rung == len(rungs) - 1:
            if value <= goal:
                return now_s
            study.tell(trial, value)
            start()
            continue
        trial.report(value, rungs[rung])
        if trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            start()
        else:
            push(trial, hparams, rung + 1)
    return math.inf


def contenders() -> dict[str, Callable[..., float]]:
    """Return what can be compared, by name."""
    return {
        "Optuna's ASHA": lambda *given, seed: reached_s(*given, tpe=False, seed=seed),
        "Optuna's ASHA with its TPE": lambda *given, seed: reached_s(*given, tpe=True, seed=seed),
    }
