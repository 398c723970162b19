"""What the policy keeps is the union of three wishes; what is needed to go on stays whatever it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadho_like.checkpoint_policy import CheckpointId, CheckpointPolicy, Known, best_of, surplus
from shadho_like.errors import OptionError

IDS = st.builds(CheckpointId, st.integers(0, 4), st.integers(1, 3), st.integers(1, 4))
METRICS = st.none() | st.sampled_from([0.0, 0.5, 1.0, -2.0])
CHECKPOINTS = st.lists(st.builds(Known, IDS, METRICS, st.sampled_from([1.0, 2.0])), unique_by=lambda known: known.id)
POLICIES = st.builds(CheckpointPolicy, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
TRIALS = st.frozensets(st.integers(0, 4))


@given(CHECKPOINTS, POLICIES, TRIALS, TRIALS, st.booleans())
def test_no_wish_is_passed_over_and_nothing_else_stays(
    known: list[Known], policy: CheckpointPolicy, running: frozenset[int], needed: frozenset[int], smaller: bool
) -> None:
    gone = surplus(known, policy, smaller_is_better=smaller, goes_on=lambda trial: trial in running, needed=needed)
    kept = [each for each in known if each.id not in gone]
    assert gone <= {each.id for each in known}
    sign = 1 if smaller else -1
    ranked = sorted((each for each in known if each.metric is not None), key=lambda each: (sign * (each.metric or 0), each.time_s, each.id))
    wanted = {each.id for each in ranked[: policy.save_experiment_best]}
    for trial in {each.id.trial for each in known}:
        own = sorted((each for each in known if each.id.trial == trial), key=lambda each: each.id, reverse=True)
        latest = max(1, policy.save_trial_latest) if trial in running else policy.save_trial_latest
        wanted |= {each.id for each in own[:latest]}
        wanted |= {each.id for each in [each for each in ranked if each.id.trial == trial][: policy.save_trial_best]}
        wanted |= {each.id for each in own if trial in needed}
    assert {each.id for each in kept} == wanted


@given(CHECKPOINTS, POLICIES, TRIALS, st.booleans())
def test_trial_by_trial_is_as_all_at_once_and_twice_is_as_once(
    known: list[Known], policy: CheckpointPolicy, running: frozenset[int], smaller: bool
) -> None:
    def goes_on(trial: int) -> bool:
        return trial in running

    gone = surplus(known, policy, smaller_is_better=smaller, goes_on=goes_on)
    best = [each.id for each in best_of(known, policy.save_experiment_best, smaller_is_better=smaller)]
    one_by_one: set[CheckpointId] = set()
    for trial in range(5):
        own = [each for each in known if each.id.trial == trial]
        one_by_one |= surplus(own, policy, smaller_is_better=smaller, goes_on=goes_on, best=best)
    assert one_by_one == gone
    left = [each for each in known if each.id not in gone]
    assert not surplus(left, policy, smaller_is_better=smaller, goes_on=goes_on)


def test_of_equals_the_older_is_the_better() -> None:
    known = [Known(CheckpointId(0, 1, number), 0.5, 10.0 - number) for number in (1, 2, 3)]
    assert [each.id.number for each in best_of(known, 2, smaller_is_better=True)] == [3, 2]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"save_trial_latest": -1}, "checkpoint_policy.save_trial_latest must be a whole number of at least 0, not -1"),
        ({"save_trial_best": True}, "checkpoint_policy.save_trial_best must be a whole number of at least 0, not True"),
        ({"save_trial_lates": 1}, "checkpoint_policy has no key 'save_trial_lates': did you mean 'save_trial_latest'? "),
        ([1], "checkpoint_policy must be a mapping with save_experiment_best, save_trial_best, save_trial_latest, not [1]"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(policy: object, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        CheckpointPolicy.read(policy)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
