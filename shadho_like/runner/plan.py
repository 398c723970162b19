"""What jobs a search's points are made of. All that can be wrong with a search's config is found here, before anything runs."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from os.path import normpath
from typing import Any

import shadho_worker

from shadho_like.configs import Config
from shadho_like.configs.base import REQUIRED, declared
from shadho_like.errors import ConfigError, OptionError, nearest
from shadho_like.runner.configs.search_configs import BinarySearchConfig, SearchConfig
from shadho_like.runner.jobs import ExperimentJob

_METHODS = ("get_experiment_config_and_base_dir", "run_experiment_config", "agg_results")
_MOST_CHECKED = 10_000


class Plan:
    """How the points of one search become jobs.

    Args:
        search: its config, which is made final.
        called: what to call it in a message, such as `configs[0]`.

    Attributes:
        sweep: the values of each property that is swept, in the order of the config.

    Raises:
        OptionError: something in the config cannot be.
    """

    def __init__(self, search: SearchConfig, called: str) -> None:
        self.search = search
        self.called = called
        try:
            search.finalize()
            self.digest = search.digest()
        except ConfigError as error:
            raise OptionError(f"{called}{error.path}: {error.message}") from error
        self.sweep: dict[str, list[Any]] = search.sweep_props
        self._base_dirs: dict[str, str] = {}
        self._check_methods()
        if not isinstance(search.base_experiment_config, Config):
            text = f"must be a config, of a class made by @pydraclass, not {search.base_experiment_config!r:.100}"
            raise self._refusal(f"base_experiment_config {text}")
        for name, values in self.sweep.items():
            if not values:
                raise self._refusal(f"sweep_props[{name!r}] has no values: give at least one")
            texts = [repr(value) for value in values]
            if len(set(texts)) < len(texts):
                twice = next(text for at, text in enumerate(texts) if text in texts[:at])
                raise self._refusal(f"sweep_props[{name!r}] has {twice} twice")
        self._filled = self._check_parameters()

    def _refusal(self, text: str) -> OptionError:
        return OptionError(f"{self.called}: {text}")

    def _check_methods(self) -> None:
        for name in _METHODS:
            if getattr(type(self.search), name) is getattr(SearchConfig, name):
                own = type(self.search).__name__
                raise self._refusal(f"{own} has no method {name}, which every search needs")

    def _check_parameters(self) -> dict[str, Any]:
        """Return what the parameters that no sweep names are given."""
        search, swept = self.search, [*self.sweep]
        if isinstance(search, BinarySearchConfig):
            self._check_prop(search.prop)
            swept.append(search.prop)
        method = f"{type(search).__name__}.get_experiment_config_and_base_dir"
        parameters = list(inspect.signature(search.get_experiment_config_and_base_dir).parameters.values())
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        parameters = [parameter for parameter in parameters if parameter.kind not in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}]
        named = [parameter.name for parameter in parameters]
        if not takes_all and (strange := [name for name in swept if name not in named]):
            raise self._refusal(f"{method} has no parameter {strange[0]!r}: {nearest(strange[0], named)}")
        filled = {}
        for parameter in parameters:
            if parameter.name in swept:
                continue
            value = getattr(search.base_experiment_config, parameter.name, REQUIRED)
            if value is not REQUIRED:
                filled[parameter.name] = value
            elif parameter.default is parameter.empty:
                text = f"{method} takes {parameter.name!r}, which neither sweep_props nor a field of base_experiment_config gives"
                raise self._refusal(text)
        return filled

    def _check_prop(self, prop: str) -> None:
        config: Any = self.search.base_experiment_config
        for name in prop.split("."):
            if not isinstance(config, Config) or name not in declared(type(config)):
                known = nearest(name, declared(type(config))) if isinstance(config, Config) else "it holds no config"
                raise self._refusal(f"prop {prop!r} is no field of {type(self.search.base_experiment_config).__name__}: {known}")
            config = getattr(config, name)
        if prop in self.sweep:
            raise self._refusal(f"{prop!r} is searched, and in sweep_props too: leave it out there")

    @property
    def sweep_size(self) -> int:
        """How many combinations the sweep has."""
        return math.prod(map(len, self.sweep.values()))

    def swept(self, **more: Any) -> Iterator[dict[str, Any]]:
        """Yield the combinations of the sweep in order, the last property fastest, each with further values."""
        for values in itertools.product(*self.sweep.values()):
            yield {**dict(zip(self.sweep, values, strict=True)), **more}

    def check_points(self, points: Iterable[Mapping[str, Any]]) -> None:
        """Make the jobs of some points, and throw them away.

        Raises:
            OptionError: as `job`.
        """
        for values in itertools.islice(points, _MOST_CHECKED):
            self.job(values)

    def check_neighbours(self) -> None:
        """Check the first combination, and those that differ from it in one property."""
        first = {name: values[0] for name, values in self.sweep.items()}
        self.check_points([first])
        for name, values in self.sweep.items():
            self.check_points({**first, name: value} for value in values[1:])

    @property
    def is_large(self) -> bool:
        """Whether the sweep is too large to be checked whole."""
        return self.sweep_size > _MOST_CHECKED

    def job(self, values: Mapping[str, Any]) -> ExperimentJob:
        """Return the job of a point.

        Raises:
            OptionError: the search's own method fails, returns something else than it should, or gives two points one folder.
        """
        point = ", ".join(f"{name}={shadho_worker.short(value)}" for name, value in values.items())
        method = f"{type(self.search).__name__}.get_experiment_config_and_base_dir"
        try:
            returned = self.search.get_experiment_config_and_base_dir(**{**self._filled, **values})
        except Exception as error:
            raise self._refusal(f"{method} failed at {point}: {shadho_worker.describe(error)[0]}") from error
        if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Config)):
            raise self._refusal(f"{method} must return (experiment config, its base_dir), not {shadho_worker.short(returned)}")
        config, base_dir = returned[0], str(returned[1] or "")
        if not base_dir:
            raise self._refusal(f"{method} returned no base_dir at {point}: each experiment needs a folder of its own")
        try:
            config.finalize()
            digest = config.digest()
        except ConfigError as error:
            raise self._refusal(f"{method} returned a config that cannot be used at {point}: {error}") from error
        self._check_base_dir(base_dir, values)
        return ExperimentJob(self.search, config, base_dir, digest, dict(values))

    def _check_base_dir(self, base_dir: str, values: Mapping[str, Any]) -> None:
        point = ", ".join(f"{name}={values[name]!r}" for name in sorted(values))
        other = self._base_dirs.get(normpath(base_dir), point)
        if other != point:
            text = f"two points share the base_dir {base_dir}: {other} and {point}; put what tells them apart into its name"
            raise self._refusal(text)
        if len(self._base_dirs) < _MOST_CHECKED:
            self._base_dirs[normpath(base_dir)] = point
