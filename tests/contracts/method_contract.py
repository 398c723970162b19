"""What every built-in search method keeps to, whatever the metrics, the order of arrival and the failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from searcher.play import INVALID, Play, adversary, any_order, made

from shadho_like import rand, searcher, spaces
from shadho_like.errors import OptionError
from shadho_like.trial import Attempt, Outcome, Success, TrialState

seeds = st.integers(0, 2**32)
chances = st.sampled_from([0.0, 0.1, 0.5])
slots = st.integers(1, 9)
lengths = st.integers(1, 100)
trials = st.integers(1, 40)
divisors = st.sampled_from([1.5, 2, 2.5, 3, 4, 9])
rungs = st.integers(1, 6)

UNHURRIED = settings(deadline=None)
FEWER = settings(deadline=None, max_examples=50)

SPACE: Mapping[str, Any] = {
    "x": rand.uniform(0, 1, count=3),
    "layers": rand.randint(1, 4),
    "kernel": spaces.scope(exclusive=True, linear={"c": [1, 2]}, rbf={"gamma": rand.loguniform(1e-3, 1, count=2)}),
}
KEYS: Mapping[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "adaptive_asha": {
        "max_length": lengths,
        "max_trials": trials,
        "divisor": divisors,
        "mode": st.sampled_from(["aggressive", "standard", "conservative"]),
        "bracket_rungs": st.none() | st.lists(rungs, min_size=1, max_size=4),
        "stop_once": st.booleans(),
    },
    "async_halving": {"max_length": lengths, "max_trials": trials, "divisor": divisors, "num_rungs": rungs, "stop_once": st.booleans()},
    "grid": {"max_length": lengths},
    "hyperband": {
        "max_length": st.integers(1, 30),
        "max_trials": st.none() | trials,
        "divisor": st.sampled_from([2, 2.5, 3, 4]),
        "asynchronous": st.booleans(),
    },
    "pasha": {"max_length": lengths, "max_trials": trials, "divisor": divisors, "num_rungs": rungs},
    "pbt": {
        "population_size": st.integers(1, 10),
        "num_rounds": st.integers(1, 5),
        "length_per_round": st.integers(1, 3),
        "truncate_fraction": st.sampled_from([0.0, 0.2, 0.5]),
    },
    "random": {"max_length": lengths, "max_trials": trials},
    "single": {"max_length": lengths},
}
"""For each method, what its keys may be."""


@st.composite
def methods(draw: st.DrawFn, name: str) -> tuple[Any, int]:
    """Draw what makes a method, and how many of its trials may have work."""
    keys = {key: draw(values, label=key) for key, values in KEYS[name].items()}
    if name == "single":
        return made(name, {"x": 1}, **keys), 1
    most = draw(slots, label="slots")
    return made(name, SPACE, seed=draw(seeds, label="seed"), max_concurrent_trials=most, **keys), most


@st.composite
def outcomes(draw: st.DrawFn) -> Any:
    """Draw what decides how attempts end."""
    return adversary(
        draw(seeds, label="outcomes"),
        errors=draw(chances, label="errors"),
        invalid=draw(st.sampled_from([0.0, 0.1, 0.4]), label="invalid"),
        nan=draw(st.sampled_from([0.0, 0.1]), label="nan"),
        ties=draw(st.sampled_from([0, 2]), label="ties"),
    )


def recorded(play: Play) -> list[Any]:
    return [[operation.to_json() for operation in turn.operations] for turn in play.turns]


@pytest.mark.parametrize("name", sorted(KEYS))
class MethodContract:
    """Inherit this where the method's table is complete."""

    @UNHURRIED
    @given(data=st.data())
    def test_it_ends_with_no_more_trials_at_work_than_allowed(self, name: str, data: st.DataObject) -> None:
        fresh, most = data.draw(methods(name))
        play = Play(fresh)
        play.to_the_end(data.draw(outcomes()), any_order(data.draw(seeds, label="order")))
        assert play.busiest <= most
        assert play.held <= {(most, most)}
        assert play.state.ended
        assert play.state.searcher.trials_closed == play.state.searcher.trials_created
        assert play.state.counts[TrialState.COMPLETED] + play.state.counts[TrialState.FAILED] == len(play.lengths)

    @UNHURRIED
    @given(data=st.data())
    def test_progress_starts_at_0_never_falls_and_ends_at_1(self, name: str, data: st.DataObject) -> None:
        play = Play(data.draw(methods(name))[0])
        play.to_the_end(data.draw(outcomes()), any_order(data.draw(seeds, label="order")))
        assert play.progress[0] == 0.0
        assert play.progress == sorted(play.progress)
        assert play.progress[-1] == 1.0

    @FEWER
    @given(data=st.data())
    def test_saved_and_loaded_after_every_event_it_does_the_same(self, name: str, data: st.DataObject) -> None:
        fresh = data.draw(methods(name))[0]
        outcome, order = data.draw(outcomes()), data.draw(seeds, label="order")
        plays = [Play(fresh), Play(fresh, reload=True), Play(fresh)]
        for play in plays:
            play.to_the_end(outcome, any_order(order))
        assert recorded(plays[0]) == recorded(plays[1]) == recorded(plays[2])

    def test_an_objective_for_which_all_is_invalid_ends_too(self, name: str) -> None:
        def outcome(_: Attempt) -> Outcome:
            return INVALID

        for keys in [{key: max_of(values) for key, values in KEYS[name].items()}]:
            play = Play(made(name, {"x": 1} if name == "single" else SPACE, **keys))
            play.to_the_end(outcome, most=5000)
            assert play.progress[-1] == 1.0

    def test_the_best_metric_may_be_the_largest(self, name: str) -> None:
        def plays(*, smaller: bool) -> Play:
            keys = {key: max_of(values) for key, values in KEYS[name].items()}
            play = Play(made(name, {"x": 1} if name == "single" else SPACE, smaller_is_better=smaller, **keys))
            play.to_the_end(lambda attempt: Success(attempt.id.trial * (1.0 if smaller else -1.0)))
            return play

        assert recorded(plays(smaller=True)) == recorded(plays(smaller=False))

    def test_an_unknown_key_gives_the_nearest(self, name: str) -> None:
        with pytest.raises(OptionError, match=rf"^the search method '{name}' has no key 'max_concurent_trials': .*Known: "):
            searcher.create(name, {"x": 1}, max_concurent_trials=3)

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many", None])
    def test_no_count_may_be_less_than_1(self, name: str, wrong: Any) -> None:
        for key in ("max_length", "population_size"):
            if key in KEYS[name]:
                keys = {other: max_of(values) for other, values in KEYS[name].items()}
                with pytest.raises(OptionError, match=key):
                    searcher.create(name, {"x": 1}, **{**keys, key: wrong})


def max_of(strategy: st.SearchStrategy[Any]) -> Any:
    """Return one value of a strategy, always the same."""
    return find(strategy, lambda _: True)
