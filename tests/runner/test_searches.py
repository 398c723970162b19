"""The answers of binary and grid searches, whatever the slots, the order in which jobs end, and how many searches share the slots."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import re
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from experiments import Experiment, binary, grid, imaginary
from hypothesis import given, settings
from hypothesis import strategies as st

from shadho_like.engine.devices import Devices
from shadho_like.engine.pool import JobPool
from shadho_like.runner import run_binary_searches, run_grid_searches

UNHURRIED = settings(deadline=None, max_examples=30)
slots = st.sampled_from([1, 2, 3, 4, 8, 16])
ranges = st.tuples(st.integers(-100, 100), st.integers(2, 200)).map(lambda pair: (pair[0], pair[0] + pair[1]))
sweeps = st.dictionaries(st.sampled_from(["seed", "n", "threshold"]), st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True), max_size=3)


def searched(config: Any, slots: int, order: int | None = None) -> tuple[Any, int]:
    with imaginary(slots, order) as jobs:
        [answer] = run_binary_searches([config])
    assert jobs.most <= slots
    assert not jobs.running
    return answer, jobs.rounds


@UNHURRIED
@given(bounds=ranges, precision=st.integers(1, 7), place=st.floats(-0.1, 1.1), low=st.booleans(), sweep=st.integers(1, 3), slots=slots, order=st.integers())
def test_the_boundary_is_right_and_the_same_for_all_slots_and_orders(
    bounds: tuple[int, int], precision: int, place: float, low: bool, sweep: int, slots: int, order: int
) -> None:
    threshold = bounds[0] + place * (bounds[1] - bounds[0]) + 0.01
    keys: dict[str, Any] = {"range": bounds, "precision": precision, "success_direction_lower": not low, "low_passes": low}
    keys |= {"sweep_props": {"seed": list(range(sweep))}, "base_experiment_config": Experiment(threshold=threshold)}
    with tempfile.TemporaryDirectory() as folder:
        answers = [searched(binary(Path(folder, name), **keys), *how)[0] for name, *how in (("a", slots, order), ("b", 1))]
    assert answers[0] == answers[1]
    achieved, failed = answers[0]
    for side, passed in ((achieved, True), (failed, False)):
        if side is not None:
            assert type(side[0]) is int
            assert ((side[0] < threshold) == low) == passed
            assert side[1] == [threshold - side[0]] * sweep
    if achieved and failed:
        assert 0 < (failed[0] - achieved[0]) * (1 if low else -1) <= precision
    else:
        only = (achieved or failed)[0]
        assert only == (bounds[1] if bool(achieved) == low else bounds[0])


@UNHURRIED
@given(bounds=ranges, precision=st.sampled_from([1, 2]), place=st.floats(-0.1, 1.1), slots=slots)
def test_rounds_at_equal_run_times(bounds: tuple[int, int], precision: int, place: float, slots: int) -> None:
    threshold = bounds[0] + place * (bounds[1] - bounds[0]) + 0.01
    with tempfile.TemporaryDirectory() as folder:
        config = binary(Path(folder, "a"), range=bounds, precision=precision, base_experiment_config=Experiment(threshold=threshold))
        rounds = searched(config, slots)[1]
    cells = max(2, math.ceil((bounds[1] - bounds[0]) / precision))
    assert rounds <= math.ceil(math.log(cells) / math.log(slots + 1) - 1e-9) + 1


@UNHURRIED
@given(sweep=sweeps, slots=slots, order=st.integers())
def test_every_point_of_a_grid_once_and_in_order(sweep: dict[str, list[int]], slots: int, order: int) -> None:
    with tempfile.TemporaryDirectory() as folder, imaginary(slots, order) as jobs:
        [answer] = run_grid_searches([grid(Path(folder, "a"), sweep_props=sweep)])
    points = [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]
    assert [values for values, _, _ in answer] == points
    assert len(jobs.ended) == len(points)


def test_a_grid_of_which_most_fails_is_done_all_the_same(tmp_path: Path) -> None:
    config = grid(tmp_path / "a", sweep_props={"n": list(range(30))}, base_experiment_config=Experiment(fails_from=2))
    with closing(JobPool(Devices((), 2))) as jobs, mock.patch("shadho_like.runner.run.jobs_for", return_value=jobs):
        [answer] = run_grid_searches([config])
    assert [success for _, success, _ in answer] == [True] * 2 + [False] * 28
    [path] = (tmp_path / "a/n_7").glob("experiment_result_*.pkl")
    assert pickle.loads(path.read_bytes())["error"].startswith("ValueError: 7 is too much\nn=7 seed=0\nTraceback")


def test_lower_is_better(tmp_path: Path) -> None:
    config = binary(tmp_path / "a", success_direction_lower=True, low_passes=False)
    assert searched(config, 3)[0] == ((50, [0.0]), (49, [1.0]))


def test_floats_where_a_bound_is_one(tmp_path: Path) -> None:
    achieved, failed = searched(binary(tmp_path / "a", range=(0.0, 100), precision=0.5, base_experiment_config=Experiment(threshold=33.3)), 4)[0]
    assert achieved[0] < 33.3 <= failed[0] <= achieved[0] + 0.5


def test_a_precision_that_is_no_whole_number_between_whole_numbers(tmp_path: Path) -> None:
    for name, precision, most in (("a", 0.25, 1), ("b", 2.5, 2)):
        achieved, failed = searched(binary(tmp_path / name, precision=precision), 2)[0]
        assert {type(achieved[0]), type(failed[0])} == {int}
        assert achieved[0] < 50 <= failed[0] <= achieved[0] + most


def test_a_nested_field(tmp_path: Path) -> None:
    achieved, failed = searched(binary(tmp_path / "a", prop="optimizer.lr", range=(0.0, 100.0), precision=1.0), 2)[0]
    assert achieved[0] < 50 <= failed[0] <= achieved[0] + 1


def test_many_searches_share_the_slots_fairly(tmp_path: Path) -> None:
    configs = [grid(tmp_path / name, sweep_props={"n": list(range(count))}) for name, count in (("a", 30), ("b", 6), ("c", 6))]
    with imaginary(6) as jobs:
        run_grid_searches(configs)
    assert jobs.rounds == 42 / 6
    # With two slots each, the two short searches are over after three rounds.
    assert sorted(Path(job.search.base_dir).name for job in jobs.ended[:18]) == ["a"] * 6 + ["b"] * 6 + ["c"] * 6
    with imaginary(3) as jobs:
        answers = run_binary_searches([binary(tmp_path / f"s{number}", base_experiment_config=Experiment(threshold=number)) for number in range(1, 4)])
    assert [achieved[0] for achieved, _ in answers if achieved] == [0, 1, 2]


def test_one_slot_for_each_of_many_searches_is_plain_bisection(tmp_path: Path) -> None:
    configs = [binary(tmp_path / f"s{number}", base_experiment_config=Experiment(threshold=number * 11 + 0.5)) for number in range(8)]
    with imaginary(8) as jobs:
        run_binary_searches(configs)
    assert jobs.rounds <= math.ceil(math.log2(100)) + 2


def test_the_files(tmp_path: Path) -> None:
    with imaginary(2):
        answer = run_binary_searches([binary(tmp_path / "a")])[0]
        aggregated = run_grid_searches([grid(tmp_path / "a")])[0]
    [path] = (tmp_path / "a").glob("binary_search_results_*.pkl")
    filed = pickle.loads(path.read_bytes())
    assert (filed["achieved_results"], filed["failed_results"]) == answer == ((49, [1.0]), (50, [0.0]))
    assert filed["search_range"] == [0, 100]
    assert filed["precision"] == 1
    assert filed["total_time"] > 0
    assert filed["timestamp"] in path.name
    assert [value for value, *_ in filed["points"]] == sorted(value for value, *_ in filed["points"])
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["achieved_results"] == [49, [1.0]]
    [path] = (tmp_path / "a").glob("grid_search_results_*.pkl")
    assert pickle.loads(path.read_bytes())["results"] == aggregated
    assert not list((tmp_path / "a").rglob("*.partial"))


def test_answers_that_are_not_monotone_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = binary(tmp_path / "a", range=(0, 8), passing=[1, 2, 3, 6])
    with imaginary(8) as jobs:
        jobs.together = True
        run_binary_searches([config])
    [path] = (tmp_path / "a").glob("*.pkl")
    warning = "n=6 passed, unlike others on its side of the boundary"
    assert pickle.loads(path.read_bytes())["warnings"] == [warning]
    assert f"warning: {warning}" in capsys.readouterr().out


def test_what_is_shown_while_searches_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FIRST_S", "_PLAIN_S"):
        monkeypatch.setattr(f"shadho_like.live_lines.{name}", 0.0)
    with imaginary(2):
        run_binary_searches([binary(tmp_path / "a", sweep_props={"seed": [1, 2]}, range=(0, 32))])
    shown = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines() if " · " in line]
    assert re.fullmatch(r"n in \[0, 32\] · running n=16 \(1 running\) · 1 jobs done · about 0:00 left", shown[0])
    assert any(line.startswith("n in [16, 32] · ") for line in shown)
