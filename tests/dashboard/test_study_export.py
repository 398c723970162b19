"""An experiment as an Optuna study of its own: in memory, and in a database that a second call adds to."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from parts import need
from played_experiments import play

from shadho_like.cli.main import cli

need("optuna")

import optuna  # noqa: E402
from optuna.trial import TrialState as OptunaState  # noqa: E402

from shadho_like.studies.copying import to_database  # noqa: E402


def export(directory: Path, url: str) -> Result:
    return CliRunner().invoke(cli, ["export", "--optuna", url, str(directory)])


def test_in_memory_with_the_trials_that_are_not_over(tmp_path: Path) -> None:
    result = play(tmp_path / "digits", 40, timeout=900.0)
    study = result.to_optuna()
    assert len(study.trials) == len(result.trials)
    assert study.best_value == min(trial.metric or 9 for trial in result.trials if trial.state.value == "COMPLETED")
    unfinished = [trial for trial in study.trials if not trial.state.is_finished()]
    assert len(unfinished) == sum(not trial.state.final for trial in result.trials) > 0
    assert study.metric_names == ["loss"]


def test_a_sampler_of_optunas_goes_on_from_it(tmp_path: Path) -> None:
    study = play(tmp_path / "digits", 15).to_optuna()
    study.sampler = optuna.samplers.TPESampler(seed=1)
    asked = study.ask({name: study.best_trial.distributions[name] for name in ("rate", "layers")})
    study.tell(asked, 0.0)
    assert study.best_trial.number == asked.number == 15


def test_a_database_gets_what_is_over_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    play(tmp_path / "digits", 25, timeout=900.0)
    first = export(tmp_path / "digits", url)
    whole = play(tmp_path / "digits", 25)
    second, third = export(tmp_path / "digits", url), export(tmp_path / "digits", url)
    assert [said.exit_code for said in (first, second, third)] == [0, 0, 0]
    assert third.output == f"study 'digits' in {url}: 0 new trials\n"
    study = optuna.load_study(study_name="digits", storage=url)
    assert sorted(trial.user_attrs["shadho:trial"] for trial in study.trials) == list(range(25))
    assert study.best_value == whole.best_value
    by_number = {trial.user_attrs["shadho:trial"]: trial for trial in study.trials}
    for ours in whole.trials:
        assert by_number[ours.number].params["rate"] == ours.hparams["rate"]
        assert by_number[ours.number].state is (OptunaState.FAIL if ours.failure else OptunaState.COMPLETE)


def kept(trial: optuna.trial.FrozenTrial) -> tuple[object, ...]:
    """Return what of a trial is the same wherever it is."""
    attributes = {key: value for key, value in trial.user_attrs.items() if key != "shadho:trial"}
    times = trial.datetime_start, trial.datetime_complete
    return trial.state, trial.values, trial.params, trial.distributions, attributes, trial.intermediate_values, times


def test_a_new_file_holds_what_is_in_memory_and_goes_on_as_a_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    result = play(tmp_path / "digits", 60)
    told: list[tuple[int, int]] = []
    assert to_database(tmp_path / "digits", url, lambda *so_far: told.append(so_far)) == ("digits", 60)
    study = optuna.load_study(study_name="digits", storage=url)
    assert list(map(kept, study.trials)) == list(map(kept, result.to_optuna().trials))
    assert [trial.number for trial in study.trials] == list(range(60))
    assert told == [(done, 60) for done in range(1, 61)]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(lambda trial: trial.suggest_float("rate", 1e-4, 1.0, log=True), n_trials=2)
    assert study.trials[-1].number == 61


def test_what_is_interrupted_leaves_no_file(tmp_path: Path) -> None:
    play(tmp_path / "digits", 60)
    there = set(tmp_path.iterdir())

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_database(tmp_path / "digits", f"sqlite:///{tmp_path}/study.db", interrupt)
    assert set(tmp_path.iterdir()) == there


def test_another_experiments_study_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(study_name="digits", storage=url)
    said = export(play(tmp_path / "digits", 5).directory, url)
    assert said.exit_code == 2
    assert said.output == (
        f"error: {url} holds another study 'digits', which is not of this experiment: give another database\n"
    )
    assert not optuna.load_study(study_name="digits", storage=url).trials


@pytest.mark.parametrize(
    ("url", "status", "message"),
    [
        ("study.db", 2, "'study.db' is no database that Optuna can write to"),
        ("sqlite:////no/such/folder/study.db", 1, "sqlite:////no/such/folder/study.db cannot be written: unable to open database file"),
    ],
)
def test_what_is_no_database(tmp_path: Path, url: str, status: int, message: str) -> None:
    said = export(play(tmp_path / "digits", 2).directory, url)
    assert said.exit_code == status
    assert message in said.output


@pytest.mark.parametrize(
    "url", ["nosuch://me:hunt@er2@host/db", "postgres:/me:hunt@er2@host/db", "postgresql://me:hunter2@host:port/db", "sqlite:////no/db?password=hunter2"]
)
def test_a_databases_password_is_not_shown(tmp_path: Path, url: str) -> None:
    said = export(play(tmp_path / "digits", 2).directory, url)
    assert said.exit_code in {1, 2}
    assert said.output.startswith("error: ")
    assert "er2" not in said.output


def test_no_password_is_shown_of_a_database_that_was_written(tmp_path: Path) -> None:
    said = export(play(tmp_path / "digits", 2).directory, f"sqlite:///{tmp_path}/study.db?timeout=5&password=hunter2")
    assert "er2" not in said.output
