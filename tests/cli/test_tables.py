"""Tables for a person: whole words where there is room, else a paragraph a row, and nothing that cannot be copied."""

from __future__ import annotations

import pytest

from shadho_like.cli import tables

HEAD = ("id", "name", "note", "directory")
ROWS = [["gsyabcnn", "<script>alert(1)</script>", "", "/data/mark"], ["u9bmua2h", "digits", "", "/data/digits"]]


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int) -> list[str]:
    monkeypatch.setattr(tables, "_WIDTH", width)
    tables.print_table(HEAD, ROWS)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_wide_one_without_its_empty_column(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(monkeypatch, capsys, 80) == [
        "id        name                       directory",
        "gsyabcnn  <script>alert(1)</script>  /data/mark",
        "u9bmua2h  digits                     /data/digits",
    ]


def test_long_words_are_folded_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(monkeypatch, capsys, 40)
    assert all(len(line) <= 40 for line in lines)
    assert "gsyabcnn" in lines[1]


def test_a_narrow_one_is_paragraphs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(monkeypatch, capsys, 20) == [
        *("id         gsyabcnn", "name       <script>alert(1)</script>", "directory  /data/mark", ""),
        *("id         u9bmua2h", "name       digits", "directory  /data/digits"),
    ]


def test_none_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(HEAD, [])
    assert capsys.readouterr().out.split() == list(HEAD)
