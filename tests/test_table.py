"""The rows that a spreadsheet gets: nothing is lost, whatever the hyperparameters are called."""

from __future__ import annotations

import csv
import io
import json
import uuid
from typing import Any

from shadho_like.table import rows, write_csv
from shadho_like.trial import Failure, FailureKind, Trial, TrialState

HEAD, TAIL = ["number", "state"], ["attempts", "started", "finished", "host", "failure"]


def trial(number: int, hparams: dict[str, Any], **fields: Any) -> Trial:
    return Trial(number, uuid.UUID(int=number), hparams, seed=number, created_s=0.0, **fields)


def written(*trials: Trial, metric: str = "loss") -> list[list[str]]:
    file = io.StringIO()
    write_csv(lambda: trials, metric, file)
    return list(csv.reader(io.StringIO(file.getvalue())))


def test_a_column_for_each_hyperparameter_of_any_trial() -> None:
    failure = Failure(FailureKind.EXIT_CODE, 'it ended with exit status 3, "all", of it', "long log")
    done = {"state": TrialState.COMPLETED, "metric": 0.1 + 0.2, "started_s": 0.0, "finished_s": 1.5, "host": "a"}
    assert written(
        trial(0, {"svm": {"rbf": {"gamma": 1e-05}}}, **done),
        trial(1, {"svm": {"linear": {"C": 2}}, "on": True}, state=TrialState.FAILED, attempt=3, started_s=2.0, failure=failure),
        trial(2, {"svm": {"linear": {"C": 3}}, "layers": [1, 2]}),
        metric="error",
    ) == [
        [*HEAD, "error", "layers", "on", "svm.linear.C", "svm.rbf.gamma", *TAIL],
        [
            *("0", "COMPLETED", "0.30000000000000004", "", "", "", "1e-05"),
            *("1", "1970-01-01T00:00:00.000+00:00", "1970-01-01T00:00:01.500+00:00", "a", ""),
        ],
        ["1", "FAILED", "", "", "true", "2", "", "3", "1970-01-01T00:00:02.000+00:00", "", "", failure.message],
        ["2", "PENDING", "", "[1, 2]", "", "3", "", "0", "", "", "", ""],
    ]


def test_hyperparameters_that_are_called_as_other_columns() -> None:
    [row] = rows(lambda: [trial(0, {"loss": "hinge", "state": 1}, metric=0.5)], "loss")
    assert (row["loss"], row["hyperparameters.loss"]) == (0.5, "hinge")
    assert (row["state"], row["hyperparameters.state"]) == ("PENDING", 1)
    assert json.loads(json.dumps(row)) == row


def test_no_trials() -> None:
    assert written() == [[*HEAD, "loss", *TAIL]]


def test_trials_that_come_in_between_wait_for_the_next_time() -> None:
    stock = [trial(0, {"x": 1})]

    def growing() -> list[Trial]:
        stock.append(trial(len(stock), {"y": 2}))
        return stock[:-1]

    assert [row["number"] for row in rows(growing, "loss")] == [0]
