"""Walks towards the lowest point of (x - 1)**2, `rate` of the way in each epoch, and goes on from its latest checkpoint."""

import json

import shadho_worker

with shadho_worker.init() as context:
    x, epochs = context.hparams["x"], 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path, open(f"{path}/state.json") as file:
            x, epochs = json.load(file)
    print(f"going on from epoch {epochs}")

    for operation in context.searcher.operations():
        while epochs < operation.length:
            x -= context.hparams["rate"] * (x - 1)
            epochs += 1
        with context.checkpoint.save_path() as path, open(f"{path}/state.json", "w") as file:
            json.dump([x, epochs], file)
        operation.report_completed((x - 1) ** 2)
