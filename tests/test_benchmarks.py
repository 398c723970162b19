"""The benchmarks run, and measure what they say; in sizes that show no more than that."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pytest
from hardware import bound_per_hour, runs
from measure import Ratio, in_fresh_process, side_by_side
from parts import LONG, lack, need
from problems import PROBLEMS
from samplers import Compared, chance_of_losing, missing
from samplers import ours as best_of_ours
from samplers import theirs as best_of_theirs
from searches import bare_work_queue, optuna, optuna_processes, ours, ours_grown, ours_on_work_queue
from simulate import play
from svm_trace import read

from shadho_like import rand, searcher
from shadho_like.engine.simulated import World

OVERHEAD = Path(__file__).parent.parent / "scripts/benchmark/overhead.py"


def test_the_same_search_here_and_by_optuna(tmp_path: Path) -> None:
    assert in_fresh_process(ours, tmp_path / "here", 0, 60) > 0
    assert in_fresh_process(ours, tmp_path / "kept", 2, 60) > 0
    assert in_fresh_process(optuna, tmp_path / "journal", 20) > 0
    assert in_fresh_process(optuna, tmp_path / "trials.sqlite", 5) > 0
    assert in_fresh_process(optuna_processes, tmp_path / "shared", 2, 20) > 0
    early_s, late_s, memory_mb = in_fresh_process(ours_grown, tmp_path / "grown", 500, 100)
    assert min(early_s, late_s) > 0
    assert 20 < memory_mb < 250


@pytest.mark.usefixtures("work_queue_installed")
def test_the_same_tasks_here_and_by_a_plain_script(tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADHO_HOME", environment["SHADHO_HOME"])
    assert in_fresh_process(ours_on_work_queue, tmp_path / "shell", "sh task.sh", 20) > 0
    assert in_fresh_process(ours_on_work_queue, tmp_path / "batch", f"{sys.executable} task.py", 40, 10) > 0
    assert in_fresh_process(ours_on_work_queue, tmp_path / "callable", None, 20) > 0
    assert bare_work_queue(tmp_path / "bare", "sh task.sh", 20) > 0


def test_ratios() -> None:
    assert side_by_side(3, iter([1.0, 9.0, 2.0]).__next__, iter([4.0, 5.0, 6.0]).__next__) == [2.0, 5.0]
    assert Ratio("", 8, 2, "s", 4).reached
    assert not Ratio("", 8, 2, "s", 3.9, at_most=True).reached


def test_a_part_that_does_not_exist() -> None:
    done = subprocess.run([sys.executable, OVERHEAD, "lokal"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "there is no part 'lokal', only local, grown, workqueue\n")


@LONG
def test_overhead_prints_a_table() -> None:
    done = subprocess.run([sys.executable, OVERHEAD, "grown"], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert "| the driver's memory after 100,000 trials, to 250 MB |" in done.stdout


MINIMA: Mapping[str, Mapping[str, Any]] = {
    "Branin": {"x": math.pi, "y": 2.275},
    "Hartmann 6": dict(zip((f"x{n}" for n in range(6)), (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573), strict=True)),
    "Rosenbrock 10": {f"x{n}": 1.0 for n in range(10)},
    "mixed": {
        "scaling": "deviation",
        "model": {"net": {"layers": 4, "rate": 10**-2.5, "width": 128, "activation": "relu"}},
    },
}


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_samplers_are_compared_over_the_same_spaces(name: str) -> None:
    need("optuna", "sklearn")
    import optuna

    problem = PROBLEMS[name]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        problem.space.validate(problem.suggest(study.ask()))
    if name in MINIMA:
        problem.space.validate(MINIMA[name])
        assert problem.loss(MINIMA[name]) == pytest.approx(problem.least, abs=1e-5)
    assert problem.loss(problem.space.sample(np.random.default_rng(1))) > problem.least


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "cmaes"])
def test_a_sampler_here_and_by_itself(sampler: str) -> None:
    need("optuna", *{"gp": ("torch", "scipy"), "cmaes": ("cmaes",)}.get(sampler, ()))
    assert not missing(PROBLEMS["mixed"], sampler)
    assert 0 <= best_of_ours("mixed", sampler, 1, trials=13) < 1
    assert 0 <= best_of_theirs("mixed", sampler, 1, trials=13) < 1


def test_chances_of_losing() -> None:
    equal, behind = Compared([1, 2, 3, 4], [1, 2, 3, 4]), Compared(range(10, 20), range(10))
    assert (equal.wins, behind.wins) == (8, 0)
    assert chance_of_losing([equal]) == 0.5
    assert chance_of_losing([equal, behind]) < 0.01
    assert chance_of_losing([Compared([1, 1], [1, 1])]) == 0.5


def test_a_search_played_in_a_simulated_cluster() -> None:
    method = searcher.create("random", {"x": rand.uniform(0, 1)}, seed=1, max_trials=50, max_concurrent_trials=4, max_length=2)
    world = World(lambda _, length: 10.0 * length, lambda hparams, _: float(hparams["x"]), workers=4)
    whole = play(method, world, max_length=2, goal=-1.0)
    assert (whole.results, whole.ended_s, whole.reached_s) == (50, 260.0, math.inf)
    assert whole.busy == pytest.approx(1000 / 1040)
    assert 0 < whole.decision_s < 1


def test_the_jobs_that_the_runner_is_measured_by(tmp_path: Path) -> None:
    for part, found in (("trivial", "64"), ("binary", "38")):
        command = [sys.executable, str(OVERHEAD.with_name("sweeps") / "ours.py"), part, str(tmp_path / part)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds, answer = done.stdout.split()
        assert (float(seconds) > 0, answer) == (True, found), done.stderr


def test_the_runners_benchmark_says_what_it_needs() -> None:
    done = subprocess.run([sys.executable, OVERHEAD.with_name("runner.py"), "grid"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "there is no part 'grid', only trivial, binary, torch, unequal\n")
    if find_spec("gpusweep") is None:
        done = subprocess.run([sys.executable, OVERHEAD.with_name("runner.py"), "binary"], capture_output=True, text=True, check=False)
        said = "gpusweep is missing: pip install --no-deps gpusweep pydrafig && pip install pandas\n"
        assert (done.returncode, done.stderr) == (2, said)


@LONG
def test_a_dashboard_of_few_trials_is_measured() -> None:
    need("optuna", "optuna_dashboard")
    if reason := chromium.missing():
        lack(reason)
    done = subprocess.run([sys.executable, OVERHEAD.with_name("dashboard.py"), "600"], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert "draw the study, to drawing one of 500" in done.stdout


@pytest.mark.parametrize("script", ["asha", "samplers"])
def test_a_benchmark_of_no_seeds(script: str) -> None:
    command = [sys.executable, str(OVERHEAD.with_name(f"{script}.py")), "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "how many seeds? A whole number of at least 1, not '0'\n")


def test_the_benchmark_of_binary_search_prints_a_table() -> None:
    command = [sys.executable, str(OVERHEAD.with_name("binary.py")), "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert "| 16 slots, lognormal run times |" in done.stdout


@LONG
@pytest.mark.parametrize(
    ("script", "arguments", "row"),
    [("faults", ["1", "2"], "| shadho_like "), ("recovery", ["500", "8"], "| a checkpoint of 8 MB, to a plain copy of it ")],
)
def test_the_benchmarks_of_faults_print_a_table(script: str, arguments: list[str], row: str) -> None:
    command = [sys.executable, str(OVERHEAD.with_name(f"{script}.py"))]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert row in done.stdout
    assert subprocess.run([*command, "-1"], capture_output=True, check=False).returncode == 2


def test_the_run_times_of_a_real_search_replayed() -> None:
    trace = read(frozenset({2, 3, 4}))
    assert trace.workers == {"2": 19, "3": 17, "4": 16}
    done = {name: run(1) for name, run in runs(trace, 12.0).items()}
    uniform, *_, measured, oracle = done.values()
    assert oracle.per_hour > uniform.per_hour
    assert measured.per_hour > 0.85 * oracle.per_hour
    for replayed in done.values():
        assert abs(replayed.idle) < 0.05
        assert 0 < replayed.goal_h <= 12
        assert replayed.least > 0.2
    limits = [bound_per_hour(trace, parts) for parts in (1, 10)]
    assert uniform.per_hour < limits[0] < limits[1] < 1.05 * oracle.per_hour


def test_the_hardware_benchmark_prints_tables() -> None:
    command = [sys.executable, str(OVERHEAD.with_name("hardware.py"))]
    done = subprocess.run([*command, "1", "4"], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert done.stdout.count("| measured run times (ours)") == 2
    wrong = subprocess.run([*command, "-1"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr) == (2, "how many seeds, and how many hours? Whole numbers of at least 1\n")
