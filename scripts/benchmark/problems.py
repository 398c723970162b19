"""The functions on which samplers are compared: each over a search space of ours, and over the same one as Optuna has it asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from shadho_like import rand, spaces
from shadho_like.space import Space, as_space

_DIMENSIONS = 10
_HARTMANN_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_HARTMANN_SCALES = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_HARTMANN_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
_DIGITS = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """A function to minimise.

    Attributes:
        name: how the table calls it.
        loss: of a point.
        tree: our space.
        suggest: has a trial of Optuna's decide a point of the same space.
        least: the least value there is; 0 where nobody knows it.
        needs: the module without which it cannot be evaluated.
    """

    name: str
    loss: Callable[[Mapping[str, Any]], float]
    tree: Mapping[str, Any]
    suggest: Callable[[Any], dict[str, Any]]
    least: float = 0.0
    needs: str = "numpy"

    @property
    def space(self) -> Space:
        """Our space."""
        return as_space(self.tree)


def branin(point: Mapping[str, Any]) -> float:
    """Return Branin's function, which has three equal minima."""
    x, y = point["x"], point["y"]
    curve = y - 5.1 * x**2 / (4 * math.pi**2) + 5 * x / math.pi - 6
    return float(curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def hartmann(point: Mapping[str, Any]) -> float:
    """Return Hartmann's function of six numbers in 0..1."""
    x = np.array([point[f"x{index}"] for index in range(6)])
    return -float(_HARTMANN_WEIGHTS @ np.exp(-np.sum(_HARTMANN_SCALES * (x - _HARTMANN_CENTRES) ** 2, axis=1)))


def rosenbrock(point: Mapping[str, Any]) -> float:
    """Return Rosenbrock's function: a long curved valley."""
    x = np.array([point[f"x{index}"] for index in range(_DIMENSIONS)])
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def mixed(point: Mapping[str, Any]) -> float:
    """Return the loss of one of two models, each with whole numbers, logarithmic ones and choices of its own: 0.1 at best."""
    loss = {"none": 0.1, "range": 0.03, "deviation": 0.0}[point["scaling"]]
    if "net" in point["model"]:
        net = point["model"]["net"]
        loss += 0.1 + 0.005 * (net["layers"] - 4) ** 2 + 0.02 * (math.log10(net["rate"]) + 2.5) ** 2
        loss += 0.005 * math.log2(net["width"] / 128) ** 2
        return float(loss + {"relu": 0.0, "tanh": 0.02}[net["activation"]])
    trees = point["model"]["trees"]
    loss += 0.15 + 0.001 * (trees["depth"] - 9) ** 2 + 0.05 * abs(trees["share"] - 0.4)
    return float(loss + {"gini": 0.0, "entropy": 0.01}[trees["criterion"]])


def digits(point: Mapping[str, Any]) -> float:
    """Return the share of handwritten digits that a support vector machine reads wrong: the mean of a cross-validation."""
    from sklearn.model_selection import cross_val_score
    from sklearn.svm import SVC

    images, names, folds = _digits()
    return float(1 - cross_val_score(SVC(C=point["C"], gamma=point["gamma"]), images, names, cv=folds).mean())


@cache
def _digits() -> tuple[Any, Any, Any]:
    """Return images, what they show and how to split them: as many as let a thousand cross-validations take a minute."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold

    images, names = load_digits(return_X_y=True)
    return images[:_DIGITS] / 16, names[:_DIGITS], StratifiedKFold(3, shuffle=True, random_state=0)


def _suggest_mixed(trial: Any) -> dict[str, Any]:
    scaling = trial.suggest_categorical("scaling", ["none", "range", "deviation"])
    if trial.suggest_categorical("model", ["net", "trees"]) == "net":
        net = {
            "layers": trial.suggest_int("layers", 1, 8),
            "rate": trial.suggest_float("rate", 1e-5, 1, log=True),
            "width": trial.suggest_int("width", 8, 1024, log=True),
            "activation": trial.suggest_categorical("activation", ["relu", "tanh"]),
        }
        return {"scaling": scaling, "model": {"net": net}}
    trees = {
        "depth": trial.suggest_int("depth", 1, 30),
        "share": trial.suggest_float("share", 0, 1),
        "criterion": trial.suggest_categorical("criterion", ["gini", "entropy"]),
    }
    return {"scaling": scaling, "model": {"trees": trees}}


def _suggest_all(low: float, high: float, dimensions: int) -> Callable[[Any], dict[str, Any]]:
    names = [f"x{index}" for index in range(dimensions)]
    return lambda trial: {name: trial.suggest_float(name, low, high) for name in names}


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            "Branin",
            branin,
            {"x": rand.uniform(-5, 10), "y": rand.uniform(0, 15)},
            lambda trial: {"x": trial.suggest_float("x", -5, 10), "y": trial.suggest_float("y", 0, 15)},
            0.397887357729738,
        ),
        Problem(
            "Hartmann 6",
            hartmann,
            {f"x{index}": rand.uniform(0, 1) for index in range(6)},
            _suggest_all(0, 1, 6),
            -3.322368011391339,
        ),
        Problem(
            "Rosenbrock 10",
            rosenbrock,
            {f"x{index}": rand.uniform(-2, 2) for index in range(_DIMENSIONS)},
            _suggest_all(-2, 2, _DIMENSIONS),
        ),
        Problem(
            "mixed",
            mixed,
            {
                "scaling": ["none", "range", "deviation"],
                "model": spaces.scope(
                    exclusive=True,
                    net={
                        "layers": rand.randint(1, 9),
                        "rate": rand.loguniform(1e-5, 1),
                        "width": rand.lograndint(8, 1025),
                        "activation": ["relu", "tanh"],
                    },
                    trees={"depth": rand.randint(1, 31), "share": rand.uniform(0, 1), "criterion": ["gini", "entropy"]},
                ),
            },
            _suggest_mixed,
            0.1,
        ),
        Problem(
            "digits SVM",
            digits,
            {"C": rand.log2_uniform(-5, 15), "gamma": rand.log2_uniform(-15, 3)},
            lambda trial: {
                "C": trial.suggest_float("C", 2.0**-5, 2.0**15, log=True),
                "gamma": trial.suggest_float("gamma", 2.0**-15, 2.0**3, log=True),
            },
            needs="sklearn",
        ),
    )
}
