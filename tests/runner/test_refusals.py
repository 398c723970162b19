"""What is wrong with a search is said before anything runs, in a sentence that names the place and what would do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiments import Binary, Experiment, Grid, binary, grid

from shadho_like.configs import ConfigError, pydraclass
from shadho_like.errors import OptionError
from shadho_like.runner import BinarySearchConfig, run_binary_searches, run_grid_searches


@pydraclass
class Careless(Grid):
    """Forgets the seed in the folder's name."""

    def get_experiment_config_and_base_dir(self, n: int, seed: int) -> Any:
        config: Any = copy.deepcopy(self.base_experiment_config)
        config.n, config.seed, config.base_dir = n, seed, f"{self.base_dir}/{n}"
        return config, config.base_dir


@pydraclass
class Bare(BinarySearchConfig):
    def run_experiment_config(self, config: Any) -> float:
        return 0.0

    def agg_results(self, results: Any) -> tuple[bool, Any]:
        return True, None


@pydraclass
class Wrong(Grid):
    how: int = 0

    def get_experiment_config_and_base_dir(self, n: int, other: int = 5) -> Any:
        if self.how == 1:
            raise KeyError("x")
        return [self.base_experiment_config, (self.base_experiment_config, "")][self.how - 2] if self.how else None


def careless(folder: Path, kind: Any = Careless, **keys: Any) -> Any:
    return kind(base_dir=str(folder), base_experiment_config=Experiment(), **{"sweep_props": {"n": [1, 2], "seed": [1, 2]}, **keys})


CASES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda folder: binary(folder, range=(100, 0)), "configs[0]: range of the binary search is its lowest and its highest value, as in (10, 100), not [100, 0]"),
    (lambda folder: binary(folder, precision=0), "configs[0]: precision of the binary search must be above 0, not 0"),
    (lambda folder: binary(folder, prop="m"), "configs[0]: prop 'm' is no field of Experiment: Known: base_dir, fails_from, kind, log, n, optimizer, seed, threshold."),
    (lambda folder: binary(folder, prop="optimizer.lt"), "configs[0]: prop 'optimizer.lt' is no field of Experiment: Known: base_dir, lr."),
    (lambda folder: binary(folder, prop="n.m"), "configs[0]: prop 'n.m' is no field of Experiment: it holds no config"),
    (lambda folder: binary(folder, sweep_props={"n": [1]}), "configs[0]: 'n' is searched, and in sweep_props too: leave it out there"),
    (lambda folder: binary(folder, sweep_props={"seed": []}), "configs[0]: sweep_props['seed'] has no values: give at least one"),
    (lambda folder: binary(folder, sweep_props={"seed": [3, 1, 3]}), "configs[0]: sweep_props['seed'] has 3 twice"),
    (
        lambda folder: Binary(base_dir=str(folder), prop="n"),
        "configs[0]: Binary needs a value for base_experiment_config, range, precision",
    ),
    (
        lambda folder: Bare(base_dir=str(folder), prop="n", range=(0, 1), precision=1, base_experiment_config=Experiment()),
        "configs[0]: Bare has no method get_experiment_config_and_base_dir, which every search needs",
    ),
    (
        lambda folder: grid(folder, base_experiment_config={"n": 1}),
        "configs[0]: base_experiment_config must be a config, of a class made by @pydraclass, not {{'n': 1}}",
    ),
    (
        careless,
        "configs[0]: two points share the base_dir {folder}/1: n=1, seed=1 and n=1, seed=2; put what tells them apart into its name",
    ),
    (
        lambda folder: careless(folder, sweep_props={"n": [1], "sed": [2]}),
        "configs[0]: Careless.get_experiment_config_and_base_dir has no parameter 'sed': did you mean 'seed'? Known: n, seed.",
    ),
    (
        lambda folder: Wrong(base_dir=str(folder), base_experiment_config=OtherExperiment()),
        "configs[0]: Wrong.get_experiment_config_and_base_dir takes 'n', which neither sweep_props nor a field of base_experiment_config gives",
    ),
    (
        lambda folder: careless(folder, Wrong, sweep_props={"n": [1]}, how=1),
        "configs[0]: Wrong.get_experiment_config_and_base_dir failed at n=1 (int): KeyError: 'x'",
    ),
    (
        lambda folder: careless(folder, Wrong, sweep_props={"n": [1]}),
        "configs[0]: Wrong.get_experiment_config_and_base_dir must return (experiment config, its base_dir), not None",
    ),
    (
        lambda folder: careless(folder, Wrong, sweep_props={"n": [1]}, how=3),
        "configs[0]: Wrong.get_experiment_config_and_base_dir returned no base_dir at n=1 (int): each experiment needs a folder of its own",
    ),
    (
        lambda folder: binary(folder, sweep_props={"kind": [object]}, base_experiment_config=Experiment(kind="a")),
        "configs[0]: Binary.get_experiment_config_and_base_dir failed at kind=<class 'object'> (type), n=0 (int): shadho_like.errors.ConfigError: config.kind: ",
    ),
]


@pydraclass
class OtherExperiment:
    m: int = 0


@pytest.mark.parametrize(("config", "message"), CASES, ids=range(len(CASES)))
def test_it_is_refused_before_anything_runs(tmp_path: Path, config: Callable[[Path], Any], message: str) -> None:
    run = run_grid_searches if isinstance(made := config(tmp_path / "a"), Grid) else run_binary_searches
    with pytest.raises(OptionError) as refused:
        run([made])
    assert str(refused.value).startswith(message.format(folder=tmp_path / "a"))
    assert not (tmp_path / "a").exists()


def test_a_folder_that_two_searches_share(tmp_path: Path) -> None:
    with pytest.raises(OptionError) as refused:
        run_grid_searches([grid(tmp_path / "a"), grid(tmp_path / "b"), grid(tmp_path / "b" / ".." / "a")])
    assert str(refused.value).startswith("configs[0] and configs[2] share the base_dir ")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"engine": "slurm"}, "engine: there is no 'slurm' for jobs: Known: local, workqueue."),
        ({"max_gpus": -1}, "max_gpus must be a whole number of at least 0, not -1"),
        ({"simultaneous_jobs_per_gpu": 0}, "simultaneous_jobs_per_gpu must be a whole number of at least 1, not 0"),
        ({"job_timeout": 0}, "job_timeout must be a number of seconds above 0, or None for no limit, not 0"),
        ({"workqueue": {"name": "x"}}, "workqueue and codec are for engine='workqueue': give that too, or leave them out"),
    ],
)
def test_options(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as refused:
        run_grid_searches([grid(tmp_path / "a")], **keys)
    assert str(refused.value) == message


def test_what_is_no_list_of_configs(tmp_path: Path) -> None:
    made: Any
    for made in (grid(tmp_path / "a"), [grid(tmp_path / "a")], ["a"]):
        with pytest.raises(OptionError, match="configs must be a list of BinarySearchConfig, not "):
            run_binary_searches(made)
    assert run_binary_searches([]) == []
    with pytest.raises(ConfigError, match="no field 'rnage': did you mean 'range'"):
        binary(tmp_path / "a", rnage=(1, 2))
