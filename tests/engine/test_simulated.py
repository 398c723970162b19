"""The simulated engine: a clock of its own, the same world for the same seed, the same loop and journal as the real ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shadho_like import Shadho, rand, searcher, spaces
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.errors import OptionError
from shadho_like.result import Result

SPACE = {"x": rand.uniform(0, 1)}


def duration(hparams: dict[str, Any], length: int) -> float:
    return 60.0 * length * (1 + 9 * float(hparams["x"]))


def metric(hparams: dict[str, Any], length: int) -> float:
    return float(hparams["x"]) + 1 / length


def search(folder: Path, world: World, *, max_tasks: int = 40, timeout: float | None = None, **options: Any) -> tuple[Result, SimulatedEngine]:
    engine = SimulatedEngine(world)
    method = searcher.create("async_halving", SPACE, max_length=9, max_trials=40, num_rungs=3, divisor=3)
    opt = Shadho("true", SPACE, directory=folder, name="s", method=method, engine=engine, seed=1, max_tasks=max_tasks, timeout=timeout, **options)
    return opt.run(), engine


def told(result: Result) -> list[Any]:
    return [(trial.hparams, trial.length, trial.metric, trial.finished_s) for trial in result.trials]


def test_attempts_take_the_time_of_the_model_and_no_other(tmp_path: Path) -> None:
    result, engine = search(tmp_path, World(duration, metric, workers=4))
    assert result.counts == {"COMPLETED": 40}
    trained_s = sum(duration(trial.hparams, trial.length) for trial in result.trials)
    assert engine.busy_s == pytest.approx(trained_s)
    began_s = min(trial.created_s for trial in result.trials)
    assert trained_s / 4 <= engine.now() - began_s < trained_s


def test_a_trial_that_starts_from_anothers_checkpoint_takes_the_rest_of_the_time(tmp_path: Path) -> None:
    method = searcher.create("pbt", {"x": rand.uniform(0, 1)}, population_size=8, num_rounds=5, length_per_round=2)
    engine = SimulatedEngine(World(lambda _, length: 60.0 * length, metric, workers=8))
    result = Shadho("true", SPACE, directory=tmp_path, name="s", method=method, engine=engine, seed=1, timeout=None).run()
    assert len(result.trials) > 8
    assert engine.busy_s == pytest.approx(8 * 5 * 2 * 60)


def test_the_same_seed_gives_the_same_world(tmp_path: Path) -> None:
    worlds = [World(duration, metric, workers=4, crash=0.2, loss=0.2, seed=seed) for seed in (1, 1, 2)]
    found = [told(search(tmp_path / str(number), world, max_resubmissions=3)[0]) for number, world in enumerate(worlds)]
    assert found[0] == found[1] != found[2]


def test_crashes_and_lost_workers_happen_as_often_as_they_should(tmp_path: Path) -> None:
    world = World(duration, metric, workers=50, crash=0.1, loss=0.2, seed=3)
    opt = Shadho("true", SPACE, directory=tmp_path, name="s", engine=SimulatedEngine(world), seed=1, max_tasks=2000, timeout=None)
    result = opt.run()
    counts = Counter(result.counts)
    assert counts["COMPLETED"] + counts["FAILED"] == 2000
    assert 0.08 < counts["FAILED"] / (2000 + result.lost) < 0.12
    assert 0.17 < result.lost / (2000 + result.lost) < 0.23


def test_a_search_that_is_stopped_carries_on(tmp_path: Path) -> None:
    world = World(duration, metric, workers=4)
    first, _ = search(tmp_path, world, timeout=2000)
    assert 0 < sum(trial.metric is not None for trial in first.trials) < 40
    assert search(tmp_path, world)[0].counts == {"COMPLETED": 40}


def test_what_is_no_number_is_a_failed_trial(tmp_path: Path) -> None:
    world = World(duration, lambda hparams, _: float("nan") if hparams["x"] < 0.5 else 1.0)
    opt = Shadho("true", SPACE, directory=tmp_path, name="s", engine=SimulatedEngine(world), seed=1, max_tasks=20, timeout=None)
    failures = [trial.failure.message for trial in opt.run().trials if trial.failure]
    assert set(failures) == {"the objective returned nan"}


def test_a_world_that_cannot_be() -> None:
    with pytest.raises(OptionError, match="workers of a simulated world must be at least 1, not 0"):
        World(duration, metric, workers=0)
    with pytest.raises(OptionError, match="loss of a simulated world is a chance, 0 to 1, not 2"):
        World(duration, metric, loss=2)
    with pytest.raises(OptionError, match="a simulated search needs a model of its trials"):
        Shadho("true", SPACE, engine="simulated", name="s").run()


def test_classes_of_workers_and_what_they_took_outlive_the_driver(tmp_path: Path) -> None:
    space = spaces.scope(exclusive=True, cnn={"rate": rand.uniform(0, 1)}, svm={"C": rand.uniform(0, 1)})
    seconds = {("cnn", "gpu"): 10.0, ("cnn", "cpu"): 60.0, ("svm", "gpu"): 20.0, ("svm", "cpu"): 20.0}
    world = World(lambda hparams, _, name: seconds[next(iter(hparams)), name], lambda *_: 1.0, classes={"gpu": 2, "cpu": 2})
    searches = []
    for tasks in (60, 80):
        opt = Shadho("true", space, directory=tmp_path, name="s", engine=SimulatedEngine(world), seed=1, max_tasks=tasks, timeout=None)
        opt.add_compute_class("gpu", "gpu_model", "A100")
        opt.add_compute_class("cpu", "cores", 8)
        searches.append(opt.run())
    assert searches[-1].counts == {"COMPLETED": 80}
    ran = Counter((next(iter(trial.hparams)), trial.host) for trial in searches[-1].trials)
    assert ran["cnn", "gpu"] > 4 * ran["cnn", "cpu"]
    assert all(trial.host == "gpu" for trial in searches[-1].trials[60:70] if "cnn" in trial.hparams)


@pytest.mark.parametrize("rule", ["use_complexity", "use_priority", "use_uncertainty"])
def test_a_search_by_shadhos_ranks(tmp_path: Path, rule: str) -> None:
    space = spaces.scope(exclusive=True, cnn={"rate": rand.uniform(0, 100)}, svm={"C": rand.uniform(0, 1)})
    world = World(lambda *_: 10.0, lambda hparams, _: float(next(iter(next(iter(hparams.values())).values()))), classes={"gpu": 2, "cpu": 2})
    options: dict[str, Any] = {rule: True}
    opt = Shadho("true", space, directory=tmp_path, name="s", engine=SimulatedEngine(world), seed=1, max_tasks=60, timeout=None, **options)
    opt.add_compute_class("gpu", "gpus", 1)
    opt.add_compute_class("cpu", "cores", 8)
    assert opt.run().counts == {"COMPLETED": 60}


def test_classes_that_cannot_be() -> None:
    opt = Shadho("true", SPACE, name="s")
    opt.add_compute_class("big", "cores", 8)
    with pytest.raises(OptionError, match="each compute class needs a name of its own, which 'big' is not"):
        opt.add_compute_class("big", "cores", 4)
    with pytest.raises(OptionError, match="compute class 'other' has the same workers as 'big': cores = 8"):
        opt.add_compute_class("other", "cores", 8)
    with pytest.raises(OptionError, match="compute class 'odd': memory is a whole number of at least 1, not 'much'"):
        opt.add_compute_class("odd", "memory", "much")
    with pytest.raises(OptionError, match="compute class 'odd': max_queued_tasks must be at least 1, not 0"):
        opt.add_compute_class("odd", "gpu_model", "A100", max_queued_tasks=0)
