"""What attempts write while they run is heard in time, and costs the same however much it is."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shadho_like.engine.base import Notice, Update
from shadho_like.engine.reporting import MOST_OTHERS, THINNED_AFTER, Reporting
from shadho_like.events import AttemptReported
from shadho_like.reports import Measured, Progressed, Report, Resumed, Saved
from shadho_like.trial import AttemptId

ATTEMPT = AttemptId(0, 1)


class Heard:
    """An attempt's file, and what is heard of it on a clock of the test's own."""

    def __init__(self, path: Path, *, safe: bool = True) -> None:
        self.path = path
        self.now_s = 1000.0
        self.reporting = Reporting(lambda: self.now_s, safe=safe)
        self.reporting.begin("task", ATTEMPT, path)

    def say(self, kind: str, **fields: Any) -> None:
        self.write(json.dumps({"kind": kind, **fields}) + "\n")

    def write(self, text: str | bytes) -> None:
        with self.path.open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def after(self, seconds: float) -> list[Update]:
        self.now_s += seconds
        return self.reporting.sweep()

    def end(self, kept: str | None = None) -> list[Update]:
        return self.reporting.end("task", kept)


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    return Heard(tmp_path / "events.jsonl")


def reports(updates: list[Update]) -> list[Report]:
    return [report for update in updates if isinstance(update, AttemptReported) for report in update.reports]


def notices(updates: list[Update]) -> list[str]:
    return [update.text for update in updates if isinstance(update, Notice)]


def test_a_checkpoint_is_heard_of_at_the_next_look_with_what_came_before(heard: Heard) -> None:
    heard.say("resumed", id=None)
    heard.say("training", steps_completed=1, metrics={"loss": 2})
    heard.say("progress", length=1)
    assert heard.after(1) == []
    heard.say("checkpoint", id="0.1.1", length=1)
    assert heard.after(0.5) == []
    found = heard.after(0.5)
    assert len(found) == 1
    assert reports(found) == [Resumed(0), Measured(1, False, 1.0, {"loss": 2.0}), Saved(3, "0.1.1", 1.0), Progressed(2, 1.0)]
    assert heard.after(100) == []


def test_what_only_people_read_comes_together(heard: Heard) -> None:
    found: list[Update] = []
    for step in range(60):
        heard.say("training", steps_completed=step, metrics={"loss": step})
        heard.say("progress", length=step)
        found += heard.after(1)
    assert len(found) == 12
    found += heard.end()
    measured = [report for report in reports(found) if isinstance(report, Measured)]
    assert [report.steps for report in measured] == list(range(60))
    assert [report.length for report in reports(found) if isinstance(report, Progressed)][-1] == 59


def test_a_torn_line_waits_for_its_rest_and_the_last_one_is_left_out(heard: Heard) -> None:
    heard.write(b'{"kind": "progress", "len')
    assert heard.after(10) == []
    heard.write(b'gth": 3}\n{"kind": "progress", "length": 4}')
    assert reports(heard.after(10)) == [Progressed(0, 3.0)]
    assert heard.end() == []


def test_a_thousand_reports_a_second_become_few_and_all_of_the_time_is_seen(heard: Heard) -> None:
    found: list[Update] = []
    for second in range(60):
        heard.write("".join(json.dumps({"kind": "training", "steps_completed": second * 1000 + n, "metrics": {"loss": n}}) + "\n" for n in range(1000)))
        found += heard.after(1)
    found += heard.end()
    steps = [report.steps for report in reports(found) if isinstance(report, Measured)]
    assert THINNED_AFTER <= len(steps) <= 7 * THINNED_AFTER
    assert steps[:THINNED_AFTER] == list(range(THINNED_AFTER))
    assert max(late - early for early, late in itertools.pairwise(steps)) <= 64
    assert steps[-1] >= 59_900
    assert len(found) <= 13
    assert not notices(found)


def test_what_cannot_be_read_is_left_out_with_one_notice(heard: Heard) -> None:
    heard.write(b"garbage\n\xff\xfe\n[]\n" + b"x" * 3_000_000 + b"\n")
    heard.say("progress", length=3)
    found = [update for _ in range(20) for update in heard.after(5)] + heard.end()
    assert notices(found) == ["trial 0 makes reports that cannot be read, or too many of them: those are left out"]
    assert reports(found) == [Progressed(4, 3.0)]


def test_a_flood_at_the_end_is_bounded(heard: Heard) -> None:
    line = json.dumps({"kind": "validation", "steps_completed": 1, "metrics": {f"m{n}": n for n in range(100)}}) + "\n"
    heard.write(line.encode() * (64 * 1024 * 1024 // len(line)))
    found = heard.end()
    assert len(reports(found)) < 5 * THINNED_AFTER
    assert len(notices(found)) == 1


def test_checkpoints_without_end_are_bounded(heard: Heard) -> None:
    for number in range(1, MOST_OTHERS + 100):
        heard.say("checkpoint", id=f"0.1.{number}", length=1)
    found = [update for _ in range(30) for update in heard.after(1)] + heard.end()
    assert len(reports(found)) == MOST_OTHERS
    assert len(notices(found)) == 1


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_regular_file_is_not_read(heard: Heard, tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    other.write_text('{"kind": "progress", "length": 3}\n')
    if kind == "link":
        heard.path.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(heard.path)
    else:
        heard.path.mkdir()
    assert heard.after(10) + heard.end() == []


def test_a_checkpoint_that_travels_counts_when_it_has_come(tmp_path: Path) -> None:
    heard = Heard(tmp_path / "events.jsonl", safe=False)
    heard.say("checkpoint", id="0.1.1", length=1)
    heard.say("checkpoint", id="0.1.2", length=2)
    assert heard.after(10) == []
    assert reports(heard.end("0.1.2")) == [Saved(1, "0.1.2", 2.0)]
    lost = Heard(tmp_path / "others.jsonl", safe=False)
    lost.say("checkpoint", id="0.1.1", length=1)
    assert lost.end() == []
