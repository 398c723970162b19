"""One trial that trains until it is asked to end, and goes on from its checkpoint elsewhere: what a worker that ends must hand on."""

from __future__ import annotations

from pathlib import Path

from shadho_like.result import Result

_DRIVER = """
from shadho_like import Shadho, rand, searcher
space = {{"x": rand.uniform(0, 1)}}
method = searcher.create("random", space, max_trials=1, max_length=1_000_000)
opt = Shadho("python train.py", space, name={name!r}, method=method, timeout=None)
opt.config.workqueue.name = {name!r}
opt.config.workqueue.address = "127.0.0.1"
opt.add_input_file("train.py")
{settings}
opt.run()
"""
# It ends when it is asked to, or when it has gone on from a checkpoint; by itself it would train for longer than any test may take.
_TRAIN = """
import pathlib, time
import shadho_worker
with shadho_worker.init() as context:
    began = epochs = 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path:
            began = epochs = int(pathlib.Path(path, "epochs").read_text())
    for operation in context.searcher.operations():
        while epochs < operation.length and not began and not context.preempt.should_preempt():
            epochs += 1
            operation.report_progress(epochs)
            pathlib.Path(SIGN).touch()
            time.sleep(0.1)
        with context.checkpoint.save_path() as path:
            pathlib.Path(path, "epochs").write_text(str(epochs))
        if context.preempt.should_preempt():
            break
        operation.report_completed({"loss": 1.0, "began": began})
"""


def write_search(folder: Path, name: str, settings: str = "") -> Path:
    """Write `driver.py`, with more settings of the search `opt`, and what it runs.

    Returns:
        The path of a file that is there once the trial trains.
    """
    sign = folder / "sign"
    (folder / "driver.py").write_text(_DRIVER.format(name=name, settings=settings), encoding="utf-8")
    (folder / "train.py").write_text(f"SIGN = {str(sign)!r}\n{_TRAIN}", encoding="utf-8")
    return sign


def was_handed_on(folder: Path, name: str) -> bool:
    """Return whether the trial was finished by an attempt that went on from the checkpoint of another one."""
    [trial] = Result(folder / "experiments" / name).trials
    return float(str(trial.metrics["began"])) > 0 and trial.attempt > 1
