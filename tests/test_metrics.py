"""Metrics that are more than one number: any JSON value for a method of one's own, several numbers for NSGA-II."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from parts import need

from shadho_like import Shadho, rand, searcher
from shadho_like.errors import MethodError, OptionError
from shadho_like.pareto import pareto_front
from shadho_like.result import Result
from shadho_like.searcher import Close, Create, ExitedReason, Operation, SearcherState, SearchMethod, ValidateAfter
from shadho_like.trial import Trial

REPORTED = [0.25, True, "good", [1, [2.5, None]], {"loss": 1.5, "size": 3}, {"size": 3}, {"loss": {"train": 1, "valid": 2}}]
METRICS = {"loss": "minimize", "size": "maximize"}


class Listener(SearchMethod):
    """Creates one trial for each of some values, and keeps what it hears."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self.heard: dict[int, Any] = {}
        self.left: list[ExitedReason] = []

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        operations: list[Operation] = []
        for index, value in enumerate(self.values):
            request_id = uuid.UUID(int=index)
            operations += [Create(request_id, {"value": value}, None), ValidateAfter(request_id, 1), Close(request_id)]
        return operations

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return []

    def on_validation_completed(self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int) -> list[Operation]:
        self.heard[request_id.int] = metric
        return []

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return []

    def on_trial_exited_early(self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason) -> list[Operation]:
        self.left.append(exited_reason)
        return []

    def progress(self, state: SearcherState) -> float:
        return len(state.trials_closed) / len(self.values)


def value_of(params: Mapping[str, Any]) -> Any:
    return params["value"]


def with_context(context: Any) -> None:
    for operation in context.searcher.operations():
        operation.report_completed(context.hparams["value"])


SCRIPT = "import shadho_worker\nshadho_worker.run(lambda params: params['value'])\n"
BARE = "import json\njson.dump(json.load(open('hyperparameters.json'))['value'], open('result.json', 'w'))\n"


@pytest.mark.parametrize("door", ["in process", "callable", "context", "script", "bare", "batch"])
def test_a_method_of_ones_own_hears_what_was_reported(tmp_path: Path, door: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(BARE if door == "bare" else SCRIPT)
    objective = {"in process": value_of, "callable": value_of, "context": with_context}.get(door, f"{sys.executable} script.py")
    method = Listener(REPORTED)
    opt = Shadho(
        *(objective, {}),
        method=method,
        directory=tmp_path / "search",
        timeout=None,
        workers=0 if door == "in process" else 2,
        hyperparameters_per_task=3 if door == "batch" else 1,
    )
    if isinstance(objective, str):
        opt.add_input_file(script)
    result = opt.run()
    assert [method.heard[index] for index in range(len(REPORTED))] == REPORTED
    assert [type(method.heard[index]) for index in range(len(REPORTED))] == list(map(type, REPORTED))
    assert (result.best_value, result.counts) == (0.25, {"COMPLETED": len(REPORTED)})
    assert result.trials[3].metrics == {"loss": [1, [2.5, None]]}
    assert result.trials[5].metrics == {"size": 3}


def test_what_was_reported_is_in_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opt(method: SearchMethod) -> Shadho:
        return Shadho(value_of, {}, method=method, directory=tmp_path, timeout=None, workers=0)

    values = [[1, 2], {"a": 1}]
    with monkeypatch.context() as patched:
        patched.setattr(Listener, "on_validation_completed", lambda self, *_: self.heard[-1])
        with pytest.raises(MethodError, match="raised KeyError: -1"):
            opt(Listener(values)).run()
    method = Listener(values)
    opt(method).run()
    assert method.heard == {0: [1, 2], 1: {"a": 1}}


def test_a_search_in_which_nothing_was_a_number_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = Shadho(value_of, {}, method=Listener(["a", "b"]), directory=tmp_path, timeout=None, workers=0).run()
    assert (result.best_value, result.best_trials) == (None, [])
    assert "Optimal loss: none, for no trial reported a number\n" in capsys.readouterr().out


def test_a_forgotten_return_fails_and_every_other_method_takes_numbers_only(tmp_path: Path) -> None:
    method = Listener([None, 1])
    result = Shadho(value_of, {}, method=method, directory=tmp_path / "own", timeout=None, workers=0).run()
    assert (method.heard, method.left) == ({1: 1.0}, [ExitedReason.ERRORED])
    assert result.trials[0].failure is not None
    result = Shadho(value_of, {"value": rand.choice([[1, 2]])}, directory=tmp_path / "random", max_tasks=1, workers=0).run()
    assert result.trials[0].failure is not None
    assert result.trials[0].failure.message == "the objective returned [1, 2] (list), not a number"


def two(params: Mapping[str, float]) -> dict[str, float]:
    """Return metrics of which one gets better where the other gets worse, for x in 0..1; y makes both worse."""
    x, y = params["x"], params["y"]
    return {"loss": x**2 + y, "size": x - y, "y": y}


@pytest.fixture
def optuna_installed() -> None:
    need("optuna")


def genetic(**keys: Any) -> searcher.BuiltInMethod:
    return searcher.create("nsgaii", {"x": rand.uniform(0, 2), "y": rand.uniform(0, 1)}, seed=1, metrics=METRICS, **keys)


def search(directory: Path, objective: Any = two, **options: Any) -> Result:
    space = {"x": rand.uniform(0, 2), "y": rand.uniform(0, 1)}
    given = {"method": genetic(max_trials=150), "directory": directory, "timeout": None, "workers": 0, **options}
    return Shadho(objective, space, **given).run()


@pytest.mark.usefixtures("optuna_installed")
def test_several_metrics_and_their_pareto_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(tmp_path / "one")
    points = {trial.number: (trial.metric, trial.metrics["size"]) for trial in result.trials}
    front = [
        number
        for number, (loss, size) in points.items()
        if not any(a <= loss and b >= size and (a, b) != (loss, size) for a, b in points.values())  # type: ignore[operator]
    ]
    assert [trial.number for trial in result.best_trials] == front
    assert 5 < len(front) < 150
    assert f"Trials that no other beats in loss, size: {len(front)}, see result.best_trials" in capsys.readouterr().out
    late = [trial.metrics["y"] for trial in result.trials[100:]]
    early = [trial.metrics["y"] for trial in result.trials[:50]]
    assert sum(late) < sum(early)  # type: ignore[arg-type]


@pytest.mark.usefixtures("optuna_installed")
def test_a_search_of_several_metrics_carries_on(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole")
    search(tmp_path / "parts", max_tasks=70)
    parts = search(tmp_path / "parts")
    assert [trial.hparams for trial in parts.trials] == [trial.hparams for trial in whole.trials]


@pytest.mark.usefixtures("optuna_installed")
def test_a_trial_that_lacks_one_of_several_metrics_fails(tmp_path: Path) -> None:
    method = genetic(max_trials=3)
    result = search(tmp_path, lambda params: {"loss": params["x"]}, method=method)
    assert {trial.failure.message for trial in result.trials if trial.failure} == {"the objective returned no 'size', only 'loss'"}
    assert (result.counts, result.best_trials) == ({"FAILED": 3}, [])


@pytest.mark.usefixtures("optuna_installed")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "accuracy"}, "metric 'accuracy' is none of the search method's metrics: give the one to show, 'loss' or 'size'"),
        ({"metric": "size"}, "the search method is to maximize 'size': give smaller_is_better=False to Shadho"),
        ({"smaller_is_better": False}, "the search method is to minimize 'loss': give smaller_is_better=True to Shadho"),
        ({"max_evals": 2}, "max_evals is for one metric; with several, evaluate the sample several times within the objective"),
    ],
)
def test_what_is_said_of_the_metric_fits_the_method(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        search(tmp_path, **options)
    assert str(raised.value) == message


@pytest.mark.usefixtures("optuna_installed")
@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"loss": "minimize"}, "metrics of nsgaii are two at least, as in {'loss': 'minimize', 'accuracy': 'maximize'}, not {'loss': 'minimize'}"),
        (["a", "b"], "metrics of nsgaii are two at least, as in {'loss': 'minimize', 'accuracy': 'maximize'}, not ['a', 'b']"),
        ({"a": "min", "b": "minimize"}, "metrics of nsgaii: 'a' is to minimize or maximize, not to 'min'"),
    ],
)
def test_metrics_that_make_no_sense(metrics: Any, message: str) -> None:
    with pytest.raises(OptionError) as raised:
        searcher.create("nsgaii", {"x": 1}, metrics=metrics)
    assert str(raised.value) == message
    with pytest.raises(OptionError, match="the search method 'tpe' has no key 'metrics'"):
        searcher.create("tpe", {"x": 1}, metrics=METRICS)


def test_the_front_of_equals_and_of_one_direction() -> None:
    def trial(number: int, loss: float | None, size: Any) -> Trial:
        return Trial(number, uuid.UUID(int=number), {}, 0, 0.0, metric=loss, metrics=json.loads(json.dumps({"size": size})))

    trials = [trial(0, 1.0, 1), trial(1, 1.0, 1), trial(2, 0.5, 0), trial(3, 1.0, 0.5), trial(4, None, 9), trial(5, 0.1, "a")]
    assert [each.number for each in pareto_front(trials, METRICS, "loss")] == [0, 1, 2]
    assert [each.number for each in pareto_front(trials, {"loss": "minimize", "size": "minimize"}, "loss")] == [2]
