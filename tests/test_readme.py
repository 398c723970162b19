"""Every command that a page shows is known here, with where it is run; what is quick is run here, the pages' code included."""

from __future__ import annotations

import inspect
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shadho_like import Shadho, rand
from shadho_like.resources import Resources
from shadho_like.settings import Settings
from shadho_like.space import as_space

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/*/README.md"))]
COMMANDS = {
    "apt-get install coop-computing-tools python3-workqueue": ("scripts/test.sh", "coop-computing-tools python3-workqueue"),
    "conda install -c conda-forge ndcctools": ("scripts/test.sh", "conda install -c conda-forge ndcctools"),
    "pip install .": ("tests/test_house.py", "def test_pip_install"),
    "python scripts/benchmark/asha.py": ("tests/test_benchmarks.py", '["asha", "samplers"]'),
    "python scripts/benchmark/binary.py": ("tests/test_benchmarks.py", 'with_name("binary.py")'),
    "python scripts/benchmark/dashboard.py": ("tests/test_benchmarks.py", 'with_name("dashboard.py")'),
    "python scripts/benchmark/faults.py": ("tests/test_benchmarks.py", '("faults", ["1", "2"]'),
    "python scripts/benchmark/hardware.py": ("tests/test_benchmarks.py", 'with_name("hardware.py")'),
    "python scripts/benchmark/overhead.py": ("tests/test_benchmarks.py", "scripts/benchmark/overhead.py"),
    "python examples/dummy_experiment.py num_parameters=2**5 --seed=1": ("tests/test_examples.py", '"num_parameters=2**5", "--seed=1"'),
    "python examples/runner_binary_search/driver.py": ("tests/test_examples.py", '"examples/runner_binary_search/driver.py"'),
    "python examples/runner_grid_search/driver.py": ("tests/test_examples.py", '"examples/runner_grid_search/driver.py"'),
    "python scripts/benchmark/samplers.py": ("tests/test_benchmarks.py", '["asha", "samplers"]'),
    "python run_experiment.py": ("tests/e2e/test_custom_search_method.py", '["python", "run_experiment.py"]'),
    "python driver.py": ("tests/test_examples.py", 'driver: str = "driver.py"'),
    "scripts/quickstart.sh": ("tests/test_house.py", "def test_quickstart"),
    "scripts/test.sh": (".ci/run", "scripts/test.sh"),
    "shadho preview-search examples/asha_digits/experiment.yaml --workers 8 --seconds 30": (
        "tests/cli/test_preview_search.py",
        '"preview-search", EXAMPLE, "--workers", "8", "--seconds", "30"',
    ),
    "shadho checkpoint delete experiments/asha_digits 12.1.1": ("tests/test_examples.py", '"delete"'),
    "shadho checkpoint describe experiments/asha_digits 12.1.1": ("tests/test_examples.py", '"describe"'),
    "shadho checkpoint download experiments/asha_digits 12.1.1 here": ("tests/test_examples.py", '"download"'),
    "shadho checkpoint download experiments/fault_tolerance 0.1.12 best": ("tests/e2e/test_fault_tolerance.py", '"download"'),
    "shadho checkpoint list experiments/asha_digits": ("tests/test_examples.py", '"list"'),
    "shadho checkpoint list experiments/fault_tolerance": ("tests/e2e/test_fault_tolerance.py", '"list"'),
    "shadho experiment activate experiments/sin": ("tests/e2e/test_pause.py", '"experiment", "activate"'),
    "shadho experiment cancel experiments/sin": ("tests/e2e/test_pause.py", '"experiment", "cancel"'),
    "shadho experiment create --local --test-mode experiment.yaml searched": (
        "tests/create/test_digits_script.py",
        '"create", "--local", "--test-mode", "experiment.yaml", "searched"',
    ),
    "shadho experiment create experiment.yaml searched --follow": (
        "tests/create/test_digits_script.py",
        '"create", "experiment.yaml", "searched", "--follow"',
    ),
    "shadho experiment continue experiments/sin --max-trials 2000": ("tests/e2e/test_pause.py", '"continue", "--max-trials"'),
    "shadho dashboard experiments/sin": ("tests/dashboard/served.py", '"dashboard"'),
    "shadho experiment archive experiments/sin": None,
    "shadho experiment describe experiments/sin": None,
    "shadho experiment list": None,
    "shadho experiment logs experiments/sin": None,
    "shadho experiment set experiments/sin labels=paper": None,
    "shadho experiment unarchive experiments/sin": None,
    "shadho experiment watch experiments/sin": None,
    "shadho export --optuna sqlite:///study.db experiments/sin": ("tests/dashboard/test_study_export.py", '"export", "--optuna"'),
    "shadho report experiments/sin -o report.html": None,
    "shadho experiment kill experiments/sin": ("tests/e2e/test_pause.py", '"experiment", "kill"'),
    "shadho experiment pause experiments/sin": ("tests/e2e/test_pause.py", '"experiment", "pause"'),
    "shadho workers submit --batch slurm --name digits -n 10 --gpus 1 --cores 8 --time 4:00:00 -- --partition=gpu": (
        "tests/e2e/test_slurm.py",
        '"submit", "--batch", "slurm", "--name"',
    ),
    "shadho workers submit --batch slurm --name digits -n 10 --gpus 1 --dry-run": ("tests/cli/test_workers_command.py", '"--dry-run"'),
    "shadho workers submit --batch sge --name digits -n 10 --gpus 1 --cores 8 -- -q gpu -l gpu_card=1": (
        "tests/batch/test_batch.py",
        "params=SYSTEMS",
    ),
    "shadho workers submit --batch pbs --name digits -n 10 --gpus 1 --cores 8 --time 4:00:00": (
        "tests/batch/test_batch.py",
        "params=SYSTEMS",
    ),
    "shadho workers submit --batch htcondor --name digits -n 10 --gpus 1 --cores 8 -- 'accounting_group = mine'": (
        "tests/batch/test_batch.py",
        "params=SYSTEMS",
    ),
    "shadho workers submit --batch slurm --name digits --auto 0:20 --gpus 1 --cores 8 --time 4:00:00 -- --partition=gpu": (
        "tests/e2e/test_auto.py",
        '"submit", "--name", "auto", "--auto"',
    ),
    "shadho workers pack -o env.tar.gz": ("tests/e2e/test_environment.py", 'tmp_path, "pack"'),
    "shadho workers status digits": ("tests/e2e/test_slurm.py", '"status", "devices"'),
    "shadho workers scale digits 20": ("tests/e2e/test_slurm.py", '"scale", "nobody", "3"'),
    "shadho workers drain digits": ("tests/e2e/test_slurm.py", '"drain", "nobody"'),
    "shadho workers doctor digits": ("tests/test_doctor.py", 'doctor("digits")'),
    "sbatch scripts/slurm/driver.sbatch driver.py": ("tests/e2e/test_slurm.py", 'SCRIPTS / "driver.sbatch"'),
    "sbatch scripts/slurm/wq_worker.sbatch digits": ("tests/e2e/test_slurm.py", 'SCRIPTS.glob("*.sbatch")'),
    "qsub scripts/sge/wq_worker.sge digits": ("tests/batch/test_scripts.py", '("slurm", "sge", "pbs")'),
    "qsub -v SEARCH=digits scripts/pbs/wq_worker.pbs": ("tests/batch/test_scripts.py", '("slurm", "sge", "pbs")'),
    "condor_submit name=digits scripts/htcondor/wq_worker.sub": ("tests/batch/test_scripts.py", 'SCRIPTS / "htcondor"'),
    "wq_worker -M digits": ("tests/test_examples.py", '"wq_worker"'),
    "ssh gpu1 wq_worker -M digits": ("tests/test_examples.py", '"wq_worker"'),
    "ssh gpu2 wq_worker -M digits --jobs-per-gpu 2": ("tests/e2e/test_gpu_workers.py", '"--jobs-per-gpu"'),
    "scp ~/.shadho_like/rendezvous/digits.password gpu1:": ("tests/e2e/test_workers.py", "shutil.copy(password"),
    "ssh gpu1 wq_worker head.example.org 9123 -P digits.password": ("tests/e2e/test_workers.py", 'wq_worker("127.0.0.1", str(port), "-P"'),
    "shadho status experiments/sin": None,
    "shadho trial describe experiments/sin 7": None,
    "shadho trial explain experiments/sin 7": None,
    "shadho trial kill experiments/sin 7": ("tests/e2e/test_pause.py", '"trial", "kill"'),
    "shadho trials experiments/sin": None,
    "shadho trials experiments/sin --csv > trials.csv": None,
    "shadho trials experiments/svm_digits --csv": ("tests/cli/test_shadho.py", '"--csv"'),
    "shadho_wq_worker -M shadho_sin_ex": ("tests/test_examples.py", '"shadho_wq_worker"'),
    "wq_worker -M shadho_sin_ex --jobs-per-gpu 4": ("tests/e2e/test_gpu_workers.py", '("--jobs-per-gpu", "2")'),
    "wq_worker -M shadho_sin_ex --wall-time 14400 --drain-grace 120": ("tests/e2e/test_drain.py", '["--wall-time", "75"]'),
    "wq_worker -M shadho_sin_ex": ("tests/test_examples.py", '"wq_worker"'),
}
"""Which file runs each command, and by what text in it one can tell; None for those that are run here."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def the_block(language: str, text: str) -> str:
    """Return the one block of a language that holds a text, on whichever page it is."""
    [found] = [block for page in PAGES for block in blocks(page, language) if text in block]
    return found


def test_every_command_is_known() -> None:
    shown = {line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()}
    assert shown == set(COMMANDS)
    for page in PAGES:
        opening = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)[::2]
        assert set(opening) <= {"sh", "python", "ini"}, f"{page}: a block that no test knows"


def test_what_is_run_elsewhere_is_run_there() -> None:
    for place, text in filter(None, COMMANDS.values()):
        assert text in (ROOT / place).read_text(encoding="utf-8"), f"{place} has no {text}"


def test_links() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_first_search(tmp_path: Path, environment: dict[str, str], fonts: str) -> None:
    environment["MPLCONFIGDIR"] = fonts
    search = the_block("python", "def sin(params)")
    assert "timeout=10, max_tasks=1000" in search
    # A slow machine has time for all of it.
    (tmp_path / "driver.py").write_text(search.replace("timeout=10,", "timeout=None,"), encoding="utf-8")
    done = subprocess.run(["python", "driver.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^\d\.\S+ \{'x': \S+\}$", done.stdout, re.MULTILINE)
    for command in [command for command, place in COMMANDS.items() if not place]:
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert len((tmp_path / "trials.csv").read_text(encoding="utf-8").splitlines()) == 1001
    (tmp_path / "look.py").write_text(the_block("python", "plot_history"), encoding="utf-8")
    done = subprocess.run(["python", "look.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "history.png").stat().st_size > 10_000
    exec(the_block("python", "opt.callbacks"), {})
    names: dict[str, object] = {}
    exec(the_block("python", "activation"), names)
    as_space(names["space"])


def test_settings(tmp_path: Path) -> None:
    (tmp_path / ".shadhorc").write_text(the_block("ini", "[workqueue]"), encoding="utf-8")
    settings = Settings()
    settings.read(tmp_path / ".shadhorc")
    assert settings.workqueue.resources() == Resources(cores=4)


def test_the_options_are_those_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    page = (ROOT / "docs/driver.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (`.*?) \| (.*?) \|", page, re.MULTILINE)
    options = inspect.signature(Shadho).parameters
    names = [name for row, _ in table for name in re.findall(r"`(\w+)`", row)]
    assert {"timeout", "max_tasks", "seed"} <= set(names)
    for name in names:
        Shadho(math.sin, {"x": rand.uniform(0, 1)}, **{name: options[name].default})
    for row, default in table:
        if default in {"600", "None", "0", "1", "True", "False"}:
            assert str(options[row.strip("`")].default) == default


def test_the_compute_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(the_block("python", "add_compute_class"), names)
    assert [each.name for each in names["opt"].compute_classes] == ["graphics", "large"]


def test_the_python_that_is_promised() -> None:
    assert "Python 3.10 or later" in README.read_text(encoding="utf-8")
    assert "python_requires = >=3.10" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert sys.version_info >= (3, 10)


def test_the_search_with_a_method_and_the_training_script(tmp_path: Path, environment: dict[str, str]) -> None:
    search, training = the_block("python", "searcher.create"), the_block("python", "shadho_worker.init")
    (tmp_path / "train.py").write_text(training, encoding="utf-8")
    smaller = search.replace("max_trials=500", "max_trials=12, max_concurrent_trials=4")
    ending = 'opt.add_input_file("train.py")\nopt.run()\n'
    (tmp_path / "driver.py").write_text(f"{smaller}\n{ending}", encoding="utf-8")
    for command, said in (("driver.py", "Trials: 12 completed, 0 failed"), ("train.py", "shadho_worker: completed with {'status': 'completed'")):
        done = subprocess.run(["python", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert said in done.stdout, done.stderr


def test_the_binary_search(tmp_path: Path, environment: dict[str, str]) -> None:
    search = the_block("python", "run_binary_searches")
    (tmp_path / "search.py").write_text(search, encoding="utf-8")
    done = subprocess.run(["python", "search.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    passes, fails = (int(value) for value in re.findall(r"\((\d+), ", done.stdout.splitlines()[-1]))
    assert 96 <= fails < 100 <= passes < 104
