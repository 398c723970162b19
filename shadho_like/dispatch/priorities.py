"""SHADHO's priority of a leaf space: how unsure one is of how its metric varies. Pure; the same results give the same priorities."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from shadho_like.trial import Hyperparameters

_FITS = 16
_TRAINED_SHARE = 0.8
_FEWEST = 5
_MOST = 100
_NOISE = 1e-3
_LENGTH_SCALES = np.geomspace(0.05, 5.0, 12)

Array = npt.NDArray[np.float64]


class Priorities:
    """Priorities of leaf spaces (Kinnison et al., WACV 2018): the range of the rates at which the metric seems to vary.

    A Gaussian process is fitted to many random parts of the latest results; the rate is one over its length scale. Leaf spaces with
    few results come first.

    Args:
        features: gives a sample's hyperparameters as numbers in 0..1, as many for all samples of a leaf space.
    """

    def __init__(self, features: Callable[[str, Hyperparameters], Sequence[float]]) -> None:
        self._features = features
        self._results: defaultdict[str, deque[tuple[Sequence[float], float]]] = defaultdict(lambda: deque(maxlen=_MOST))
        self._known: dict[str, float] = {}

    def learn(self, leaf: str, hparams: Hyperparameters, metric: float) -> None:
        """Take note of a result."""
        self._results[leaf].append((self._features(leaf, hparams), metric))
        self._known.pop(leaf, None)

    def of(self, leaf: str) -> float:
        """Return a leaf space's priority, greater for one to be searched first."""
        if leaf not in self._known:
            self._known[leaf] = self._estimate(list(self._results[leaf]))
        return self._known[leaf]

    def _estimate(self, results: Sequence[tuple[Sequence[float], float]]) -> float:
        widest = float(1 / _LENGTH_SCALES[0] - 1 / _LENGTH_SCALES[-1])
        if len(results) < _FEWEST or not results[0][0]:
            return widest if len(results) < _FEWEST else 0.0
        points = np.array([point for point, _ in results], dtype=np.float64)
        values = np.array([value for _, value in results], dtype=np.float64)
        rng = np.random.Generator(np.random.PCG64(len(results)))
        count = int(np.ceil(_TRAINED_SHARE * len(values)))
        rates = []
        for _ in range(_FITS):
            chosen = np.argsort(rng.random(len(values)))[:count]
            rates.append(1 / _length_scale(points[chosen], values[chosen]))
        return float(max(rates) - min(rates))


def _length_scale(points: Array, values: Array) -> float:
    """Return the length scale under which the values are likeliest."""
    spread = float(values.std())
    if spread == 0.0:
        return float(_LENGTH_SCALES[-1])
    scaled = (values - values.mean()) / spread
    squares = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    return float(max(_LENGTH_SCALES, key=lambda scale: _log_likelihood(squares / scale**2, scaled)))


def _log_likelihood(squares: Array, values: Array) -> float:
    factor = np.linalg.cholesky(np.exp(-0.5 * squares) + _NOISE * np.eye(len(values)))
    white = np.linalg.solve(factor, values)
    return float(-0.5 * white @ white - np.log(np.diag(factor)).sum())
