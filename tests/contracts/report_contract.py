"""What every engine keeps to where attempts have a context, report and save: a suite to inherit, for engines that run commands."""

from __future__ import annotations

from pathlib import Path

from contracts.engine_contract import CommandSuite, Driven, attempt, shell

from shadho_like.engine.base import Engine, Launch
from shadho_like.events import AttemptFinished, AttemptReported
from shadho_like.reports import Measured, Report, Resumed, Saved
from shadho_like.trial import Attempt, AttemptId, Failure, FailureKind, Success

# Adds x at each step, and fails at step 3 where x is 3.
TRAINING = """
import json
import shadho_worker

def train(context):
    total, step = 0, 0
    if context.latest_checkpoint is not None:
        with context.latest_checkpoint as path:
            total, step = json.load(open(path + "/folder state.json"))
    began_at = step
    for operation in context.searcher.operations():
        while step < operation.length:
            total, step = total + context.hparams["x"], step + 1
            operation.report_progress(step)
            with context.checkpoint.save_path() as path:
                json.dump([total, step], open(path + "/folder state.json", "w"))
            if context.hparams["x"] == step == 3:
                raise ArithmeticError("3 at 3")
        operation.report_completed({"loss": total, "began_at": began_at})

if __name__ == "__main__":
    shadho_worker.run(train)
"""
# Reports and saves, then waits for a file before it goes on.
TALKATIVE = """
import os, time
import shadho_worker

with shadho_worker.init() as context:
    for operation in context.searcher.operations():
        context.train.report_training_metrics(1, {"loss": 0.5})
        operation.report_progress(1)
        with context.checkpoint.store_path({"note": "first"}) as (path, checkpoint):
            open(path + "/state", "w").write("saved")
        context.train.report_training_metrics(2, {"loss": 0.25})
        while not os.path.exists(context.hparams["gate"]):
            time.sleep(0.05)
        operation.report_completed(0.25)
"""


def reports(driven: Driven) -> list[Report]:
    """Return what attempts reported, in order."""
    return [report for update in driven.updates if isinstance(update, AttemptReported) for report in update.reports]


class ReportContract(CommandSuite):
    """An engine that runs shell commands hears what they report."""

    def test_what_an_attempt_reports_is_heard_while_it_runs(self, engine: Engine, launch: Launch, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        driven = Driven(engine, self.script(launch, TALKATIVE))
        driven.submit(attempt(0, hparams={"gate": str(gate)}))
        driven.until(lambda: any(isinstance(report, Resumed | Measured) for report in reports(driven)))
        assert not driven.ended()
        gate.touch()
        driven.until(lambda: bool(driven.ended()))
        assert [report.steps for report in reports(driven) if isinstance(report, Measured)] == [1, 2]
        [saved] = [report for report in reports(driven) if isinstance(report, Saved)]
        assert (saved.id, saved.length, saved.size, saved.metadata) == ("0.1.1", 1.0, 5, {"note": "first"})
        kinds = [type(update) for update in driven.updates]
        assert kinds[-2:] == [AttemptReported, AttemptFinished] or kinds[-1] is AttemptFinished

    def test_reports_that_make_no_sense_harm_nothing(self, engine: Engine, launch: Launch) -> None:
        """A trial that is not ours to trust: other trials' checkpoints, paths, floods, a link in the place of the file."""
        flood = "python -c 'import sys; sys.stdout.write(\"x\" * 3000000 + chr(10) + \"[\" * 50000)' > events.jsonl"
        lies = """printf '{"kind":"checkpoint","id":"../../7.1.1","length":1}\\n{"kind":"checkpoint_deleted","id":"9.1.1"}\\n' > events.jsonl"""
        link = "ln -s /etc/passwd events.jsonl"
        for number, command in enumerate((flood, lies, link)):
            driven = Driven(engine, shell(launch, f"{command}; echo 1 > result.json"))
            assert driven.run(attempt(number)) == [Success(1.0)]
            assert reports(driven) == []
            engine.close()

    def test_a_later_attempt_goes_on_from_the_checkpoint_of_the_one_before(self, engine: Engine, launch: Launch) -> None:
        driven = Driven(engine, self.script(launch, TRAINING))
        first, second, third = (Attempt(AttemptId(0, number), {"x": 7}, 0, length) for number, length in ((1, 2), (2, 5), (3, 5)))
        assert driven.run(first) == [Success(14.0, {"began_at": 0})]
        assert driven.run(second) == [Success(35.0, {"began_at": 2})]
        assert driven.run(third) == [Success(35.0, {"began_at": 5})]
        copy = Attempt(AttemptId(1, 1), {"x": 1}, 0, 6, start_from="0")
        assert driven.run(copy) == [Success(36.0, {"began_at": 5})]

    def test_a_training_that_raises_leaves_its_checkpoints(self, engine: Engine, launch: Launch) -> None:
        driven = Driven(engine, self.script(launch, TRAINING))
        first, second = (Attempt(AttemptId(0, number), {"x": x}, 0, 5) for number, x in ((1, 3), (2, 7)))
        [failed] = driven.run(first)
        assert isinstance(failed, Failure)
        assert (failed.kind, failed.message) == (FailureKind.ERROR, "ArithmeticError: 3 at 3")
        assert driven.run(second) == [Success(9.0 + 14.0, {"began_at": 3})]
