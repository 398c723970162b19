"""What each key of an experiment's YAML does, seen in searches that run on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from shadho_like import requests
from shadho_like.cli.main import cli
from shadho_like.configured import search_of
from shadho_like.driver import Shadho
from shadho_like.errors import OptionError
from shadho_like.events import Action
from shadho_like.experiment import Step
from shadho_like.experiment_config import read_config
from shadho_like.journal import JournalReader
from shadho_like.paths import ExperimentPaths
from shadho_like.resources import Resources
from shadho_like.trial import Trial, TrialState

TRAIN = """
import json, os, shadho_worker

with shadho_worker.init() as context:
    for operation in context.searcher.operations():
        validated = []
        for step in range(int(context.searcher.length) + 1, operation.length + 1):
            operation.report_progress(step)
            if context.train.should_validate():
                validated.append(step)
                context.train.report_validation_metrics(step, {"loss": 10 - step})
            if context.checkpoint.should_save():
                with context.checkpoint.save_path() as path:
                    open(os.path.join(path, "step"), "w").write(str(step))
        operation.report_completed({"loss": 1, "validated": validated})
"""
FEW_AT_ONCE = """
import json, os, sys, time

folder, most = sys.argv[1], int(sys.argv[2])
name = str(os.getpid())
open(os.path.join(folder, "began-" + name), "w").close()
while len([each for each in os.listdir(folder) if each.startswith("began-")]) < most:
    time.sleep(0.01)
there = [each for each in os.listdir(folder) if each.startswith("began-")]
gone = {each[6:] for each in os.listdir(folder) if each.startswith("ended-")}
open(os.path.join(folder, "ended-" + name), "w").close()
json.dump({"loss": len([each for each in there if each[6:] not in gone])}, open("result.json", "w"))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path / "home"))
    return tmp_path


def search(entrypoint: Any, *files: str, workers: int = 2, **keys: Any) -> Shadho:
    """Return the search of a file with these keys; `searcher` adds to a random one of three trials, unless it names a method."""
    wanted = keys.pop("searcher", {})
    wanted = wanted if "name" in wanted else {"name": "random", "metric": "loss", "max_trials": 3, **wanted}
    path = Path("exp.yaml")
    path.write_text(yaml.safe_dump({"name": "effect", "entrypoint": entrypoint, "searcher": wanted, **keys}))
    opt = search_of(read_config(path), workers=workers)
    for file in files:
        opt.add_input_file(file)
    return opt


def trials(opt: Shadho) -> list[Trial]:
    """Return what became of the trials of a search, run to its end."""
    opt.run()
    with JournalReader(opt.directory) as journal:
        return list(journal.trials())


def said(what: str) -> str:
    """Return a command whose result says something besides."""
    return f'printf \'{{"loss": 1, "said": "%s"}}\' "{what}" > result.json'


def test_name_description_and_labels_are_found_again() -> None:
    opt = search("echo 1 > result.json", description="What it is.", labels=["a", "b"], hyperparameters={"x": 1})
    assert opt.directory == Path("experiments/effect").absolute()
    trials(opt)
    shown = CliRunner().invoke(cli, ["status", "experiments/effect"]).stdout
    assert shown.startswith("effect: not running")
    assert "What it is.\nlabels: a, b\n" in shown
    with JournalReader(opt.directory) as journal:
        assert journal.about["config"]["hyperparameters"] == {"x": 1}


@pytest.mark.parametrize("entrypoint", ["sh run.sh 'a b'", ["sh", "run.sh", "a b"]])
def test_an_entrypoint_is_a_command_or_its_words(entrypoint: Any) -> None:
    Path("run.sh").write_text(said("$1"))
    assert [trial.metrics["said"] for trial in trials(search(entrypoint, "run.sh"))] == ["a b"] * 3


@pytest.mark.parametrize("function", ["plain", "with_context", "inner.nested"])
def test_an_entrypoint_is_a_function_of_a_module(function: str) -> None:
    Path("model.py").write_text(
        "def plain(params):\n    return {'loss': params['x'], 'said': 'plain'}\n"
        "def with_context(context):\n    return {'loss': context.hparams['x'], 'said': 'with_context'}\n"
        "class inner:\n    @staticmethod\n    def nested(params):\n        return {'loss': params['x'], 'said': 'inner.nested'}\n"
    )
    opt = search(f"model:{function}", "model.py", hyperparameters={"x": 7})
    assert [(trial.metric, trial.metrics["said"]) for trial in trials(opt)] == [(7, function)] * 3


@pytest.mark.parametrize(
    ("entrypoint", "message"),
    [
        ("modle:train", "there is no module 'modle' in "),
        ("model:trian", "the module 'model' has no 'trian'; its functions: train"),
        ("model:Trial", "model:Trial is a class: name a function that takes the hyperparameters, or a context"),
        ("model:NUMBER", "model:NUMBER is 3: name a function"),
        ("broken:train", "entrypoint broken:train cannot be loaded: No module named 'nowhere_at_all'"),
    ],
)
def test_an_entrypoint_that_names_no_function_fails_its_trials_with_the_reason(entrypoint: str, message: str) -> None:
    Path("model.py").write_text("NUMBER = 3\nclass Trial: pass\ndef train(params): return 1\n")
    Path("broken.py").write_text("import nowhere_at_all\n")
    [trial] = trials(search(entrypoint, "model.py", "broken.py", searcher={"max_trials": 1}, max_restarts=0))
    assert trial.failure is not None
    assert message in trial.failure.message


def test_without_an_entrypoint_there_is_no_search() -> None:
    with pytest.raises(OptionError, match="entrypoint: is missing"):
        search(None)


def test_the_same_seed_gives_the_same_trials() -> None:
    space = {"x": {"type": "double", "minval": 0, "maxval": 1}}
    first, second = (
        trials(search("echo 1 > result.json", name=name, hyperparameters=space, reproducibility={"experiment_seed": 3})) for name in ("a", "b")
    )
    assert [trial.hparams for trial in first] == [trial.hparams for trial in second]
    assert first[0].hparams != first[1].hparams


def test_the_metric_and_its_direction() -> None:
    command = 'printf \'{"accuracy": %s}\' $(cat hyperparameters.json | tr -dc 0-9) > result.json'
    space = {"x": {"type": "int", "minval": 1, "maxval": 3, "count": 3}}
    wanted = {"name": "grid", "metric": "accuracy", "smaller_is_better": False}
    result = search(command, hyperparameters=space, searcher=wanted).run()
    assert (result.best_value, result.best_hyperparameters) == (3, {"x": 3})


@pytest.mark.parametrize(("restarts", "attempts"), [(2, 3), (0, 1)])
def test_a_failing_trial_is_tried_again_so_often(restarts: int, attempts: int) -> None:
    [trial] = trials(search("exit 3", searcher={"max_trials": 1}, max_restarts=restarts))
    assert (trial.state, trial.attempt) == (TrialState.FAILED, attempts)


def test_periods_have_the_training_loop_validate_and_save() -> None:
    Path("train.py").write_text(TRAIN)
    keys: dict[str, Any] = {"min_validation_period": {"epochs": 2}, "min_checkpoint_period": {"epochs": 3}, "checkpoint_policy": {"save_trial_latest": 9}}
    opt = search("python train.py", "train.py", searcher={"max_trials": 1, "max_length": {"epochs": 7}}, **keys)
    [trial] = trials(opt)
    assert trial.metrics["validated"] == [2, 4, 6]
    with JournalReader(opt.directory) as journal:
        assert [row["length"] for row in journal.checkpoints()] == [3, 6]


def test_without_periods_the_training_loop_is_asked_for_nothing() -> None:
    Path("train.py").write_text(TRAIN)
    opt = search("python train.py", "train.py", searcher={"max_trials": 1, "max_length": 7})
    [trial] = trials(opt)
    assert trial.metrics["validated"] == []
    with JournalReader(opt.directory) as journal:
        assert journal.checkpoints() == []


def test_where_checkpoints_go_and_how_many_stay(folder: Path) -> None:
    Path("train.py").write_text(TRAIN)
    storage = {"type": "shared_fs", "path": str(folder / "shared"), "save_trial_best": 0, "save_trial_latest": 2}
    (folder / "shared").mkdir()
    opt = search(
        "python train.py", "train.py", searcher={"max_trials": 1, "max_length": 5}, min_checkpoint_period=1, checkpoint_storage=storage
    )
    trials(opt)
    with JournalReader(opt.directory) as journal:
        assert journal.checkpoint_root.is_relative_to(folder / "shared")
        assert sorted(path.name for path in (journal.checkpoint_root / "0").iterdir()) == ["0.1.4", "0.1.5"]


def test_what_does_not_end_in_time_is_killed() -> None:
    Path("deaf.py").write_text("import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: None)\nopen('ready', 'w')\ntime.sleep(600)\n")
    opt = search("python deaf.py", "deaf.py", searcher={"max_trials": 1}, preemption_timeout=0.1)
    begun: list[Path] = []

    def cancel(step: Step) -> None:
        if step.running and not begun:
            begun.extend(opt.directory.glob("**/ready"))
            if begun:
                opt.cancel()

    opt.listeners.append(cancel)
    [trial] = trials(opt)
    assert trial.state is TrialState.CANCELED


def test_no_more_trials_run_at_once_than_there_are_slots(folder: Path) -> None:
    Path("few.py").write_text(FEW_AT_ONCE)
    (folder / "seen").mkdir()
    opt = search(f"python few.py {folder}/seen 2", "few.py", workers=4, searcher={"max_trials": 8}, resources={"max_slots": 2})
    assert max(trial.metric or 9 for trial in trials(opt)) == 2


def test_a_limit_that_is_raised_lets_more_of_them_run(folder: Path) -> None:
    Path("few.py").write_text(FEW_AT_ONCE)
    (folder / "seen").mkdir()
    opt = search(f"python few.py {folder}/seen 2", "few.py", workers=4, searcher={"max_trials": 2}, resources={"max_slots": 1})
    left: list[Path] = []

    def raise_it(step: Step) -> None:
        if step.running and not left:
            left.append(requests.leave(ExperimentPaths(opt.directory).requests, Action.SET, keys={"max_slots": 2}))

    opt.listeners.append(raise_it)
    # They wait for each other: one of them sees two, and the other does if it looks before that one has ended.
    assert max(trial.metric or 9 for trial in trials(opt)) == 2


def test_the_name_in_the_file_is_what_workers_ask_for(folder: Path) -> None:
    (folder / ".shadhorc").write_text("[workqueue]\nname = all_of_mine\n")
    assert search("true", name="this_one").config.workqueue.name == "this_one"


def test_environment_variables_reach_every_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    variables = {"A": "it's \"$HOME\"; x", "B": 1, "PATH": f"/mine:{os.environ['PATH']}", "PYTHONPATH": "/mine"}
    Path("show.py").write_text("import json, os\njson.dump({'loss': 1, 'said': dict(os.environ)}, open('result.json', 'w'))\n")
    for trial in trials(search("python show.py", "show.py", environment={"environment_variables": variables})):
        seen: Any = trial.metrics["said"]
        assert (seen["A"], seen["B"]) == (variables["A"], "1")
        assert ":/mine:" in seen["PATH"]
        assert seen["PYTHONPATH"].endswith(f"{os.pathsep}/mine")


def test_environment_variables_reach_a_callable() -> None:
    opt = Shadho(lambda _: {"loss": 1, "said": os.environ["A"]}, {"x": 1}, name="c", max_tasks=2, workers=1, environment={"A": "b"})
    assert [trial.metrics["said"] for trial in trials(opt)] == ["b", "b"]
    with pytest.raises(OptionError, match="trials that run in this process have its environment"):
        Shadho(lambda _: 1, {"x": 1}, name="d", max_tasks=2, workers=0, environment={"A": "b"}).run()


def test_a_late_priority_yields_the_processors() -> None:
    before = os.nice(0)
    for priority, more in ((99, 19), (48, 2), (42, 0), (1, 0)):
        opt = search("printf '{\"loss\": %s}' $(nice) > result.json", name=f"p{priority}", resources={"priority": priority})
        assert {trial.metric for trial in trials(opt)} == {min(19, before + more)}
    opt = Shadho(lambda _: os.nice(0), {"x": 1}, name="c", max_tasks=1, workers=1, priority=48)
    assert [trial.metric for trial in trials(opt)] == [min(19, before + 2)]


def test_what_a_trial_needs_is_asked_for() -> None:
    wanted = {"slots_per_trial": 2, "cores": 3, "memory": 4000, "disk": 5000, "gpu_memory": 6000, "gpu_model": "A100"}
    assert search("true", resources=wanted).config.workqueue.resources() == Resources(3, 4000, 5000, 2, 6000, "A100")
    opt = search(said("$CUDA_VISIBLE_DEVICES."), resources={"slots_per_trial": 0})
    assert [trial.metrics["said"] for trial in trials(opt)] == ["."] * 3


def test_one_configuration_is_one_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file may change in what is no part of the search, and the search goes on."""
    first = search("echo 1 > result.json", description="before")
    trials(first)
    again = search("echo 1 > result.json", description="after", resources={"priority": 50}, environment={"environment_variables": ["A=1"]})
    assert len(trials(again)) == 3
    with JournalReader(again.directory) as journal:
        assert journal.about["description"] == "after"
        assert json.dumps(journal.about)


# No id and no digest has a 0 between these letters.
SECRETS: dict[str, Any] = {"WANDB_API_KEY": "t0p def", "http_proxy": "http://me:t0p@proxy", "EPOCHS": "3", "HF_TOKEN": 12}
SHOWN = {"WANDB_API_KEY": "***", "http_proxy": "http://***@proxy", "EPOCHS": "3", "HF_TOKEN": "***"}


def as_list(variables: dict[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


@pytest.mark.parametrize(("given", "shown"), [(SECRETS, SHOWN), (as_list(SECRETS), as_list(SHOWN)), ({"cpu": as_list(SECRETS)}, {"cpu": as_list(SHOWN)})])
def test_the_configuration_is_shown_without_secrets(given: Any, shown: Any) -> None:
    trials(search("echo 1 > result.json", environment={"environment_variables": given}))
    for words in ([], ["--json"]):
        said = CliRunner().invoke(cli, ["experiment", "config", "experiments/effect", *words]).stdout
        assert yaml.safe_load(said)["environment"] == {"environment_variables": shown}
    # Others may read the journal.
    assert b"t0p" not in Path("experiments/effect/journal.sqlite").read_bytes()
