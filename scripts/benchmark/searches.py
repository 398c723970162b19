"""The same search by this package and by Optuna: random sampling, three domains, a trivial objective. Each returns a rate."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from shadho_like import Shadho, rand
from shadho_like.result import Result

SPACE = {"x": rand.uniform(0, 1), "y": rand.loguniform(1e-4, 1), "z": rand.randint(0, 100)}


def objective(hparams: dict[str, Any]) -> float:
    """Cost next to nothing."""
    return float(hparams["x"] + hparams["y"] + hparams["z"])


def ours(directory: Path, workers: int, trials: int) -> float:
    """Return trials/s of a whole search on this machine; with no workers, in this process."""
    opt = Shadho(objective, SPACE, workers=workers, max_tasks=trials, timeout=None, seed=1, directory=directory)
    began_s = time.perf_counter()
    with redirect_stdout(StringIO()):
        opt.run()
    return trials / (time.perf_counter() - began_s)


def ours_grown(directory: Path, trials: int, window: int) -> tuple[float, float, float]:
    """Return seconds per trial at the beginning and at the end of a long search in this process, and its memory in MB."""
    ours(directory, 0, trials)
    # The system's own "maximum resident set size" of a process begins with that of the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    memory_mb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    ends = _ends(directory)
    early = ends[window // 2 + window] - ends[window // 2]
    return early / window, (ends[-1] - ends[-1 - window]) / window, memory_mb


def optuna(storage: Path, trials: int) -> float:
    """Return trials/s of Optuna in this process: on its journal, or on SQLite where the storage's name ends so."""
    study = _study(storage)
    began_s = time.perf_counter()
    study.optimize(_optuna_objective, n_trials=trials)
    return trials / (time.perf_counter() - began_s)


def optuna_processes(storage: Path, processes: int, trials: int) -> float:
    """Return trials/s of several processes with one study, from the first start to the last end, without their own starts."""
    _study(storage)
    code = "import sys; from pathlib import Path; from searches import optuna; optuna(Path(sys.argv[1]), int(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(storage), str(trials // processes)]
    for process in [subprocess.Popen(command, cwd=Path(__file__).parent) for _ in range(processes)]:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command)
    done = _study(storage).get_trials(deepcopy=False)
    first, last = min(trial.datetime_start for trial in done), max(trial.datetime_complete for trial in done)
    return len(done) / float((last - first).total_seconds())


def _study(storage: Path) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept = f"sqlite:///{storage}" if storage.suffix == ".sqlite" else optuna.storages.JournalStorage(JournalFileBackend(str(storage)))
    sampler = optuna.samplers.RandomSampler(seed=None)
    return optuna.create_study(study_name="overhead", storage=kept, sampler=sampler, load_if_exists=True)


def _optuna_objective(trial: Any) -> float:
    x = trial.suggest_float("x", 0, 1)
    y = trial.suggest_float("y", 1e-4, 1, log=True)
    return float(x + y + trial.suggest_int("z", 0, 99))


def ours_on_work_queue(folder: Path, command: str | None, trials: int, per_task: int = 1) -> float:
    """Return trials/s on Work Queue with a worker of this machine's cores: of a command, or of the callable without one."""
    folder.mkdir()
    opt = Shadho(
        command or objective, SPACE, max_tasks=trials, timeout=None, seed=1, directory=folder / "search", hyperparameters_per_task=per_task
    )
    for file in Path(__file__).with_name("tasks").iterdir() if command else ():
        opt.add_input_file(file)
    opt.config.workqueue.name = f"overhead{time.monotonic_ns()}"
    opt.config.workqueue.address = "127.0.0.1"
    with _worker(["-M", opt.config.workqueue.name]), redirect_stdout(StringIO()):
        opt.run()
    return _rate(_ends(folder / "search"))


def bare_work_queue(folder: Path, command: str, trials: int) -> float:
    """Return tasks/s of a plain Work Queue script that sends the same files."""
    folder.mkdir()
    files = [str(file) for file in (*Path(__file__).with_name("tasks").iterdir(), Path(_worker_module()))]
    script = [_work_queue_python(), str(Path(__file__).with_name("bare_work_queue.py")), str(trials), command, "result.json", *files]
    with subprocess.Popen(script, cwd=folder, stdout=subprocess.PIPE, text=True) as manager:
        assert manager.stdout
        port = manager.stdout.readline().strip()
        with _worker(["127.0.0.1", port]):
            return float(manager.stdout.readline())


@contextmanager
def _worker(manager: list[str]) -> Iterator[None]:
    command = [sys.executable, "-m", "wq_worker", *manager]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait()


def _worker_module() -> str:
    import shadho_worker

    return shadho_worker.__file__


def _work_queue_python() -> str:
    for python in (sys.executable, "/usr/bin/python3", "python3"):
        for module in ("ndcctools.work_queue", "work_queue"):
            if subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0:
                return python
    message = "Work Queue is missing: apt-get install coop-computing-tools python3-workqueue, or conda-forge's ndcctools"
    raise SystemExit(message)


def _ends(directory: Path) -> list[float]:
    return sorted(trial.finished_s for trial in Result(directory).trials if trial.finished_s is not None)


def _rate(ends: list[float]) -> float:
    skipped = len(ends) // 10
    return (len(ends) - skipped) / (ends[-1] - ends[skipped - 1])
