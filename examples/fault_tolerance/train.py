"""Trains a small network for as many epochs as the search wants, and saves all that it takes to go on after each of them."""

import numpy as np
import shadho_worker


def build_model(learning_rate, seed):
    rng = np.random.default_rng(seed)
    weights = {"hidden": rng.normal(0, 0.5, (8, 32)), "out": rng.normal(0, 0.2, (32, 1))}
    return weights, {"learning_rate": learning_rate, "momentum": {name: np.zeros_like(value) for name, value in weights.items()}}


def make_data(samples, seed):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(samples, 8))
    return inputs, np.sin(2 * inputs[:, :1]) + inputs[:, 1:2] * inputs[:, 2:3]


def train_batch(model, opt, inputs, targets):
    hidden = np.tanh(inputs @ model["hidden"])
    error = hidden @ model["out"] - targets
    gradient = {"out": hidden.T @ error, "hidden": inputs.T @ (error @ model["out"].T * (1 - hidden**2))}
    for name, value in gradient.items():
        opt["momentum"][name] = 0.9 * opt["momentum"][name] - opt["learning_rate"] * value / len(inputs)
        model[name] += opt["momentum"][name]
    return float(np.mean(error**2))


def evaluate(model, inputs, targets):
    return float(np.mean((np.tanh(inputs @ model["hidden"]) @ model["out"] - targets) ** 2))


def main(context):
    train_inputs, train_targets = make_data(2000, seed=0)
    valid_inputs, valid_targets = make_data(500, seed=1)
    model, opt = build_model(context.hparams["learning_rate"], context.trial.seed)

    batches_trained = 0
    epochs_trained = 0

    # Read the state from the last checkpoint: the weights, the optimizer's own state, and how far training was.
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path, np.load(f"{path}/my_checkpoint.npz") as state:
            for name in model:
                model[name] = state[f"model.{name}"]
                opt["momentum"][name] = state[f"momentum.{name}"]
            batches_trained = int(state["batches_trained"])
            epochs_trained = int(state["epochs_trained"])
    print(f"going on from epoch {epochs_trained}")

    for op in context.searcher.ops():
        while epochs_trained < op.length:
            # The order of the samples goes with the epoch, not with what this process did before: it is the same after a restart.
            order = np.random.default_rng([context.trial.seed, epochs_trained]).permutation(len(train_inputs))
            for batch in np.array_split(order, 50):
                loss = train_batch(model, opt, train_inputs[batch], train_targets[batch])
                batches_trained += 1
            context.train.report_training_metrics(batches_trained, {"loss": loss})

            # Track how much we have trained, and say so.
            epochs_trained += 1
            op.report_progress(epochs_trained)

            # A checkpoint every epoch: whatever happens, no more than one epoch is lost.
            state = {f"model.{name}": value for name, value in model.items()}
            state |= {f"momentum.{name}": value for name, value in opt["momentum"].items()}
            with context.checkpoint.save_path() as path:
                np.savez(f"{path}/my_checkpoint.npz", **state, batches_trained=batches_trained, epochs_trained=epochs_trained)

            # Asked to end, for a pause or because the machine's time is over: what is saved is enough.
            if context.preempt.should_preempt():
                return

        # Evaluate the model, and report that for this operation.
        loss = evaluate(model, valid_inputs, valid_targets)
        context.train.report_validation_metrics(batches_trained, {"loss": loss})
        op.report_completed({"loss": loss, "epochs": epochs_trained})


if __name__ == "__main__":
    with shadho_worker.init(hparams={"learning_rate": 0.1}) as context:
        main(context)
