"""The interface, its public names, and the methods that search least: single, grid and random; then population based training."""

from __future__ import annotations

import json
import math
import uuid
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from searcher.play import ERROR, INVALID, Play, adversary, any_order, made
from searcher.test_async_halving import by_number

from shadho_like import rand, searcher, spaces
from shadho_like.errors import OptionError
from shadho_like.events import AttemptReported
from shadho_like.operations import Close, Create, Operation, ValidateAfter
from shadho_like.reports import Saved
from shadho_like.searcher.random import RandomSearch
from shadho_like.searcher.samplers import Observed
from shadho_like.space import Space
from shadho_like.trial import Attempt, Outcome, Success


def test_the_public_names() -> None:
    determined = {"SearchMethod", "SearcherState", "Create", "ValidateAfter", "Close", "Progress", "Shutdown", "ExitedReason", "Operation"}
    assert determined < set(searcher.__all__)
    assert all(hasattr(searcher, name) for name in searcher.__all__)


def test_a_missing_handler_is_an_error_that_names_it() -> None:
    class Forgetful(searcher.SearchMethod):
        def initial_operations(self, state: Any) -> list[searcher.Operation]:
            return []

        def on_trial_created(self, state: Any, request_id: Any) -> list[searcher.Operation]:
            return []

        def on_validation_completed(self, state: Any, request_id: Any, metric: Any, train_length: int) -> list[searcher.Operation]:
            return []

        def on_trial_closed(self, state: Any, request_id: Any) -> list[searcher.Operation]:
            return []

        def progress(self, state: Any) -> float:
            return 0.0

    with pytest.raises(TypeError, match="on_trial_exited_early"):
        Forgetful()  # type: ignore[abstract]


def test_an_unknown_method_gives_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"^unknown search method 'asynch_halving': did you mean 'async_halving'\? Known: adaptive_asha, "):
        searcher.create("asynch_halving", {"x": 1})


def test_a_search_needs_no_seed() -> None:
    space = {"x": rand.uniform(0, 1)}
    one, other = (searcher.create("random", space, max_trials=1).initial_operations(searcher.SearcherState())[0] for _ in range(2))
    assert one != other


def test_single_runs_its_one_trial() -> None:
    play = Play(made("single", {"lr": 0.1, "net": {"layers": [3], "kind": rand.constant("cnn")}}, max_length=12))
    play.to_the_end(by_number)
    assert play.lengths == {0: [12]}
    assert play.turns[0].trials[0].hparams == {"lr": 0.1, "net": {"layers": 3, "kind": "cnn"}}


@pytest.mark.parametrize(
    ("space", "names"),
    [
        ({"lr": rand.uniform(0, 1), "net": {"depth": [1, 2], "width": 8}}, "lr, net.depth"),
        ({"kernel": spaces.scope(exclusive=True, a={"c": 1}, b={"c": 2})}, "kernel.a, kernel.b"),
        ({"n": 1, "aug": spaces.scope(optional=True, p=0.5)}, "all, no aug"),
    ],
)
def test_single_refuses_what_varies_and_names_it(space: Any, names: str) -> None:
    with pytest.raises(OptionError) as caught:
        searcher.create("single", space)
    assert str(caught.value) == f"the search method 'single' runs one trial and takes constants only, yet these vary: {names}"


def test_grid_is_the_cross_product_in_order_whatever_the_order_of_results() -> None:
    play = Play(made("grid", {"b": [True, False], "a": rand.uniform(0, 1, count=2), "c": {"d": rand.randint(0, 3)}}, max_concurrent_trials=4))
    points: dict[int, Any] = {}

    def outcome(attempt: Attempt) -> Outcome:
        points[attempt.id.trial] = attempt.hparams
        return Success(1.0)

    play.to_the_end(outcome, any_order(1))
    expected = [{"a": a, "b": b, "c": {"d": d}} for a, b, d in product((0.25, 0.75), (True, False), range(3))]
    assert [points[number] for number in range(12)] == expected
    assert len(points) == 12


def test_grid_needs_a_count_for_every_continuous_domain() -> None:
    with pytest.raises(OptionError) as caught:
        searcher.create("grid", {"net": {"lr": rand.loguniform(1e-5, 1)}})
    assert str(caught.value) == "net.lr: a grid over loguniform needs to know how many points: loguniform(..., count=5)"


def test_a_grid_larger_than_any_machine_is_no_problem() -> None:
    space = {f"x{i}": rand.uniform(0, 1, count=10**9) for i in range(5)}
    play = Play(made("grid", space, max_concurrent_trials=2))
    play.finish(min(play.wanted), Success(1.0))
    assert play.turns[-1].trials[-1].hparams["x4"] == 2.5e-9
    assert play.state.method.progress(play.state.searcher) < 1e-40
    assert len(json.dumps(play.state.method.state_to_json())) < 500


def test_pbt_goes_on_from_the_best_and_replaces_the_worst() -> None:
    space = {"x": rand.uniform(0, 1), "kind": ["a", "b"], "n": rand.randint(0, 100)}
    play = Play(made("pbt", space, population_size=10, num_rounds=3, length_per_round=5))
    play.to_the_end(lambda attempt: Success(attempt.hparams["x"]))
    created = [operation for turn in play.turns for operation in turn.operations if isinstance(operation, Create)]
    assert [operation.checkpoint for operation in created[:10]] == [None] * 10
    ranked = sorted(range(10), key=lambda number: created[number].hparams["x"])
    copies = created[10:12]
    assert [copy.checkpoint for copy in copies] == [f"trial:{created[number].request_id}" for number in ranked[:2]]
    for operation in created:
        Space(space).validate(operation.hparams)
    assert {number for number, lengths in play.lengths.items() if lengths == [5]} == set(ranked[-2:])
    assert all(lengths in ([5, 10, 15], [10, 15], [15], [5, 10], [10], [5]) for lengths in play.lengths.values())
    assert sum(len(lengths) for lengths in play.lengths.values()) == 30


@pytest.mark.parametrize("reload", [False, True])
def test_pbt_replaces_an_invalid_copy_by_one_that_begins_at_the_rounds_end_too(reload: bool) -> None:
    """However far their parent has come in the next round, and what it has saved there."""
    play = Play(made("pbt", {"x": rand.uniform(0, 1)}, population_size=2, num_rounds=3, truncate_fraction=0.5), reload=reload)

    def train(trial: int, checkpoint: str) -> None:
        (attempt,) = (attempt for attempt in play.wanted if attempt.trial == trial)
        play.handle(AttemptReported(float(len(play.turns)), attempt, (Saved(0, checkpoint, 1.0),)))
        play.finish(attempt, Success(float(trial)))

    def begin_from() -> list[str | None]:
        return [attempt.start_from for attempt in play.wanted.values() if attempt.id.trial > 1]

    train(0, "0.1.1")
    train(1, "1.1.1")
    assert begin_from() == ["0.1.1"]
    train(0, "0.2.1")
    for copy in (2, 3):
        (attempt,) = (attempt for attempt in play.wanted if attempt.trial == copy)
        play.finish(attempt, INVALID)
        assert begin_from() == ["0.1.1"]
    # A copy that has trained is another matter, and so is the next round's.
    train(4, "4.1.1")
    assert begin_from() == ["0.2.1"]


def test_pbt_moves_a_copy_within_its_branch_and_its_domains() -> None:
    space = {
        "net": spaces.scope(exclusive=True, a={"x": rand.uniform(0, 1)}, b={"y": rand.loguniform(1e-6, 1), "z": [1, 2]}),
        "layers": spaces.repeat(rand.randint(1, 9), 3),
        "twice": spaces.dependent(None, doubled),
    }
    play = Play(made("pbt", space, population_size=8, num_rounds=6, truncate_fraction=0.5, resample_probability=0.0, perturb_factor=0.1))
    play.to_the_end(lambda attempt: Success(float(sum(attempt.hparams["layers"]))))
    created = [operation for turn in play.turns for operation in turn.operations if isinstance(operation, Create)]
    by_id = {f"trial:{operation.request_id}": operation.hparams for operation in created}
    copies = [operation for operation in created if operation.checkpoint]
    assert len(copies) == 20
    for copy in copies:
        parent = by_id[str(copy.checkpoint)]
        Space(space).validate(copy.hparams)
        assert copy.hparams["net"].keys() == parent["net"].keys()
        assert len(copy.hparams["layers"]) == len(parent["layers"])
        assert all(abs(new - old) <= 1 for new, old in zip(copy.hparams["layers"], parent["layers"], strict=True))
        assert copy.hparams["twice"] == 2 * copy.hparams["layers"][0]


def doubled(sample: dict[str, Any]) -> int:
    return 2 * int(sample["layers"][0])


def test_pbt_with_fewer_slots_than_members_waits_for_all_of_a_round() -> None:
    play = Play(made("pbt", {"x": rand.uniform(0, 1)}, population_size=7, num_rounds=2, max_concurrent_trials=2))
    lengths = []

    def outcome(attempt: Attempt) -> Outcome:
        lengths.append(attempt.length)
        return Success(attempt.hparams["x"])

    play.to_the_end(outcome, any_order(5))
    assert lengths == [1] * 7 + [2] * 7


@given(seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)), ties=st.integers(1, 5), slots=st.integers(1, 8))
def test_pbt_is_the_same_in_whatever_order_members_answer(seeds: tuple[int, int], ties: int, slots: int) -> None:
    """Also where members are equally good."""

    def searched(order: int) -> list[Operation]:
        play = Play(made("pbt", {"x": rand.uniform(0, 1)}, population_size=8, num_rounds=3, max_concurrent_trials=slots))
        play.to_the_end(adversary(seeds[0], invalid=0.0, ties=ties), any_order(order))
        return [operation for turn in play.turns for operation in turn.operations if isinstance(operation, Create | Close)]

    assert searched(seeds[1]) == searched(seeds[1] + 1)


def test_pbt_replaces_members_that_failed_and_ends_where_none_is_left() -> None:
    play = Play(made("pbt", {"x": rand.uniform(0, 1)}, population_size=6, num_rounds=2, truncate_fraction=0.0))
    play.to_the_end(lambda attempt: ERROR if attempt.id.trial < 5 else by_number(attempt))
    assert sorted(play.lengths) == list(range(11))
    assert all(lengths == [2] for number, lengths in play.lengths.items() if number > 5)
    play = Play(made("pbt", {"x": 1}, population_size=6, num_rounds=2))
    play.to_the_end(lambda _: ERROR)
    assert play.state.ended
    assert play.progress[-1] == 1.0


def test_a_metric_that_is_nan_counts_as_worst() -> None:
    play = Play(made("async_halving", {"x": 1}, max_length=4, max_trials=8, num_rungs=2, divisor=2, max_concurrent_trials=1))
    play.to_the_end(lambda attempt: Success(math.nan if attempt.id.trial < 4 else 1.0 + attempt.id.trial))
    assert {trial for trial, length in play.longest().items() if length == 4} >= {4, 5}


class Impatient(RandomSearch):
    """Asks for more of its first trial before that has answered: at once, and when the second one is over."""

    def initial_operations(self, state: searcher.SearcherState) -> list[searcher.Operation]:
        first, second = super().initial_operations(state)[::3]
        return [first, ValidateAfter(FIRST, 5), ValidateAfter(FIRST, 10), second, ValidateAfter(SECOND, 1), Close(SECOND)]

    def on_trial_closed(self, state: searcher.SearcherState, request_id: Any) -> list[searcher.Operation]:
        return [ValidateAfter(FIRST, 20), Close(FIRST)] if request_id == SECOND else []


FIRST, SECOND = uuid.UUID(int=0), uuid.UUID(int=1)


def test_only_the_newest_length_counts() -> None:
    play = Play(lambda: Impatient(Student(), max_trials=2, max_concurrent_trials=2), reload=True)
    play.to_the_end(lambda attempt: Success(float(attempt.length)), max)
    assert play.lengths == {0: [10, 20], 1: [1]}
    state: Any = play.state.method.state_to_json()
    assert state["sampler"] == [[1, 1, 1.0], [0, 20, 20.0]]


class Student:
    """A sampler that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int, Observed]] = []

    def sample(self, number: int) -> dict[str, Any]:
        return {"n": number, "told": len(self.told)}

    def observe(self, number: int, hparams: dict[str, Any], length: int, metric: Observed) -> None:
        assert hparams["n"] == number
        self.told.append((number, length, metric))

    def state_to_json(self) -> Any:
        return [list(item) for item in self.told]

    def load_state(self, value: Any) -> None:
        self.told = [(number, length, metric) for number, length, metric in value]


def test_a_sampler_is_told_every_result_once_and_its_state_is_kept() -> None:
    from shadho_like.searcher.async_halving import AsyncHalving

    for fresh in (
        lambda: AsyncHalving(Student(), max_length=4, max_trials=8, num_rungs=2, divisor=2, max_concurrent_trials=2),
        lambda: RandomSearch(Student(), max_trials=8, max_concurrent_trials=2),
    ):
        play = Play(fresh, reload=True)
        play.to_the_end(lambda attempt: ERROR if attempt.id.trial == 3 else by_number(attempt))
        state: Any = play.state.method.state_to_json()
        told = [tuple(item) for item in state["sampler"]]
        assert len(told) == len(set(told)) == sum(len(lengths) for lengths in play.lengths.values())
        assert (3, 0, None) in told
        assert all(metric == number for number, _, metric in told if number != 3)
        trained = [operation for turn in play.turns for operation in turn.operations if isinstance(operation, ValidateAfter)]
        assert len(trained) == len(told)
