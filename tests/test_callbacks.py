"""What callbacks are told of real searches, and what the libraries behind them then have on the disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from parts import need

from shadho_like import Shadho, callbacks, rand, searcher, spaces
from shadho_like.callbacks.base import Callback, Search
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.journal import JournalReader
from shadho_like.plain_text import harmless, without_secrets
from shadho_like.trial import Trial, TrialState

SPACE = {"net": spaces.scope(exclusive=True, small={"lr": rand.uniform(0, 1)}, big={"lr": rand.uniform(0, 1), "units": [8, 16]})}
TRAIN = """
import json, sys
import shadho_worker
with shadho_worker.init() as context:
    x = context.hparams["x"]
    for operation in context.searcher.operations():
        for step in range(1, operation.length + 1):
            context.train.report_training_metrics(steps_completed=step, metrics={"slow": x + 1 / step})
        operation.report_completed(x)
"""


class Recorder(Callback):
    """Keeps all that it is told."""

    def __init__(self) -> None:
        self.searches: list[Search] = []
        self.told: defaultdict[int, list[tuple[str, float, dict[str, float]]]] = defaultdict(list)
        self.over: dict[int, Trial] = {}
        self.ends = 0

    def begin(self, search: Search) -> None:
        self.searches.append(search)

    def measured(self, trial: Trial, kind: str, length: float, metrics: Mapping[str, float]) -> None:
        assert trial.number not in self.over
        self.told[trial.number].append((kind, length, dict(metrics)))

    def ended(self, trial: Trial) -> None:
        assert trial.number not in self.over
        self.over[trial.number] = trial

    def end(self) -> None:
        self.ends += 1


def search(directory: Path, *told: Callback, trials: int = 30) -> Shadho:
    """Return a search of rungs that is ready to run."""
    metric = {"small": 1.0, "big": 0.0}
    world = World(
        lambda _, length: length,
        lambda point, length: metric[next(iter(point["net"]))] + next(iter(point["net"].values()))["lr"] + 1 / length,
        workers=4,
        crash=0.1,
        loss=0.05,
    )
    keys: dict[str, Any] = {"max_length": 9, "max_trials": trials, "num_rungs": 3, "divisor": 3, "max_concurrent_trials": 8}
    method = searcher.create("async_halving", SPACE, seed=3, **keys)
    opt = Shadho("-", SPACE, method=method, engine=SimulatedEngine(world), directory=directory, name="told", timeout=None, seed=3)
    opt.callbacks += told
    return opt


def test_each_validation_and_each_end_is_told_once(tmp_path: Path) -> None:
    recorder = Recorder()
    search(tmp_path / "e", recorder).run()
    with JournalReader(tmp_path / "e") as journal:
        results = [(trial, length, value) for trial, length, value, _ in journal.results("loss")]
        trials = list(journal.trials())
    told = [(trial, length, metrics["loss"]) for trial, each in recorder.told.items() for _, length, metrics in each]
    assert sorted(told) == results
    over = [recorder.over[number] for number in range(30)]
    assert [(trial.state, trial.metric, trial.hparams) for trial in over] == [(trial.state, trial.metric, trial.hparams) for trial in trials]
    assert {trial.state for trial in trials} == {TrialState.COMPLETED, TrialState.FAILED}
    [begun] = recorder.searches
    assert (begun.name, begun.metric, begun.method, begun.resumed, recorder.ends) == ("told", "loss", "async_halving", False, 1)


def test_a_search_that_is_taken_up_again_is_the_same(tmp_path: Path) -> None:
    recorders = [Recorder(), Recorder()]
    for recorder, limit in zip(recorders, (4, 9), strict=True):
        space = {"x": rand.uniform(0, 1)}
        opt = Shadho(lambda params: params["x"], space, directory=tmp_path / "e", workers=0, max_tasks=limit, seed=1)
        opt.callbacks.append(recorder)
        opt.run()
    assert [list(recorder.over) for recorder in recorders] == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]
    first, second = (recorder.searches[0] for recorder in recorders)
    assert (first.resumed, second.resumed) == (False, True)
    assert first.id == second.id


def test_a_copied_experiment_is_a_search_of_its_own(tmp_path: Path) -> None:
    begun = []
    for name, limit in (("original", 2), ("copy", 4), ("original", 4)):
        if name == "copy":
            shutil.copytree(tmp_path / "original", tmp_path / "copy")
        recorder = Recorder()
        opt = Shadho(lambda params: params["x"], {"x": rand.uniform(0, 1)}, directory=tmp_path / name, workers=0, max_tasks=limit, seed=1)
        opt.callbacks.append(recorder)
        opt.run()
        begun += recorder.searches
        with JournalReader(tmp_path / name) as journal:
            assert begun[-1].id == journal.id
    original, copied, again = (one.id for one in begun)
    assert copied != original == again


def test_what_a_script_reports_is_told_while_it_runs(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN, encoding="utf-8")
    recorder = Recorder()
    method = searcher.create("single", {"x": 0.25}, max_length=3)
    opt = Shadho(f"{sys.executable} train.py", {"x": 0.25}, method=method, directory=tmp_path / "e", workers=1)
    opt.add_input_file(tmp_path / "train.py")
    opt.callbacks.append(recorder)
    opt.run()
    training = [(length, metrics) for kind, length, metrics in recorder.told[0] if kind == "training"]
    assert training == [(1, {"slow": 1.25}), (2, {"slow": 0.75}), (3, {"slow": pytest.approx(0.25 + 1 / 3)})]
    assert ("result", 3, {"loss": 0.25}) in recorder.told[0]


class Broken(Callback):
    """Raises whatever it is told."""

    def ended(self, trial: Trial) -> None:
        message = f"cannot reach https://me:my-key@example.org/\x1b[2J?api_key=1234 for trial {trial.number}"
        raise ConnectionError(message)


def test_a_callback_that_raises_is_a_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = Recorder()
    result = search(tmp_path / "e", Broken(), recorder).run()
    assert len(recorder.over) == sum(result.counts.values()) == 30
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("callback Broken: ConnectionError: cannot reach ")]
    assert len(said) == 5
    assert said[4].endswith("; that was the 5th time in a row, and it is not called again")
    assert not {"my-key", "1234", "\x1b"} & {word for line in said for word in ("my-key", "1234", "\x1b") if word in line}


def test_tensorboard(tmp_path: Path) -> None:
    need("tensorboardX")
    from tensorboardX.proto import event_pb2
    search(tmp_path / "e", callbacks.TensorBoard(tmp_path / "runs"), trials=20).run()
    with JournalReader(tmp_path / "e") as journal:
        results = list(journal.results("loss"))
    folder = tmp_path / "runs" / "e"
    found = []
    for trial in sorted({trial for trial, *_ in results}):
        for file in sorted((folder / f"trial-{trial:06d}").glob("events*")):
            for record in records(file):
                event = event_pb2.Event.FromString(record)
                found += [(trial, event.step, value.simple_value) for value in event.summary.value if value.tag == "loss"]
    assert {(trial, step) for trial, step, _ in found} >= {(trial, length) for trial, length, _, _ in results}


def records(file: Path) -> list[bytes]:
    """Return the records of a file of TensorBoard's: a length, its checksum, the data, its checksum."""
    data, found = file.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        found.append(data[12 : 12 + size])
        data = data[16 + size :]
    return found


def test_mlflow(tmp_path: Path) -> None:
    need("mlflow")
    code = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from pathlib import Path
from shadho_like.callbacks import MLflow
from test_callbacks import search
from mlflow import MlflowClient
search(Path("e"), MLflow("file:./runs"), trials=12).run()
client = MlflowClient("file:./runs")
runs = client.search_runs([client.get_experiment_by_name("told").experiment_id])
parents = [run for run in runs if run.data.tags["shadho.trial"] == "search"]
assert len(parents) == 1, parents
trials = {{int(run.data.tags["shadho.trial"]): run for run in runs if run not in parents}}
assert sorted(trials) == list(range(12)), sorted(trials)
assert {{run.info.status for run in trials.values()}} <= {{"FINISHED", "FAILED"}}
from shadho_like.journal import JournalReader
with JournalReader(Path("e")) as journal:
    for trial in journal.trials():
        run = trials[trial.number]
        assert run.data.params[next(name for name in run.data.params if name.endswith("lr"))], run
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert (run.info.status == "FAILED") == (trial.state.value == "FAILED")
        lengths = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "loss")]
        assert lengths == [(length, value) for number, length, value, _ in journal.results("loss") if number == trial.number]
print("all well")
"""
    said = run(code, tmp_path, MLFLOW_ALLOW_FILE_STORE="true", MLFLOW_DISABLE_TELEMETRY="true")
    assert said.endswith("all well\n")


def test_wandb_offline(tmp_path: Path) -> None:
    need("wandb")
    code = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from pathlib import Path
from shadho_like.callbacks import WandB
from test_callbacks import search
search(Path("e"), WandB(dir="."), trials=2).run()
"""
    # Its own process has half a minute to start, which a busy machine may well take.
    patience = {"WANDB__SERVICE_WAIT": "600", "WANDB_INIT_TIMEOUT": "600"}
    said = run(code, tmp_path, WANDB_MODE="offline", WANDB_API_KEY="0123456789abcdef0123456789abcdef01234567", **patience)
    assert "callback" not in said
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    for folder in folders:
        [log] = folder.glob("run-*.wandb")
        assert b"0123456789abcdef" not in log.read_bytes()
        assert b"loss" in log.read_bytes()


def run(code: str, folder: Path, **environment: str) -> str:
    """Run a program in a process of its own, for these libraries keep much in theirs."""
    import os

    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensorboardX", "mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    made = ((callbacks.TensorBoard, (tmp_path,), "tensorboard"), (callbacks.MLflow, (), "mlflow"), (callbacks.WandB, (), "wandb"))
    for kind, arguments, extra in made:
        with pytest.raises(Exception, match=rf"pip install 'shadho_like\[{extra}\]'"):
            kind(*arguments)


def test_texts_without_secrets() -> None:
    texts = (
        *("TOKEN=abc", "--api-key abc", "password: abc", "WANDB_API_KEY=abc python train.py", "https://me:abc@host/", '{"secret": "abc"}'),
        *("password=abc,token=def", '{"password":"abc","api_key":"xyz"}', "?token=abc&secret=def", 'password = "two abc"', "u://u:p@abc@host"),
        *("Authorization: Bearer abc", "{'Authorization': 'Bearer abc'}", "curl -H 'authorization: abc'", "bearer abc", "token='it\\'s abc'"),
        *("train '--password=two abc'", "['train', '--password', 'abc']", '{\\"token\\": \\"an abc\\"}', 'secret="cut abc', "secret=a;b,abc"),
    )
    for text in texts:
        assert "abc" not in without_secrets(text), text
    assert without_secrets("?token=a&lr=0.1") == "?token=***&lr=0.1"
    assert without_secrets('{"token": "a, b", "lr": 0.1}') == '{"token": ***, "lr": 0.1}'
    assert without_secrets("train --password 'a b' --lr 0.1, twice") == "train --password *** --lr 0.1, twice"
    assert without_secrets("python train.py --lr 0.1 # tokenized") == "python train.py --lr 0.1 # tokenized"
    assert harmless("a\x1b[2J\n\u202eb\ud800", 80) == "a\\x1b[2J \\u202eb\\ud800"
    assert harmless("x" * 10, 5) == "xxxx…"


def test_long_texts_lose_their_secrets_in_time_that_is_linear() -> None:
    """Each of these took hours by a pattern that looks at a part of the text again from each of its places."""
    parts = ("a", "token", "token=", "token ", 'token="', "token='\\\"", "--token-", "-", "@", "://a", "://@", "bearer ", '"token', 'token=\\"')
    for part in (*parts, "token" + " " * 1000, "authorization:" + "\n" * 1000, "'token=a\n", "token\\", "secret=" + "a," * 1000):
        without_secrets(part * (100_000 // len(part)))
    for start, part in (("token=", "a,"), ("token=", ",aaaa"), ("token=", "\\"), ("://", "@a"), ("--token", " "), ("token:", "\n")):
        without_secrets(start + part * (100_000 // len(part)))
