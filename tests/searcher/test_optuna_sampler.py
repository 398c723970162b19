"""Optuna's samplers on our spaces: as good as by themselves, the same after a restart, parallel points different."""

from __future__ import annotations

import random
import statistics
from typing import Any

import optuna
import pytest
from searcher.play import Play, made

from shadho_like import rand, searcher, spaces
from shadho_like.errors import OptionError
from shadho_like.space import as_space
from shadho_like.trial import Attempt, Outcome, Success

SPACE = {
    "x": rand.uniform(-2, 2),
    "layers": rand.randint(1, 5),
    "rate": rand.loguniform(1e-4, 1),
    "kernel": spaces.scope(exclusive=True, linear={"c": [1, 2]}, rbf={"gamma": rand.loguniform(1e-3, 1)}),
    "extra": spaces.scope(optional=True, depth=rand.uniform(0, 1)),
    "list": spaces.repeat(rand.uniform(0, 1), 3),
}
SAMPLERS = ("cmaes", "nsgaii", "tpe")


def outcome(attempt: Attempt) -> Outcome:
    return Success(float(attempt.hparams["x"] ** 2 + attempt.hparams["layers"] / 10 + 1 / attempt.length))


def points(play: Play) -> list[Any]:
    return [operation.hparams for turn in play.turns for operation in turn.operations if isinstance(operation, searcher.Create)]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", ["random", "async_halving"])
def test_its_points_are_the_spaces_and_the_same_for_a_seed_also_after_a_restart(sampler: str, method: str) -> None:
    keys: dict[str, Any] = {"max_length": 9, "max_trials": 40, "max_concurrent_trials": 4, "sampler": sampler}
    keys |= {"num_rungs": 3, "divisor": 3} if method == "async_halving" else {}
    fresh = made(method, SPACE, **keys)
    plays = [Play(fresh), Play(fresh, reload=True)]
    for play in plays:
        order = random.Random(5)
        play.to_the_end(outcome, lambda attempts, order=order: order.choice(attempts))  # type: ignore[misc]
    assert points(plays[0]) == points(plays[1])
    assert len(points(plays[0])) == 40
    for hparams in points(plays[0]):
        as_space(SPACE).validate(hparams)


def test_a_sampler_is_a_method_of_its_own() -> None:
    play = Play(made("tpe", SPACE, max_trials=30))
    play.to_the_end(outcome)
    by_sampler = Play(made("random", SPACE, max_trials=30, sampler="tpe"))
    by_sampler.to_the_end(outcome)
    assert points(play) == points(by_sampler)


def test_points_asked_for_at_the_same_time_differ() -> None:
    play = Play(made("tpe", {"x": rand.uniform(0, 1)}, max_trials=40, max_concurrent_trials=20))
    play.to_the_end(lambda attempt: Success(float(attempt.hparams["x"])))
    assert len({hparams["x"] for hparams in points(play)}) == 40


def test_it_is_as_good_as_optuna_by_itself() -> None:
    def loss(x: float, y: float) -> float:
        return (x - 0.7) ** 2 + (y - 0.2) ** 2

    def ours(seed: int) -> float:
        space = {"x": rand.uniform(0, 1), "y": rand.uniform(0, 1)}
        play = Play(made("tpe", space, seed=seed, max_trials=60, max_concurrent_trials=1))
        play.to_the_end(lambda attempt: Success(loss(**attempt.hparams)))
        return min(loss(**hparams) for hparams in points(play))

    def theirs(seed: int) -> float:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        study.optimize(lambda trial: loss(trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)), n_trials=60)
        return float(study.best_value)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = range(5)
    assert statistics.median(map(ours, seeds)) < 2 * statistics.median(map(theirs, seeds))


def test_an_unknown_sampler_gives_the_nearest() -> None:
    with pytest.raises(OptionError, match="unknown sampler 'tpee': did you mean 'tpe'"):
        searcher.create("random", SPACE, sampler="tpee")
