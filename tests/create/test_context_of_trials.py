"""A packed context as trials meet it: unpacked in each one's folder, its startup hook sourced before each attempt."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shadho_like import Result, Shadho, rand
from shadho_like.context_command import ARCHIVE_FILE, in_context
from shadho_like.context_dir import pack
from shadho_like.launch import InputFile

COMMAND = "python report.py"
REPORT = """import json, os
from lib import answer
json.dump({"loss": answer.VALUE, "said": os.environ.get("SAID"), "here": sorted(os.listdir())}, open("result.json", "w"))
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "lib").mkdir(parents=True)
    (folder / "report.py").write_text(REPORT)
    (folder / "lib/answer.py").write_text("VALUE = 42\n")
    return folder


@pytest.fixture(params=["local", "workqueue"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name an engine that has somewhere to run trials."""
    for name in ("HOME", "SHADHO_HOME"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.chdir(tmp_path)
    if request.param == "local":
        yield "local"
        return
    request.getfixturevalue("work_queue_installed")
    worker = subprocess.Popen(["wq_worker", "-M", "create_context"], cwd=tmp_path, env=environment)
    yield "workqueue"
    worker.terminate()
    worker.wait()


def run(context: Path, engine: str, *, command: str = COMMAND, trials: int = 3) -> Result:
    opt = Shadho(command, {"x": rand.uniform(0, 1)}, name="create_context", engine=engine, max_tasks=trials, timeout=None, seed=1)
    opt.add_input_file(pack(context, context.parent / "context.tar").archive, ARCHIVE_FILE)
    return opt.run()


def test_each_trial_has_the_context(context: Path, engine: str) -> None:
    (context / "startup-hook.sh").write_text("echo hello\nexport SAID='it is'\n")
    result = run(context, engine)
    assert result.counts == {"COMPLETED": 3}
    for trial in result.trials:
        assert trial.metric == 42
        assert trial.metrics["said"] == "it is"
        here = trial.metrics["here"]
        assert isinstance(here, list)
        assert {"lib", "report.py", "startup-hook.sh", "hyperparameters.json"} <= set(here)
        assert ARCHIVE_FILE not in here
        assert (result.directory / f"trials/{trial.number:06d}/output.log").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("echo 'no such module'\nfalse\n", "startup-hook.sh failed with status 1"),
        ("echo 'no such module'\nexit 3\n", "startup-hook.sh failed with status 3"),
        ("echo 'no such module'\nexit 0\n", "startup-hook.sh ended the shell: it is sourced, so that it is to end without exit"),
    ],
)
def test_a_startup_hook_that_fails(context: Path, engine: str, hook: str, message: str) -> None:
    (context / "startup-hook.sh").write_text(hook)
    (trial,) = run(context, engine, trials=1).trials
    assert trial.failure is not None
    assert trial.failure.message == message
    assert trial.failure.log_tail == f"no such module\nshadho_like: {message}"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_behind_a_hook_no_shell_listens_for_the_signal_that_asks_a_trial_to_save(context: Path, shell: str) -> None:
    (context / "startup-hook.sh").write_text(":\n")
    archive = pack(context, context.parent / "context.tar").archive.rename(context / ARCHIVE_FILE)
    text = in_context("grep SigCgt /proc/$$/status; :", [InputFile(archive, ARCHIVE_FILE)])
    done = subprocess.run([shell, "-c", text], cwd=context, capture_output=True, text=True, check=True)
    assert not int(done.stdout.split()[1], 16) >> signal.SIGTERM - 1 & 1


def test_a_command_that_fails_says_so_itself(context: Path, engine: str) -> None:
    (context / "startup-hook.sh").write_text(":\n")
    (trial,) = run(context, engine, command="exit 7", trials=1).trials
    assert trial.failure is not None
    assert trial.failure.message == "exited with status 7"
