"""Reports are read from lines that nobody vouches for, and survive the journal as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadho_like.events import AttemptReported, event_from_json
from shadho_like.reports import MOST_NUMBERS, Deleted, Lost, Measured, Progressed, Report, Resumed, Saved, parse
from shadho_like.trial import AttemptId

ATTEMPT = AttemptId(3, 2)


def said(**fields: Any) -> Report | None:
    return parse(json.dumps(fields).encode(), 7, ATTEMPT)


def test_what_a_script_says_is_understood() -> None:
    assert said(kind="training", steps_completed=5, metrics={"loss": 0.5, "bad": float("nan"), "text": "x"}) == Measured(7, False, 5, {"loss": 0.5})
    assert said(kind="validation", steps_completed=5, metrics={"loss": 1}) == Measured(7, True, 5.0, {"loss": 1.0})
    assert said(kind="progress", length=3) == Progressed(7, 3.0)
    assert said(kind="progress", fraction=0.5) == Progressed(7, None, 0.5)
    saved = Saved(7, "3.2.1", 4.0, 10, "ab", {"note": "n"})
    described = {"id": "3.2.1", "length": 4, "size": 10, "checksum": "ab", "metadata": {"note": "n"}}
    assert said(kind="checkpoint", **described) == saved
    assert said(kind="resumed", **described) == Resumed(7, saved)
    assert said(kind="resumed", id=None) == Resumed(7)
    assert said(kind="checkpoint_lost", id="3.1.1", reason="torn\nfile") == Lost(7, "3.1.1", "torn file")
    assert said(kind="checkpoint_deleted", id="3.1.1") == Deleted(7, "3.1.1")


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "training", "steps_completed": "5", "metrics": {"loss": 1}},
        {"kind": "training", "steps_completed": float("inf"), "metrics": {"loss": 1}},
        {"kind": "training", "steps_completed": 1, "metrics": [1]},
        {"kind": "progress"},
        {"kind": "progress", "length": True},
        {"kind": "checkpoint", "id": "4.2.1", "length": 1},
        {"kind": "checkpoint", "id": "3.1.1", "length": 1},
        {"kind": "checkpoint", "id": "../../3.2.1", "length": 1},
        {"kind": "checkpoint", "id": "3.2.1", "length": 1, "size": -1},
        {"kind": "checkpoint", "id": "3.2.1", "length": 1, "size": 10**30},
        {"kind": "checkpoint_deleted", "id": "4.1.1"},
        {"kind": "checkpoint_lost", "id": "/etc", "reason": "x"},
        {"kind": ["training"]},
        {"kind": "shutdown"},
        {},
    ],
)
def test_what_makes_no_sense_or_is_of_others_is_no_report(fields: dict[str, Any]) -> None:
    assert said(**fields) is None


def test_a_report_is_bounded() -> None:
    many = said(kind="training", steps_completed=1, metrics={f"{n}" + "x" * 1000: n for n in range(1000)})
    assert isinstance(many, Measured)
    assert len(many.metrics) == MOST_NUMBERS
    assert max(map(len, many.metrics)) == 200
    heavy = said(kind="checkpoint", id="3.2.1", length=1, metadata={"x": "y" * 20_000})
    assert heavy == Saved(7, "3.2.1", 1.0)
    assert parse(b"[" * 60_000, 0, ATTEMPT) is None
    assert parse(b'{"kind": "training", "steps_completed": 1, "metrics": {"\\ud800": 1}}', 0, ATTEMPT) == Measured(0, False, 1, {"\\ud800": 1})


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_line_raises(data: bytes) -> None:
    parse(data, 0, ATTEMPT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KINDS = st.sampled_from(["training", "validation", "progress", "checkpoint", "resumed", "checkpoint_lost", "checkpoint_deleted"])
NAMES = st.sampled_from(["steps_completed", "metrics", "length", "fraction", "id", "size", "checksum", "metadata", "reason"])
VALUES = JSON | st.sampled_from(["3.2.1", "3.1.9", {"loss": 1.5}, 4])


@given(KINDS, st.dictionaries(NAMES, VALUES))
def test_whatever_is_understood_survives_the_journal(kind: str, fields: dict[str, Any]) -> None:
    report = parse(json.dumps({"kind": kind, **fields}).encode(), 1, ATTEMPT)
    if report is not None:
        event = AttemptReported(5.0, ATTEMPT, (report,))
        text = json.dumps(event.to_json(), allow_nan=False)
        assert event_from_json(json.loads(text)) == event
