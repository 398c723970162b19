"""A training script for `faults.py`: one step after the other, a checkpoint and a line in a log after each."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import shadho_worker

with shadho_worker.init() as context:
    step = 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path:
            step = int(json.loads(Path(path, "step.json").read_text(encoding="utf-8")))
    for operation in context.searcher.operations():
        while step < operation.length:
            time.sleep(float(os.environ["STEP_S"]))
            step += 1
            with open(os.environ["STEPS"], "a", encoding="utf-8") as steps:
                steps.write(f"{context.trial.number} {step} {os.getpid()}\n")
            with context.checkpoint.save_path() as path:
                Path(path, "step.json").write_text(json.dumps(step), encoding="utf-8")
        operation.report_completed(context.hparams["x"])
