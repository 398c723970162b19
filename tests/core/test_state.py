"""What a user relies on whatever happens to workers, attempts and drivers: nothing lost, nothing doubled, the same search."""

from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import World, new_state, replayed

from shadho_like.errors import InternalError, MethodError
from shadho_like.events import (
    Action,
    AttemptFinished,
    AttemptLost,
    AttemptStarted,
    Ending,
    PatienceEnded,
    Requested,
    RunStopping,
    StopReason,
)
from shadho_like.operations import Close, Create, Operation, Shutdown, ValidateAfter
from shadho_like.phase import Phase
from shadho_like.searcher.base import SearcherState
from shadho_like.searcher.random import RandomSearch
from shadho_like.state import MAX_FAILURES_ALIKE, MAX_LOST_IN_A_ROW, ExperimentState
from shadho_like.trial import AttemptId, Failure, FailureKind, RequestId, Success, TrialState


def test_an_attempt_that_begins_again_elsewhere_runs_there() -> None:
    world = World(new_state())
    world.start(max_trials=1)
    world.handle(AttemptStarted(1001.0, AttemptId(0, 1), "node"))
    world.handle(AttemptStarted(1002.0, AttemptId(0, 1), "other"))
    trial = world.trials[0]
    assert (trial.state, trial.host, trial.started_s, trial.attempt) == (TrialState.RUNNING, "other", 1001.0, 1)


def finish_all(world: World) -> None:
    while world.wanted:
        world.finish(min(world.wanted))


@given(st.data())
def test_whatever_happens_every_trial_ends_once_with_its_own_sample(data: st.DataObject) -> None:
    world = World(new_state())
    world.start(max_trials=20, max_restarts=1)
    for _ in range(data.draw(st.integers(0, 60), label="steps")):
        if not world.wanted:
            break
        world.act(data)
    world.start(max_trials=20, max_restarts=1)
    world.handle(Requested(world.time_s, Action.ACTIVATE))
    finish_all(world)
    assert sorted(world.trials) == list(range(20))
    assert all(trial.state.final for trial in world.trials.values())
    assert all(trial.hparams == {"x": n / 7, "nested": {"n": n}} for n, trial in world.trials.items())
    ended = [trial.number for turn in world.turns for trial in turn.trials if trial.state.final]
    assert sorted(ended) == list(range(20))
    counts = world.state.counts
    assert counts[TrialState.COMPLETED] + counts[TrialState.FAILED] + counts[TrialState.CANCELED] == 20
    assert sum(counts.values()) == 20


@given(st.data())
def test_a_restart_from_any_turn_goes_on_as_if_nothing_had_died(data: st.DataObject) -> None:
    world = World(new_state())
    world.start(max_trials=12, max_restarts=1)
    for _ in range(data.draw(st.integers(0, 40), label="steps")):
        if not world.wanted:
            break
        world.act(data)
    cut = data.draw(st.integers(0, len(world.turns)), label="snapshot after")
    half = replayed(world.turns[:cut], new_state())
    snapshot = json.loads(json.dumps(half.snapshot()))
    restored = new_state()
    restored.restore(snapshot)
    assert json.loads(json.dumps(restored.snapshot())) == snapshot
    assert replayed(world.turns[cut:], restored).snapshot() == world.state.snapshot()


@given(st.data())
def test_counts_best_and_wanted_always_agree_with_the_trials(data: st.DataObject) -> None:
    world = World(new_state(concurrent=4))
    world.start(max_trials=10)
    for _ in range(data.draw(st.integers(0, 40), label="steps")):
        if not world.wanted:
            break
        world.act(data)
        states = [trial.state for trial in world.trials.values()]
        assert all(world.state.counts[state] == states.count(state) for state in TrialState)
        metrics = [(trial.metric, n) for n, trial in world.trials.items() if trial.metric is not None]
        best = world.state.best
        assert (best is None and not metrics) or (best is not None and (best.metric, best.trial) == min(metrics))
        assert all(world.trials[attempt.trial].attempt == attempt.attempt for attempt in world.wanted)
        assert world.state.finished == (not world.wanted) or world.state.phase is Phase.PAUSED


def test_a_later_run_with_a_higher_limit_goes_on_with_the_next_trials() -> None:
    world = World(new_state(concurrent=3))
    world.start(max_trials=5)
    finish_all(world)
    assert sorted(world.trials) == [0, 1, 2, 3, 4]
    assert not world.state.ended
    world.start(max_trials=9)
    finish_all(world)
    assert sorted(world.trials) == list(range(9))


def test_the_method_that_has_made_all_its_trials_ends_the_experiment() -> None:
    world = World(new_state(concurrent=8, max_trials=3))
    world.start()
    finish_all(world)
    assert world.state.ended
    assert world.state.method.progress(world.state.searcher) == 1.0
    world.start()
    assert not world.wanted


def test_a_failure_of_the_users_code_is_tried_again_as_often_as_allowed() -> None:
    world = World(new_state(concurrent=1, max_trials=1))
    world.start(max_restarts=2)
    failure = Failure(FailureKind.EXIT_CODE, "exit status 3", "boom")
    for attempt in (1, 2, 3):
        world.finish(AttemptId(0, attempt), failure)
    assert world.trials[0].state is TrialState.FAILED
    assert world.trials[0].failure == failure
    assert world.trials[0].restarts == 2


def test_invalid_hyperparameters_are_not_tried_again() -> None:
    world = World(new_state(concurrent=1, max_trials=1))
    world.start(max_restarts=5)
    world.finish(AttemptId(0, 1), Failure(FailureKind.INVALID_HP, "too many layers"))
    assert world.trials[0].state is TrialState.FAILED


def test_lost_machines_use_up_none_of_the_retries_of_the_users_code() -> None:
    world = World(new_state(concurrent=1, max_trials=1))
    world.start(max_restarts=0)
    for attempt in range(1, MAX_LOST_IN_A_ROW + 1):
        world.handle(AttemptLost(2000.0, AttemptId(0, attempt), "node", "keep-alive missed"))
    world.finish(AttemptId(0, MAX_LOST_IN_A_ROW + 1))
    assert world.trials[0].state is TrialState.COMPLETED
    assert world.state.lost_attempts == MAX_LOST_IN_A_ROW


def test_a_trial_that_loses_one_machine_after_another_is_given_up_and_says_so() -> None:
    world = World(new_state(concurrent=1, max_trials=1))
    world.start()
    for attempt in range(1, MAX_LOST_IN_A_ROW + 2):
        world.handle(AttemptLost(2000.0, AttemptId(0, attempt), "node", "keep-alive missed"))
    failure = world.trials[0].failure
    assert world.trials[0].state is TrialState.FAILED
    assert failure is not None
    assert failure.message == f"lost {MAX_LOST_IN_A_ROW + 1} machines in a row, the last one: keep-alive missed"


def test_what_ran_when_time_was_up_runs_again_in_the_next_run() -> None:
    world = World(new_state(concurrent=2, max_trials=2))
    world.start()
    world.handle(AttemptStarted(1500.0, AttemptId(0, 1), "node"))
    turn = world.handle(RunStopping(1600.0, StopReason.TIMEOUT, Ending.NOW))
    assert sorted(turn.unwanted) == [AttemptId(0, 1), AttemptId(1, 1)]
    assert world.state.finished
    world.start()
    assert sorted(world.wanted) == [AttemptId(0, 2), AttemptId(1, 1)]
    assert world.wanted[AttemptId(0, 2)].seed == world.trials[0].seed


def test_draining_lets_what_runs_finish_and_starts_nothing() -> None:
    world = World(new_state(concurrent=2))
    world.start()
    world.handle(AttemptStarted(1500.0, AttemptId(0, 1), "node"))
    world.handle(RunStopping(1600.0, StopReason.TIMEOUT, Ending.DRAIN))
    assert sorted(world.wanted) == [AttemptId(0, 1)]
    world.finish(AttemptId(0, 1))
    assert world.state.finished
    assert world.trials[0].state is TrialState.COMPLETED


def test_an_impossible_event_raises_and_changes_nothing() -> None:
    world = World(new_state())
    world.start()
    before = world.state.snapshot()
    with pytest.raises(InternalError, match="attempt 0.2 is not wanted"):
        world.state.handle(AttemptFinished(1.0, AttemptId(0, 2), 0.0, "node", Success(1.0)))
    assert world.state.snapshot() == before


def test_the_search_does_not_depend_on_the_order_of_answers() -> None:
    def searched(*, last_first: bool) -> dict[int, object]:
        world = World(new_state(concurrent=5))
        world.start(max_trials=30)
        while world.wanted:
            world.finish(max(world.wanted) if last_first else min(world.wanted))
        return {number: (trial.hparams, trial.seed) for number, trial in world.trials.items()}

    assert searched(last_first=True) == searched(last_first=False)


class Awkward(RandomSearch):
    """A random search whose answer to a closed trial is chosen by the test."""

    answer: object = None

    def on_trial_closed(self, state: SearcherState, request_id: RequestId) -> list[Operation]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ValueError("no rung"), "the search method's Awkward.on_trial_closed raised ValueError: no rung"),
        (None, "the search method's Awkward.on_trial_closed must return a list of operations, not None"),
        (["close"], "the search method's Awkward.on_trial_closed must return a list of operations, not ['close']"),
        (
            [ValidateAfter(uuid.UUID(int=99), 1)],
            "the search method asked for ValidateAfter of a trial that it never created: 00000000-0000-0000-0000-000000000063",
        ),
    ],
)
def test_a_method_that_breaks_its_contract_is_named(answer: object, message: str) -> None:
    from simulation import NumberSampler

    method = Awkward(NumberSampler(), max_concurrent_trials=1)
    method.answer = answer
    world = World(ExperimentState(method, experiment="e", seed=1, smaller_is_better=True))
    world.start()
    with pytest.raises(MethodError) as caught:
        world.finish(AttemptId(0, 1))
    assert str(caught.value) == message


def test_a_shutdown_ends_every_open_trial_and_the_experiment() -> None:
    from simulation import NumberSampler

    method = Awkward(NumberSampler(), max_concurrent_trials=3)
    method.answer = [Shutdown()]
    world = World(ExperimentState(method, experiment="e", seed=1, smaller_is_better=True))
    world.start()
    world.finish(AttemptId(1, 1))
    assert [world.trials[number].state.value for number in range(3)] == ["STOPPED", "COMPLETED", "STOPPED"]
    assert world.state.ended
    assert not world.wanted


def test_the_newest_length_counts_and_a_second_creation_is_refused() -> None:
    from simulation import NumberSampler

    one = uuid.UUID(int=0)
    method = Awkward(NumberSampler(), max_concurrent_trials=1)
    method.answer = []
    method.on_trial_created = lambda *_: [ValidateAfter(one, 3), ValidateAfter(one, 5), Create(one, {}), Close(one)]  # type: ignore[method-assign]
    world = World(ExperimentState(method, experiment="e", seed=1, smaller_is_better=True))
    world.start()
    assert len(world.trials) == 1
    assert world.trials[0].length == 5
    notices = [notice for turn in world.turns for notice in turn.notices]
    assert len(notices) == 1
    assert "twice; the second is refused" in notices[0]


def asked() -> Failure:
    return Failure(FailureKind.PREEMPTED, "it was asked to end, and took a checkpoint")


def test_a_pause_asks_what_runs_and_starts_nothing_until_it_is_activated() -> None:
    world = World(new_state(concurrent=2, max_trials=3))
    world.start()
    world.handle(AttemptStarted(1500.0, AttemptId(0, 1), "node"))
    turn = world.handle(Requested(1600.0, Action.PAUSE))
    assert (turn.asked, turn.unwanted, turn.phase) == ((AttemptId(0, 1),), (AttemptId(1, 1),), Phase.PAUSED)
    world.finish(AttemptId(0, 1), asked())
    assert world.trials[0].state is TrialState.PAUSED
    assert not world.wanted
    assert not world.state.finished
    world.start()
    assert not world.wanted
    world.handle(Requested(1700.0, Action.ACTIVATE))
    assert sorted(world.wanted) == [AttemptId(0, 2), AttemptId(1, 1)]
    world.finish(AttemptId(0, 2))
    assert world.trials[0].state.value == "COMPLETED"
    assert AttemptId(2, 1) in world.wanted


def test_what_completes_during_a_pause_counts_and_what_it_makes_room_for_waits() -> None:
    world = World(new_state(concurrent=1, max_trials=2))
    world.start()
    world.handle(AttemptStarted(1500.0, AttemptId(0, 1), "node"))
    world.handle(Requested(1600.0, Action.PAUSE))
    world.finish(AttemptId(0, 1))
    assert world.trials[0].state is TrialState.COMPLETED
    assert not world.wanted
    world.handle(Requested(1700.0, Action.ACTIVATE))
    assert sorted(world.wanted) == [AttemptId(1, 1)]


def test_what_does_not_end_when_asked_is_killed_and_runs_again_after_the_pause() -> None:
    world = World(new_state(concurrent=1, max_trials=1))
    world.start()
    world.handle(AttemptStarted(1500.0, AttemptId(0, 1), "node"))
    world.handle(Requested(1600.0, Action.PAUSE))
    assert world.state.asked
    assert world.handle(PatienceEnded(1660.0)).unwanted == (AttemptId(0, 1),)
    assert not world.state.asked
    world.handle(Requested(1700.0, Action.ACTIVATE))
    assert sorted(world.wanted) == [AttemptId(0, 2)]


@pytest.mark.parametrize("action", [Action.CANCEL, Action.KILL])
def test_the_user_ends_the_experiment(action: Action) -> None:
    world = World(new_state(concurrent=2))
    world.start()
    world.finish(AttemptId(0, 1))
    world.handle(AttemptStarted(1500.0, AttemptId(1, 1), "node"))
    turn = world.handle(Requested(1600.0, action))
    if action is Action.CANCEL:
        assert (turn.asked, turn.phase) == ((AttemptId(1, 1),), Phase.CANCELING)
        world.finish(AttemptId(1, 1), asked())
    assert world.state.phase is Phase.CANCELED
    assert [world.trials[number].state.value for number in range(3)] == ["COMPLETED", "CANCELED", "CANCELED"]
    world.start()
    assert not world.wanted


def test_the_user_kills_one_trial_and_the_method_goes_on_without_it() -> None:
    world = World(new_state(concurrent=1, max_trials=2))
    world.start()
    world.handle(AttemptStarted(1500.0, AttemptId(0, 1), "node"))
    assert world.handle(Requested(1600.0, Action.KILL, 0)).unwanted == (AttemptId(0, 1),)
    assert world.trials[0].state is TrialState.CANCELED
    world.finish(AttemptId(1, 1))
    assert world.state.phase is Phase.COMPLETED


def test_a_late_result_counts_unless_a_later_attempt_was_faster() -> None:
    world = World(new_state(concurrent=2, max_trials=2))
    world.start(max_restarts=1)
    for trial in range(2):
        world.handle(AttemptLost(1500.0, AttemptId(trial, 1), "node", "gone"))
    late = AttemptFinished(1600.0, AttemptId(0, 1), 1400.0, "node", Success(5.0))
    assert world.state.takes_late(late)
    turn = world.state.handle(late)
    assert turn.unwanted == (AttemptId(0, 2),)
    assert turn.trials[0].metric == 5.0
    world.finish(AttemptId(1, 2), Failure(FailureKind.ERROR, "no"))
    assert not world.state.takes_late(AttemptFinished(1700.0, AttemptId(1, 1), 1400.0, "node", Success(5.0)))


def test_failures_that_are_all_alike_end_the_run_and_the_next_run_goes_on() -> None:
    world = World(new_state(concurrent=1))
    world.start()
    for trial in range(MAX_FAILURES_ALIKE):
        assert not world.state.finished
        failure = Failure(FailureKind.ERROR, f"FileNotFoundError: data-{trial}.npz", "the last line")
        world.finish(AttemptId(trial, 1), failure)
    assert world.state.finished
    (notice,) = world.turns[-1].notices
    assert "data-9.npz" in notice
    assert "the last line" in notice
    world.start()
    assert sorted(world.wanted) == [AttemptId(MAX_FAILURES_ALIKE, 1)]


def test_one_success_among_the_failures_lets_the_search_go_on() -> None:
    world = World(new_state(concurrent=1))
    world.start()
    world.finish(AttemptId(0, 1))
    for trial in range(1, 3 * MAX_FAILURES_ALIKE):
        world.finish(AttemptId(trial, 1), Failure(FailureKind.ERROR, "no"))
    assert not world.state.finished


def test_a_trial_waits_longer_and_longer_between_machines_that_are_lost() -> None:
    world = World(new_state(concurrent=1, max_trials=1))
    world.start()
    waits = []
    for attempt in range(1, 10):
        [wanted] = world.handle(AttemptLost(1000.0, AttemptId(0, attempt), "node", "gone")).wanted
        waits.append(wanted.not_before_s and wanted.not_before_s - 1000.0)
    assert waits == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
