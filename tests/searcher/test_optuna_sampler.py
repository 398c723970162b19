"""Optuna's samplers on our spaces: as good as by themselves, the same after a restart, parallel points different."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest
from parts import need
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
NEEDS = {"cmaes": ("cmaes",), "gp": ("scipy", "torch"), "nsgaii": (), "tpe": ()}
"""What each sampler needs besides Optuna."""
TRIALS = {"cmaes": 60, "gp": 14, "nsgaii": 120, "tpe": 60}
"""Of each sampler, enough for it to choose by its model, and some that come while others run; a Gaussian process takes its time."""


@pytest.fixture(autouse=True)
def optuna_installed(request: pytest.FixtureRequest) -> None:
    sampler = request.node.callspec.params.get("sampler", "tpe") if hasattr(request.node, "callspec") else "tpe"
    need("optuna", *NEEDS[sampler])


def outcome(attempt: Attempt) -> Outcome:
    return Success(float(attempt.hparams["x"] ** 2 + attempt.hparams["layers"] / 10 + 1 / attempt.length))


def points(play: Play) -> list[Any]:
    return [operation.hparams for turn in play.turns for operation in turn.operations if isinstance(operation, searcher.Create)]


@pytest.mark.parametrize("sampler", sorted(NEEDS))
@pytest.mark.parametrize("method", ["random", "async_halving"])
def test_its_points_are_the_spaces_and_the_same_for_a_seed_also_after_a_restart(sampler: str, method: str) -> None:
    keys: dict[str, Any] = {"max_length": 9, "max_trials": TRIALS[sampler], "max_concurrent_trials": 4, "sampler": sampler}
    keys |= {"num_rungs": 3, "divisor": 3} if method == "async_halving" else {}
    fresh = made(method, SPACE, **keys)
    plays = [Play(fresh), Play(fresh, reload=True)]
    for play in plays:
        order = random.Random(5)
        play.to_the_end(outcome, lambda attempts, order=order: order.choice(attempts))  # type: ignore[misc]
    assert points(plays[0]) == points(plays[1])
    assert len(points(plays[0])) == TRIALS[sampler]
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


@pytest.mark.parametrize("sampler", ["cmaes", "gp", "tpe"])
def test_it_searches_better_than_chance(sampler: str) -> None:
    trials = 20 if sampler == "gp" else 40

    def found(name: str, seed: int) -> float:
        space = {"x": rand.uniform(0, 1), "layers": rand.randint(1, 9), "rate": rand.loguniform(1e-4, 1)}

        def loss(hparams: Any) -> float:
            return float((hparams["x"] - 0.7) ** 2 + (hparams["layers"] - 4) ** 2 / 64 + (math.log10(hparams["rate"]) + 2) ** 2 / 16)

        play = Play(made("random", space, seed=seed, max_trials=trials, max_concurrent_trials=1, sampler=name))
        play.to_the_end(lambda attempt: Success(loss(attempt.hparams)))
        return min(map(loss, points(play)))

    assert statistics.median(found(sampler, seed) for seed in range(3)) < statistics.median(found("random", seed) for seed in range(3))


def test_what_is_asked_for_before_the_first_result_is_in_the_model() -> None:
    from shadho_like.searcher.optuna_sampler import OptunaSampler

    sampler = OptunaSampler(as_space({"x": rand.uniform(0, 1), "y": rand.uniform(0, 1)}), 1, kind="nsgaii", directions=["minimize"])
    asked = [sampler.sample(number) for number in range(60)]
    for number, hparams in enumerate(asked):
        sampler.observe(number, hparams, 27, hparams["x"])
    sampler.sample(60)
    state: Any = sampler.state_to_json()
    assert {name: value for name, value in state[-1][4].items() if "generation" in name} == {"NSGAIISampler:generation": 1}


def test_it_is_as_good_as_optuna_by_itself() -> None:
    import optuna

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
