"""Trains a small network on the digits for as many epochs as the search wants, from where an earlier attempt left it."""

import pickle
import warnings

import shadho_worker
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

warnings.simplefilter("ignore", ConvergenceWarning)


def main(context):
    X, y = load_digits(return_X_y=True)
    train_X, valid_X, train_y, valid_y = train_test_split(X / 16, y, test_size=0.3, random_state=0, stratify=y)

    model = MLPClassifier(
        hidden_layer_sizes=(context.hparams["hidden"],),
        learning_rate_init=context.hparams["learning_rate"],
        alpha=context.hparams["alpha"],
        batch_size=context.hparams["batch_size"],
        random_state=context.trial.seed,
    )
    epochs = 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path, open(f"{path}/model.pkl", "rb") as file:
            model, epochs = pickle.load(file)
    print(f"going on from epoch {epochs}")

    for operation in context.searcher.operations():
        while epochs < operation.length:
            model.partial_fit(train_X, train_y, classes=range(10))
            epochs += 1
            operation.report_progress(epochs)
            context.train.report_training_metrics(epochs, {"loss": model.loss_})
        with context.checkpoint.save_path() as path, open(f"{path}/model.pkl", "wb") as file:
            pickle.dump((model, epochs), file)
        operation.report_completed({"accuracy": model.score(valid_X, valid_y), "epochs": epochs})


if __name__ == "__main__":
    with shadho_worker.init() as context:
        main(context)
