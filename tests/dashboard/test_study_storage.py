"""The read-only storage gives what Optuna's own would give for the same trials, and takes nothing."""

from __future__ import annotations

import inspect
import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from parts import need
from played_experiments import SPACE, empty, play

need("optuna")

import optuna  # noqa: E402
from optuna.storages import BaseStorage, InMemoryStorage  # noqa: E402
from optuna.trial import TrialState as OptunaState  # noqa: E402

from shadho_like.following import Following  # noqa: E402
from shadho_like.space import Space  # noqa: E402
from shadho_like.studies.distributions import Parameters  # noqa: E402
from shadho_like.studies.drawing import DrawnStorage, chosen  # noqa: E402
from shadho_like.studies.storage import ExperimentStorage, ReadOnlyStorageError  # noqa: E402
from shadho_like.trial import TrialState, trial_seed  # noqa: E402

WRITES = [
    name
    for name in BaseStorage.__abstractmethods__
    if name.startswith(("create", "delete", "set"))
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return play(tmp_path_factory.mktemp("played") / "digits", 60).directory


def test_it_answers_as_optunas_own_storage_does(directory: Path) -> None:
    ours, theirs = ExperimentStorage([empty(directory.parent / "empty"), directory]), InMemoryStorage()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    theirs.create_new_study([optuna.study.StudyDirection.MINIMIZE], "other")
    study = theirs.create_new_study(ours.get_study_directions(1), "digits")
    trials = ours.get_all_trials(1)
    ids = [theirs.create_new_trial(study, template_trial=trial) for trial in trials]
    assert [trial.number for trial in trials] == list(range(60))
    assert ours.get_study_id_from_name("digits") == 1
    assert ours.get_study_name_from_id(1) == theirs.get_study_name_from_id(study)
    assert ours.get_best_trial(1).number == theirs.get_best_trial(study).number
    for state in OptunaState:
        assert ours.get_n_trials(1, state) == theirs.get_n_trials(study, state)
        assert [trial.number for trial in ours.get_all_trials(1, states=(state,))] == [
            trial.number for trial in theirs.get_all_trials(study, states=(state,))
        ]
    for trial, their_id in zip(trials, ids, strict=True):
        our_id = ours.get_trial_id_from_study_id_trial_number(1, trial.number)
        assert ours.get_trial_number_from_id(our_id) == trial.number
        assert ours.get_trial(our_id) == trial
        assert ours.get_trial_params(our_id) == theirs.get_trial_params(their_id)
        assert ours.get_trial_user_attrs(our_id) == theirs.get_trial_user_attrs(their_id)
        for name in trial.params:
            assert ours.get_trial_param(our_id, name) == theirs.get_trial_param(their_id, name)


def test_what_does_not_exist(directory: Path) -> None:
    storage = ExperimentStorage([directory])
    for ask in (
        lambda: storage.get_trial(60),
        lambda: storage.get_trial(10**9),
        lambda: storage.get_all_trials(1),
        lambda: storage.get_study_directions(-1),
        lambda: storage.get_study_id_from_name("none"),
        lambda: storage.get_trial_id_from_study_id_trial_number(0, 60),
    ):
        with pytest.raises(KeyError):
            ask()


@pytest.mark.parametrize("name", WRITES)
def test_nothing_can_be_written(directory: Path, name: str) -> None:
    storage = ExperimentStorage([directory])
    before = (directory / "journal.sqlite").read_bytes()
    count = len(inspect.signature(getattr(BaseStorage, name)).parameters) - 1
    with pytest.raises(ReadOnlyStorageError, match="a view of experiments, for reading only: .* shadho export --optuna"):
        getattr(storage, name)(*[0] * count)
    assert (directory / "journal.sqlite").read_bytes() == before


def test_a_study_of_optuna_over_it(directory: Path) -> None:
    study = optuna.load_study(study_name="digits", storage=ExperimentStorage([directory]))
    assert study.metric_names == ["loss"]
    assert study.user_attrs["method"] == "async_halving"
    assert study.best_value == min(trial.value or 0.0 for trial in study.trials if trial.state is OptunaState.COMPLETE)
    assert optuna.importance.get_param_importances(study, evaluator=optuna.importance.PedAnovaImportanceEvaluator())
    with pytest.raises(ReadOnlyStorageError):
        study.ask()


def test_trials_keep_all_that_is_known_of_them(directory: Path) -> None:
    for frozen, seen in zip(ExperimentStorage([directory]).get_all_trials(0), Following(directory).seen, strict=True):
        trial = seen.trial
        frozen._validate()
        assert frozen.user_attrs["state"] == trial.state.value
        assert frozen.state is (OptunaState.FAIL if trial.state is TrialState.FAILED else OptunaState.COMPLETE)
        assert frozen.values == (None if trial.state is TrialState.FAILED else [trial.metric])
        assert frozen.intermediate_values == seen.results
        assert frozen.params["rate"] == trial.hparams["rate"]
        assert frozen.params["shape"] == json.dumps(trial.hparams["shape"])
        assert frozen.params["flag"] == json.dumps(trial.hparams["flag"])
        assert [frozen.params[f"widths[{place}]"] for place in range(len(trial.hparams["widths"]))] == trial.hparams["widths"]
        ((name, inner),) = trial.hparams["model"].items()
        assert {path for path in frozen.params if path.startswith("model.")} == {f"model.{name}.{key}" for key in inner}
        assert frozen.params["fixed"] == 7
        if trial.failure:
            assert frozen.user_attrs["failure"] == trial.failure.message
        if trial.started_s:
            assert frozen.datetime_start is not None
            assert frozen.datetime_start.astimezone(timezone.utc) == datetime.fromtimestamp(trial.started_s, timezone.utc)


def test_every_draw_is_within_its_distribution() -> None:
    space = Space(SPACE)
    parameters = Parameters(space.to_json())
    for number in range(300):
        sample = parameters.sample(space.sample(space.generator(trial_seed(1, number), number), number))
        assert not sample.others
        for name, distribution in sample.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(sample.params[name])), name
            hash(distribution)


def test_a_value_that_no_draw_gives_is_an_attribute() -> None:
    parameters = Parameters(Space({"x": SPACE["rate"], "flag": SPACE["flag"]}).to_json())
    sample = parameters.sample({"x": 5.0, "flag": False, "computed": {"y": [1]}})
    assert (sample.params, sample.others) == ({}, {"x": 5.0, "flag": False, "computed.y": [1]})


def test_a_space_whose_callback_is_somewhere_else_imports_nothing() -> None:
    dependent = {"type": "dependent", "domain": None, "callback": "no_such_module:f"}
    parameters = Parameters({"type": "scope", "exclusive": False, "optional": False, "domains": {"x": dependent}})
    assert parameters.sample({"x": 3}).others == {"x": 3}


def test_several_experiments_of_one_name(tmp_path: Path) -> None:
    first, second = empty(tmp_path / "a"), empty(tmp_path / "b")
    names = [study.study_name for study in ExperimentStorage([first, second]).get_all_studies()]
    assert names == [f"empty ({first})", f"empty ({second})"]


def test_several_metrics(tmp_path: Path) -> None:
    need("cmaes")
    from shadho_like import Shadho, searcher

    metrics = {"loss": "minimize", "size": "maximize"}
    method = searcher.create("nsgaii", {"rate": SPACE["rate"]}, seed=1, max_trials=12, metrics=metrics)
    Shadho(lambda hparams: {"loss": hparams["rate"], "size": 1.0}, {"rate": SPACE["rate"]}, directory=tmp_path, method=method, workers=0).run()
    storage = ExperimentStorage([tmp_path])
    assert [direction.name for direction in storage.get_study_directions(0)] == ["MINIMIZE", "MAXIMIZE"]
    assert all(trial.values == [trial.params["rate"], 1.0] for trial in storage.get_all_trials(0))
    with pytest.raises(RuntimeError, match="single-objective"):
        storage.get_best_trial(0)


def test_a_large_study_is_thinned_to_what_matters(directory: Path) -> None:
    whole = ExperimentStorage([directory])
    drawn = DrawnStorage(whole, 20, 20)
    trials = drawn.get_all_trials(0)
    assert len(trials) <= 20
    assert whole.get_best_trial(0) in trials
    assert drawn.get_best_trial(0) == whole.get_best_trial(0)
    assert trials[-1].number == 59
    assert drawn.get_all_studies()[0].study_name == "digits: 20 of 60 trials, 20 of 59 curves"
    assert 10 < sum(bool(trial.intermediate_values) for trial in trials) <= 20
    assert drawn.get_study_name_from_id(0) == "digits"
    assert len(DrawnStorage(whole, 30, 30).get_all_trials(0)) == 60


def test_curves_alone_are_thinned_too(directory: Path) -> None:
    whole = ExperimentStorage([directory])
    drawn = DrawnStorage(whole, 100, 20)
    trials = drawn.get_all_trials(0)
    assert [trial.params for trial in trials] == [trial.params for trial in whole.get_all_trials(0)]
    curved = [trial for trial in trials if trial.intermediate_values]
    assert 10 < len(curved) <= 20
    assert whole.get_best_trial(0) in curved
    assert drawn.get_all_studies()[0].study_name == "digits: 20 of 59 curves"


def test_what_waits_with_a_result_is_drawn(tmp_path: Path) -> None:
    whole = ExperimentStorage([play(tmp_path / "cut", 40, timeout=900.0).directory])
    first, *others = DrawnStorage(whole, 100, 100).get_all_trials(0)
    assert first.state in {OptunaState.RUNNING, OptunaState.WAITING}
    waiting = [trial for trial in others if trial.user_attrs["state"] == "PAUSED" and trial.values]
    assert waiting
    assert {trial.state for trial in waiting} == {OptunaState.PRUNED}
    assert len(others) + 1 == len(whole.get_all_trials(0))
    assert all(trial.state is not OptunaState.PRUNED for trial in whole.get_all_trials(0))


def test_of_a_large_running_study_the_open_trials_come_first(tmp_path: Path) -> None:
    seen = Following(play(tmp_path / "cut", 500, timeout=3600.0).directory).seen
    numbers = list(chosen(seen, {"loss": "minimize"}, 50))
    still_open = [not seen[number].trial.state.final for number in numbers]
    assert any(still_open)
    assert still_open == sorted(still_open, reverse=True)
    assert len(numbers) == len(set(numbers)) <= 50
