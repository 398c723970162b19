"""What attempts reported is in the journal's tables with the turn that tells of it, and nothing is there twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from simulation import World, new_state

from shadho_like.checkpoint_policy import CheckpointId
from shadho_like.events import AttemptLost, AttemptReported, AttemptStarted
from shadho_like.journal import Journal
from shadho_like.paths import ExperimentPaths
from shadho_like.reports import Lost, Measured, Progressed, Report, Resumed, Saved
from shadho_like.trial import AttemptId

CONFIG = {"name": "e", "seed": 7, "smaller_is_better": True, "metric": "loss"}


class Told:
    """A journal that is told what trial 0 does."""

    def __init__(self, root: Path) -> None:
        self.world = World(new_state())
        self.world.start(max_trials=1)
        self.root = root
        self.journal = Journal(ExperimentPaths(root), CONFIG)
        self.journal.append(self.world.turns)
        self.attempt = AttemptId(0, 1)
        self.line = 0

    def keep(self) -> None:
        self.journal.append(self.world.turns[-1:])

    def report(self, *reports: Report) -> None:
        self.world.handle(AttemptReported(2000.0 + self.line, self.attempt, reports))
        self.keep()

    def step(self, steps: int, *, save: bool = False, validate: bool = False) -> None:
        said: list[Report] = [Measured(self.line, False, steps, {"w": steps + self.attempt.attempt / 10})]
        if save:
            said.append(Saved(self.line + 1, f"0.{self.attempt.attempt}.{steps}", steps))
        if validate:
            said.append(Measured(self.line + 2, True, steps, {"loss": 10.0 - steps}))
        self.line += 3
        self.report(*said)

    def lose(self) -> None:
        """Let the worker go away; the next attempt begins."""
        self.world.handle(AttemptStarted(2000.0, self.attempt, "node"))
        self.keep()
        self.world.handle(AttemptLost(2000.0, self.attempt, "node", "gone"))
        self.keep()
        self.attempt, self.line = AttemptId(0, self.attempt.attempt + 1), 0

    def rows(self, query: str) -> list[tuple[object, ...]]:
        db = sqlite3.connect(self.root / "journal.sqlite")
        found = db.execute(query).fetchall()
        db.close()
        return found


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    made = Told(tmp_path)
    yield made
    made.journal.close()


MEASURED = "SELECT length, attempt FROM metrics WHERE kind = 'training' ORDER BY length"


def test_what_came_after_the_checkpoint_is_superseded_not_doubled(told: Told) -> None:
    for steps in range(1, 7):
        told.step(steps, save=steps % 2 == 0)
    told.lose()
    told.report(Resumed(0, Saved(0, "0.1.4", 4)))
    told.step(5)
    assert told.rows(MEASURED) == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2)]


def test_a_validation_of_what_the_checkpoint_holds_stays(told: Told) -> None:
    told.step(1, save=True, validate=True)
    told.step(2)
    told.lose()
    told.report(Resumed(0, Saved(0, "0.1.1", 1)))
    assert told.rows("SELECT kind, length FROM metrics ORDER BY kind") == [("training", 1), ("validation", 1)]


def test_lengths_of_another_unit_than_the_reports_supersede_no_more_than_they_should(told: Told) -> None:
    """The script counts batches where it reports, and epochs of ten batches where it saves."""
    told.report(Measured(0, False, 10, {"w": 1}), Saved(1, "0.1.1", 1), Measured(2, False, 20, {"w": 1}), Saved(3, "0.1.2", 2))
    told.report(Measured(4, False, 30, {"w": 1}))
    told.lose()
    told.report(Resumed(0, Saved(0, "0.1.2", 2)))
    assert told.rows(MEASURED) == [(10, 1), (20, 1)]


def test_one_that_begins_anew_supersedes_everything_but_results(told: Told) -> None:
    told.step(1)
    told.step(2)
    told.lose()
    told.report(Resumed(0))
    told.step(1)
    told.world.finish(told.attempt)
    told.keep()
    assert told.rows("SELECT kind, length, attempt FROM metrics ORDER BY kind, name") == [("result", 1, 2), ("result", 1, 2), ("training", 1, 2)]


def test_a_checkpoint_that_no_driver_heard_of_is_known_when_an_attempt_goes_on_from_it(told: Told) -> None:
    told.step(1)
    told.step(2)
    told.lose()
    told.report(Resumed(0, Saved(0, "0.1.7", 2, 10, "ab", {"n": 1})))
    assert told.journal.reported.kept(0)[0].id == CheckpointId(0, 1, 7)
    assert told.rows(MEASURED) == [(1, 1), (2, 1)]


def test_a_checkpoint_has_the_metric_of_its_length_before_and_after(told: Told) -> None:
    told.step(1, save=True, validate=True)
    told.report(Measured(50, True, 2, {"loss": 0.25}), Saved(51, "0.1.2", 2), Saved(52, "0.1.3", 3))
    found = {str(known.id): known.metric for known in told.journal.reported.kept(0)}
    assert found == {"0.1.1": 9.0, "0.1.2": 0.25, "0.1.3": None}
    assert [str(known.id) for known in told.journal.reported.best(5, smaller_is_better=True)] == ["0.1.2", "0.1.1"]


def test_progress_is_the_newest_and_a_lost_checkpoint_is_said(told: Told) -> None:
    told.step(1, save=True)
    told.report(Progressed(10, 1.0), Progressed(11, 2.0, 0.5))
    told.report(Lost(12, "0.1.1", "deep/model differs"), Lost(13, "1.1.1", "not its own"))
    notices = told.world.turns[-1].notices
    assert notices[0] == "checkpoint 0.1.1 is lost, and trial 0 goes on from the one before, if there is one: deep/model differs"
    assert told.rows("SELECT state FROM checkpoints") == [("LOST",)]


def test_a_checkpoint_is_progress_so_that_lost_machines_before_it_do_not_count(told: Told) -> None:
    for _ in range(3):
        told.lose()
    assert told.world.trials[0].lost == 3
    told.step(1)
    assert told.world.trials[0].lost == 3
    told.step(2, save=True)
    assert told.world.trials[0].lost == 0
