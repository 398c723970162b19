"""Every built-in search method keeps the contract."""

from __future__ import annotations

from contracts.method_contract import KEYS, MethodContract

from shadho_like import searcher


class TestMethods(MethodContract):
    pass


def test_no_method_is_left_out() -> None:
    by_their_sampler = set(searcher.SAMPLERS) - {"random"}
    # The trials of a binary search give verdicts, and it has tests of its own.
    assert {*KEYS, *by_their_sampler, "binary"} == set(searcher.METHODS)
