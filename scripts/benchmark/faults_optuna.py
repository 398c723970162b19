"""A process of Optuna for `faults.py`, as its manual recommends: a heartbeat, retries of stale trials, a checkpoint to go on from.

Run `python faults_optuna.py STORAGE TRIALS LENGTH`. It ends when so many trials are complete.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

HEARTBEAT_S, GRACE_S = 1, 2
"""The manual's example has 60 s and 120 s, for trials that take longer than these."""


def study_of(storage: Path) -> Any:
    """Return the study, with a heartbeat where the storage knows one: JournalStorage does not."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    kept: Any
    if storage.suffix == ".sqlite":
        retry = RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
        kept = optuna.storages.RDBStorage(
            f"sqlite:///{storage}",
            engine_kwargs={"connect_args": {"timeout": 60}},
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
            heartbeat_stale_trial_callback=retry,
        )
    else:
        kept = optuna.storages.JournalStorage(JournalFileBackend(str(storage)))
    return optuna.create_study(study_name="faults", storage=kept, sampler=optuna.samplers.RandomSampler(), load_if_exists=True)


def frozen(trial: Any) -> FrozenTrial:
    """Return a running trial as the storage has it: in Optuna 5.0 the callback's own helper fails at one that runs."""
    found: FrozenTrial = trial.study.get_trials(deepcopy=False)[trial.number]
    return found


def number_of(trial: Any) -> int:
    """Return the number of the trial that this one is or retries."""
    retried = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial if isinstance(trial, FrozenTrial) else frozen(trial))
    return int(trial.number if retried is None else retried)


def main(storage: Path, trials: int, length: int) -> None:
    """Run trials until so many are complete."""

    def objective(trial: Any) -> float:
        x = float(trial.suggest_float("x", 0, 1))
        number = number_of(trial)
        checkpoint = storage.parent / f"checkpoint{number}.json"
        step = int(json.loads(checkpoint.read_text(encoding="utf-8"))) if checkpoint.exists() else 0
        while step < length:
            time.sleep(float(os.environ["STEP_S"]))
            step += 1
            with open(os.environ["STEPS"], "a", encoding="utf-8") as steps:
                steps.write(f"{number} {step} {os.getpid()}\n")
            partial = checkpoint.with_suffix(".partial")
            partial.write_text(json.dumps(step), encoding="utf-8")
            partial.replace(checkpoint)
            trial.report(x, step)
        return x

    study_of(storage).optimize(objective, callbacks=[MaxTrialsCallback(trials, states=(TrialState.COMPLETE,))])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
