"""Optuna's samplers (TPE, Gaussian process, CMA-ES, NSGA-II) on our spaces: each decision is a number in 0..1, a whole
number, or one of some that are in no order.

What is told and asked is also kept as plain data, from which everything is built again after a restart; a new generator is made for
each point from the seed and the trial's number, so that the same search asks for the same points.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

from shadho_like.errors import OptionError
from shadho_like.searcher.samplers import Observed
from shadho_like.space import Space
from shadho_like.trial import Hyperparameters, Json

_FEWEST_RESULTS = 10
_BELOW_ONE = math.nextafter(1.0, 0.0)
_KERNEL = ("inverse_squared_lengthscales", "kernel_scale", "noise_var")
_Kernels = list[list[Any]]


class OptunaSampler:
    """Chooses points by what was reported at the greatest length at which there are enough results (as BOHB does; Falkner et al.,
    ICML 2018). Points that are not reported yet are in the model too, so that parallel ones differ.

    Args:
        space: where the points come from.
        seed: the same seed, and the same results in the same order, give the same points.
        kind: cmaes, gp, nsgaii or tpe.
        directions: minimize or maximize, for each metric that is observed.

    Raises:
        OptionError: Optuna, or what this sampler of it needs, is not installed.
    """

    def __init__(self, space: Space, seed: int, *, kind: str, directions: Sequence[str]) -> None:
        try:
            import optuna
        except ImportError as error:
            message = f"the sampler {kind} is Optuna's: pip install 'shadho_like[optuna]'"
            raise OptionError(message) from error
        self._optuna: Any = optuna
        self._space = space
        self._seed = seed
        self._kind = kind
        self._directions = list(directions)
        self._models: dict[int, _Model] = {}
        self._results: dict[int, int] = {}
        self._asked: dict[int, tuple[_Model, int]] = {}
        self._log: list[list[Any]] = []
        self._make_sampler(0)

    def sample(self, number: int) -> Hyperparameters:
        """Return the point of the `number`-th trial."""
        length = self._length()
        model = self._model(length)
        before = model.attributes()
        model.study.sampler = sampler = self._make_sampler(number)
        _warm_up(sampler, model.kernels)
        with quiet(self._optuna):
            trial = model.study.ask()
            hparams = self._space.sample_by(partial(_suggest, trial), number)
        frozen = model.trial(trial.number)
        decisions = [[name, value, *_kind(frozen.distributions[name])] for name, value in frozen.params.items()]
        noted = {name: value for name, value in model.attributes().items() if name not in before}
        model.kernels = _kernels(sampler)
        self._log.append(["ask", length, number, decisions, dict(frozen.system_attrs), noted, model.kernels])
        self._asked[number] = (model, trial.number)
        return hparams

    def _length(self) -> int:
        """Return the greatest length at which there are enough results; else the one with most of them; 0 before the first.

        CMA-ES and NSGA-II learn only from points that they chose themselves, so that they must begin to choose at once.
        """
        enough = [length for length, results in self._results.items() if results >= _FEWEST_RESULTS]
        return max(enough) if enough else max(self._results, key=lambda length: (self._results[length], length), default=0)

    def observe(self, number: int, hparams: Hyperparameters, length: int, metric: Observed) -> None:
        """Take in what a trial reported at a length."""
        del hparams
        if number in self._asked:
            self._tell(number, length, metric)
            self._log.append(["tell", number, length, metric])

    def _tell(self, number: int, length: int, metric: Observed) -> None:
        asked, index = self._asked[number]
        frozen = asked.trial(index)
        if metric is None:
            if not frozen.state.is_finished():
                asked.study.tell(index, state=self._optuna.trial.TrialState.FAIL)
            return
        if not self._results and 0 in self._models:
            # What was asked for before the first result is on its way to this length.
            self._models[length] = self._models.pop(0)
        self._results[length] = self._results.get(length, 0) + 1
        model = self._model(length)
        if not frozen.state.is_finished():
            if asked is model:
                model.study.tell(index, metric)
                return
            # What it reported at another length says nothing in this model, and it is not on its way to this one's any more.
            asked.study.tell(index, state=self._optuna.trial.TrialState.FAIL)
        values = list(metric) if isinstance(metric, Sequence) else [metric]
        model.study.add_trial(self._optuna.trial.create_trial(params=frozen.params, distributions=frozen.distributions, values=values))

    def state_to_json(self) -> Json:
        """Return what was asked and told, in order."""
        return self._log

    def load_state(self, value: Any) -> None:
        """Take over what `state_to_json` gave."""
        self._models, self._results, self._asked, self._log = {}, {}, {}, []
        for entry in value:
            if entry[0] == "tell":
                self._tell(*entry[1:])
            else:
                self._ask_again(*entry[1:])
            self._log.append(entry)

    def _ask_again(
        self, length: int, number: int, decisions: Any, attributes: dict[str, Any], noted: dict[str, Any], kernels: _Kernels
    ) -> None:
        """Put a point in its model as it was asked for."""
        model, trial = self._model(length), self._optuna.trial
        distributions = {name: self._distribution(*kind) for name, _, *kind in decisions}
        params = {name: decided for name, decided, *_ in decisions}
        running = trial.create_trial(state=trial.TrialState.RUNNING, params=params, distributions=distributions, system_attrs=attributes)
        model.study.add_trial(running)
        model.note(noted)
        model.kernels = kernels
        self._asked[number] = (model, model.size - 1)

    def _distribution(self, outcomes: int | None, ordered: bool) -> Any:
        distributions = self._optuna.distributions
        if outcomes is None:
            return distributions.FloatDistribution(0.0, 1.0)
        if ordered:
            return distributions.IntDistribution(0, outcomes - 1)
        return distributions.CategoricalDistribution(tuple(range(outcomes)))

    def _model(self, length: int) -> _Model:
        if length not in self._models:
            self._models[length] = _Model(self._optuna, self._directions)
        return self._models[length]

    def _make_sampler(self, number: int) -> Any:
        digest = hashlib.blake2b(f"{self._seed}.{number}".encode(), digest_size=4).digest()
        seed, samplers = int.from_bytes(digest, "big"), self._optuna.samplers
        makers: dict[str, Callable[[], Any]] = {
            "cmaes": lambda: samplers.CmaEsSampler(seed=seed),
            "gp": lambda: samplers.GPSampler(seed=seed),
            "nsgaii": lambda: samplers.NSGAIISampler(seed=seed),
            "tpe": lambda: samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
        }
        try:
            with quiet(self._optuna):
                return makers[self._kind]()
        except ImportError as error:
            message = f"the sampler {self._kind} needs more than Optuna itself: {error}"
            raise OptionError(message) from error


class _Model:
    """What is known at one length, as Optuna has it: a study in memory, and what its samplers noted there besides the trials.

    Attributes:
        study: the study.
        kernels: what the last Gaussian processes were like.
    """

    def __init__(self, optuna: Any, directions: list[str]) -> None:
        self.kernels: _Kernels = []
        self._storage = optuna.storages.InMemoryStorage()
        with quiet(optuna):
            self.study = optuna.create_study(storage=self._storage, directions=directions)
        self._id = self._storage.get_study_id_from_name(self.study.study_name)

    @property
    def size(self) -> int:
        return len(self.study.get_trials(deepcopy=False))

    def trial(self, index: int) -> Any:
        return self.study.get_trials(deepcopy=False)[index]

    def attributes(self) -> dict[str, Any]:
        return dict(self._storage.get_study_system_attrs(self._id))

    def note(self, attributes: dict[str, Any]) -> None:
        for name, value in attributes.items():
            self._storage.set_study_system_attr(self._id, name, value)


@contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna from telling what is meant: studies that are made, and decisions drawn at random as no model can have them."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _kernels(sampler: Any) -> _Kernels:
    """Return the parameters of the Gaussian processes that a sampler has fitted, if it has any."""
    fitted = getattr(sampler, "_gprs_cache_list", None) or ()
    return [[getattr(process, name).tolist() for name in _KERNEL] for process in fitted]


def _warm_up(sampler: Any, kernels: _Kernels) -> None:
    """Have a sampler fit its Gaussian processes from these on, as one that is kept would: from nothing, it finds worse ones."""
    if kernels:
        import torch

        tensors = [[torch.tensor(values, dtype=torch.float64) for values in kernel] for kernel in kernels]
        sampler._gprs_cache_list = [SimpleNamespace(**dict(zip(_KERNEL, kernel, strict=True))) for kernel in tensors]  # noqa: SLF001


def _suggest(trial: Any, name: str, outcomes: int | None, ordered: bool) -> float:
    """Have Optuna decide, where there is anything to decide; the answer is the middle of the outcome's share."""
    if outcomes == 1:
        return 0.5
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
