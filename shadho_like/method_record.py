"""Has each event handled exactly once by a user's own search method: its answers and its state go into the journal with the turns."""

from __future__ import annotations

import json
from collections.abc import Sequence

from shadho_like import method_state
from shadho_like.journal import Journal, MethodRow, Record
from shadho_like.operations import operation_from_json
from shadho_like.searcher.custom import CustomMethod
from shadho_like.turn import Turn


class MethodRecord:
    """What the journal holds of a user's method.

    Args:
        method: the user's, wrapped for the loop.
        journal: where its answers and states are.
    """

    def __init__(self, method: CustomMethod, journal: Journal) -> None:
        self._method = method
        self._journal = journal
        self._answers: dict[int, list[int]] = {}
        self._state = b""

    def play(self, record: Record) -> None:
        """Have the handlers answer in the turn that comes as they did."""
        operations = [operation_from_json(value) for value in json.loads(record.operations)]
        self._method.play(operations, self._journal.answers(record.number))

    def take_up(self) -> None:
        """Bring the method to the state after the last turn that the journal holds."""
        self._method.play((), ())
        for row in self._journal.method_rows():
            self._state = row.state if row.whole else method_state.Delta.unpack(row.state).apply(self._state)
        if self._state:
            method_state.load(self._method.method, self._state)

    def note(self, turn: Turn) -> None:
        """Take down what the handlers answered in a turn."""
        if answers := self._method.take_answers():
            self._answers[turn.number] = answers

    def rows(self, turns: Sequence[Turn]) -> list[MethodRow]:
        """Return what is to be kept with turns: the answers of each, and the state after the last."""
        answered = [turn.number for turn in turns if turn.number in self._answers]
        rows = [MethodRow(number, self._answers.pop(number)) for number in answered]
        if rows:
            state = method_state.save(self._method.method)
            delta = method_state.difference(self._state, state).pack()
            self._state, whole = state, len(delta) >= len(state)
            rows[-1] = MethodRow(rows[-1].turn, rows[-1].answers, state if whole else delta, whole=whole)
        return rows

    def whole(self) -> bytes:
        """Return the whole state, so that no chain of differences is longer than the turns between two snapshots."""
        return self._state
