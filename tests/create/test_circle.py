"""`shadho experiment create --local --test-mode`: one trial through the whole circle, and the stage at which it fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from create.conftest import CONFIG, TRAIN, User

from shadho_like import Shadho
from shadho_like.circle import go_round
from shadho_like.errors import WorldError
from shadho_like.experiment_config import read_text
from shadho_like.known_experiments import known_experiments


def circle(user: User, *words: str) -> tuple[int, dict[str, str], list[str]]:
    """Return the exit status, what was said of each stage, and the lines that show the log."""
    done = user.types("create", "--local", "--test-mode", "exp.yaml", "code", *words)
    assert "Traceback" not in done.stderr
    stages = dict(re.findall(r"^(\w+) +((?:ok|FAILED|remark): .*)$", done.stdout, re.MULTILINE))
    if done.returncode:
        (failed,) = [name for name, said in stages.items() if said.startswith("FAILED")]
        assert list(stages)[-1] == failed
        assert done.stderr == f"error: the test failed at the stage {failed}: {stages[failed].removeprefix('FAILED: ')}\n"
    assert ("the test passed" in done.stdout) is (done.returncode == 0)
    assert user.experiments() == []
    assert user.types("list", "--csv").stdout.count("\n") <= 1
    return done.returncode, stages, [line[2:] for line in done.stdout.splitlines() if line.startswith("  ")]


def test_a_script(user: User) -> None:
    user.writes("code/startup-hook.sh", "export HOOKED=1\n")
    status, stages, log = circle(user)
    assert (status, log) == (0, [])
    assert list(stages) == ["configuration", "context", "startup", "train", "validate", "checkpoint", "restore"]
    assert stages["configuration"] == "ok: searches loss by async_halving"
    assert re.fullmatch(r"ok: 2 files, [\d,]+ bytes", stages["context"])
    assert re.fullmatch(r"ok: length 1 \(epochs\) in \d+\.\d s", stages["train"])
    assert re.fullmatch(r"ok: loss 1\.\d+", stages["validate"])
    assert stages["checkpoint"] == "ok: 1 bytes at length 1"
    assert re.fullmatch(r"ok: from length 1 to 2, loss 0\.\d+", stages["restore"])


def test_a_function_of_a_context(user: User) -> None:
    status, stages, _ = circle(user, "--config", "entrypoint=train:train")
    assert (status, list(stages)[-1]) == (0, "restore")


def test_what_saves_no_checkpoint_passes_with_a_remark(user: User) -> None:
    user.writes("code/model.py", "def loss(hparams):\n    return {'loss': hparams['x'], 'other': 1}\n")
    for entrypoint in ("model:loss", "'echo ''{\"loss\": 1.5}'' > result.json'"):
        status, stages, _ = circle(user, "--config", f"entrypoint={entrypoint}")
        assert status == 0
        assert stages["checkpoint"] == "remark: it saves none: a trial that is interrupted, paused or trained further starts over"
        assert "restore" not in stages


BEFORE_TRAINING = "            done += 1\n"
SAVING = '            open(path + "/done", "w").write(str(done))\n'
RESTORING = '            done = int(open(path + "/done").read())\n'
REPORTING = '        operation.report_completed({"loss": context.hparams["x"] / done})\n'


@pytest.mark.parametrize(
    ("line", "instead", "stage", "said"),
    [
        (BEFORE_TRAINING, "            raise ValueError('no data')\n", "train", "ValueError: no data"),
        (BEFORE_TRAINING, "            os._exit(9)\n", "train", "exited with status 9"),
        (SAVING, "            raise OSError('the disk is full')\n", "checkpoint", "OSError: the disk is full"),
        (REPORTING, "        1 / 0\n", "validate", "ZeroDivisionError: division by zero"),
        (REPORTING, "        operation.report_completed({'accuracy': 1})\n", "validate", "the objective returned no 'loss', only 'accuracy'"),
        (REPORTING, "        operation.report_completed(float('nan'))\n", "validate", "nan, which is no finite number"),
        (REPORTING, "        break\n", "validate", "the script ended without report_completed of its operation"),
        (RESTORING, "            open(path + '/nothing')\n", "restore", "No such file or directory"),
    ],
)
def test_a_stage_that_fails(user: User, line: str, instead: str, stage: str, said: str) -> None:
    assert line in TRAIN
    user.writes("code/train.py", TRAIN.replace(line, instead))
    status, stages, log = circle(user)
    assert status == 1
    assert said in stages[stage]
    assert {"train": 3, "validate": 4, "checkpoint": 4, "restore": 6}[stage] == len(stages)
    assert log[0].startswith("going on from" if stage != "restore" else "Traceback")


def test_a_hook_that_fails(user: User) -> None:
    user.writes("code/startup-hook.sh", "echo no such module\nexit 4\n")
    status, stages, log = circle(user)
    assert (status, list(stages)) == (1, ["configuration", "context", "startup"])
    assert stages["startup"] == "FAILED: startup-hook.sh failed with status 4"
    assert log[0] == "no such module"


def test_a_module_that_is_not_there(user: User) -> None:
    status, stages, _ = circle(user, "--config", "entrypoint=nowhere:train")
    assert status == 1
    assert "nowhere" in stages["train"]


def test_gpus_that_this_machine_lacks_are_no_hindrance(user: User) -> None:
    status, _, _ = circle(user, "--config", "resources={slots_per_trial: 8}")
    assert status == 0


def test_what_it_prints_does_nothing_to_a_terminal(user: User) -> None:
    user.writes("code/train.py", "print('\\x1b]0;title\\x07\\x1b[2J')\nraise SystemExit(1)\n")
    _, _, log = circle(user)
    assert log == ["\\x1b]0;title\\x07\\x1b[2J"]


def test_a_search_that_breaks_is_forgotten_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADHO_HOME", str(tmp_path))
    config = read_text(CONFIG.replace("python train.py", "echo 1 > result.json"))

    def broken(opt: Shadho) -> None:
        run(opt)
        assert known_experiments()
        raise WorldError("the disk is full")

    run = Shadho.run
    monkeypatch.setattr(Shadho, "run", broken)
    with pytest.raises(WorldError, match="the disk is full"):
        list(go_round(config, None))
    assert known_experiments() == []
