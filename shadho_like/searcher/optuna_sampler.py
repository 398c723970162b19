"""Optuna's samplers (TPE, Gaussian process, CMA-ES, NSGA-II) on our spaces: each decision is a number in 0..1, a whole
number, or one of some that are in no order.

What is told and asked is also kept as plain data, from which everything is built again after a restart; a new generator is made for
each point from the seed and the trial's number, so that the same search asks for the same points.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from shadho_like.errors import OptionError
from shadho_like.space import Space
from shadho_like.trial import Hyperparameters, Json

_FEWEST_RESULTS = 10
_BELOW_ONE = math.nextafter(1.0, 0.0)


class OptunaSampler:
    """Chooses points by what was reported at the greatest length at which there are enough results (as BOHB does; Falkner et al.,
    ICML 2018). Points that are not reported yet are in the model too, so that parallel ones differ.

    Args:
        space: where the points come from.
        seed: the same seed, and the same results in the same order, give the same points.
        kind: cmaes, gp, nsgaii or tpe.
        smaller_is_better: whether the metric is minimised.

    Raises:
        OptionError: Optuna, or what this sampler of it needs, is not installed.
    """

    def __init__(self, space: Space, seed: int, *, kind: str, smaller_is_better: bool) -> None:
        try:
            import optuna
        except ImportError as error:
            message = f"the sampler {kind} is Optuna's: pip install 'shadho_like[optuna]'"
            raise OptionError(message) from error
        self._optuna: Any = optuna
        self._space = space
        self._seed = seed
        self._kind = kind
        self._direction = "minimize" if smaller_is_better else "maximize"
        self._studies: dict[int, Any] = {}
        self._results: dict[int, int] = {}
        self._asked: dict[int, tuple[int, int]] = {}
        self._log: list[list[Any]] = []
        self._make_sampler(0)

    def sample(self, number: int) -> Hyperparameters:
        """Return the point of the `number`-th trial."""
        length = self._length()
        study = self._study(length)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.sampler = self._make_sampler(number)
            trial = study.ask()
            hparams = self._space.sample_by(partial(_suggest, trial), number)
        frozen = study.get_trials(deepcopy=False)[trial.number]
        decisions = [[name, value, *_kind(frozen.distributions[name])] for name, value in frozen.params.items()]
        self._log.append(["ask", length, number, decisions, dict(frozen.system_attrs)])
        self._asked[number] = (length, trial.number)
        return hparams

    def _length(self) -> int:
        """Return the greatest length at which there are enough results; else the one with most of them; 0 before the first.

        CMA-ES and NSGA-II learn only from points that they chose themselves, so that they must begin to choose at once.
        """
        enough = [length for length, results in self._results.items() if results >= _FEWEST_RESULTS]
        return max(enough) if enough else max(self._results, key=lambda length: (self._results[length], length), default=0)

    def observe(self, number: int, hparams: Hyperparameters, length: int, metric: float | None) -> None:
        """Take in what a trial reported at a length."""
        del hparams
        if number in self._asked:
            self._tell(number, length, metric)
            self._log.append(["tell", number, length, metric])

    def _tell(self, number: int, length: int, metric: float | None) -> None:
        asked_at, index = self._asked[number]
        study = self._study(asked_at)
        frozen = study.get_trials(deepcopy=False)[index]
        if metric is None:
            if not frozen.state.is_finished():
                study.tell(index, state=self._optuna.trial.TrialState.FAIL)
            return
        self._results[length] = self._results.get(length, 0) + 1
        if not frozen.state.is_finished():
            if asked_at == length:
                study.tell(index, metric)
                return
            # What it reported at another length says nothing in this model, and it is not on its way to this one's any more.
            study.tell(index, state=self._optuna.trial.TrialState.FAIL)
        known = self._optuna.trial.create_trial(params=frozen.params, distributions=frozen.distributions, value=metric)
        self._study(length).add_trial(known)

    def state_to_json(self) -> Json:
        """Return what was asked and told, in order."""
        return self._log

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        self._studies, self._results, self._asked, self._log = {}, {}, {}, []
        trial = self._optuna.trial
        for entry in value:
            if entry[0] == "tell":
                self._tell(*entry[1:])
            else:
                _, length, number, decisions, attributes = entry
                distributions = {name: self._distribution(*kind) for name, _, *kind in decisions}
                params = {name: decided for name, decided, *_ in decisions}
                study = self._study(length)
                running = trial.create_trial(
                    state=trial.TrialState.RUNNING, params=params, distributions=distributions, system_attrs=attributes
                )
                study.add_trial(running)
                self._asked[number] = (length, len(study.get_trials(deepcopy=False)) - 1)
            self._log.append(entry)

    def _distribution(self, outcomes: int | None, ordered: bool) -> Any:
        distributions = self._optuna.distributions
        if outcomes is None:
            return distributions.FloatDistribution(0.0, 1.0)
        if ordered:
            return distributions.IntDistribution(0, outcomes - 1)
        return distributions.CategoricalDistribution(tuple(range(outcomes)))

    def _study(self, length: int) -> Any:
        if length not in self._studies:
            optuna = self._optuna
            before = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            self._studies[length] = optuna.create_study(direction=self._direction)
            optuna.logging.set_verbosity(before)
        return self._studies[length]

    def _make_sampler(self, number: int) -> Any:
        digest = hashlib.blake2b(f"{self._seed}.{number}".encode(), digest_size=4).digest()
        seed, samplers = int.from_bytes(digest, "big"), self._optuna.samplers
        makers: dict[str, Callable[[], Any]] = {
            # What a model cannot have in it is drawn at random, by design; Optuna would say so once for each such decision.
            "cmaes": lambda: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
            "gp": lambda: samplers.GPSampler(seed=seed),
            "nsgaii": lambda: samplers.NSGAIISampler(seed=seed),
            "tpe": lambda: samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
        }
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return makers[self._kind]()
        except ImportError as error:
            message = f"the sampler {self._kind} needs more than Optuna itself: {error}"
            raise OptionError(message) from error


def _suggest(trial: Any, name: str, outcomes: int | None, ordered: bool) -> float:
    """Have Optuna decide; the answer is the middle of the outcome's share."""
    if outcomes is None:
        return min(float(trial.suggest_float(name, 0.0, 1.0)), _BELOW_ONE)
    if ordered:
        return (int(trial.suggest_int(name, 0, outcomes - 1)) + 0.5) / outcomes
    return (int(trial.suggest_categorical(name, tuple(range(outcomes)))) + 0.5) / outcomes


def _kind(distribution: Any) -> tuple[int | None, bool]:
    """Return the number of outcomes, and whether they are in an order."""
    if hasattr(distribution, "choices"):
        return len(distribution.choices), False
    return (distribution.high + 1, True) if isinstance(distribution.high, int) else (None, True)
