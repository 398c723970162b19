"""What a user relies on of a search space: right distributions, errors with their place, and the same samples everywhere."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadho_like import rand, spaces
from shadho_like.errors import SpaceError
from shadho_like.space import Domain, Space, TrialGenerator, flatten

DOMAINS: dict[str, Domain] = {
    "uniform": rand.uniform(-2, 3),
    "loguniform": rand.loguniform(1e-5, 10),
    "quniform": rand.quniform(0, 1, 0.1),
    "normal": rand.normal(1, 2),
    "lognormal": rand.lognormal(0, 1),
    "randint": rand.randint(-3, 12, 4),
    "lograndint": rand.lograndint(1, 1000),
    "choice": rand.choice([1, 1.5, True, "a", None, [1, 2], {"k": 1}]),
    "constant": rand.constant("adam"),
    "ln_uniform": rand.ln_uniform(-3, 3),
    "log2_uniform": rand.log2_uniform(-5, 15),
    "log10_uniform": rand.log10_uniform(-4, 0),
    "ln_normal": rand.ln_normal(0, 1),
    "log2_normal": rand.log2_normal(0, 1),
    "log10_normal": rand.log10_normal(0, 0.5),
    "ln_randint": rand.ln_randint(-2, 3),
    "log2_randint": rand.log2_randint(3, 9),
    "log10_randint": rand.log10_randint(-3, 3),
    "exhaustive": spaces.exhaustive([3, 1, 2]),
}

names = st.text("abcxyz_", min_size=1, max_size=4)


def written(depth: int = 2) -> st.SearchStrategy[Any]:
    leaves = st.one_of(st.sampled_from(list(DOMAINS.values())), st.lists(st.integers(), min_size=1, max_size=3), st.text(max_size=3))
    if depth == 0:
        return leaves
    children = st.dictionaries(names, written(depth - 1), min_size=1, max_size=3)
    scopes = st.builds(lambda kids, one, maybe: spaces.scope(exclusive=one, optional=maybe, **kids), children, st.booleans(), st.booleans())
    listed = st.builds(spaces.repeat, st.sampled_from(list(DOMAINS.values())), st.integers(1, 3))
    ordered = st.builds(spaces.sequential, leaves, leaves)
    return st.one_of(leaves, children, scopes, listed, ordered)


trees = st.dictionaries(names, written(), min_size=1, max_size=4)


@given(st.sampled_from(sorted(DOMAINS)), st.floats(1e-6, 1 - 1e-6))
def test_every_domain_gives_its_own_values_and_knows_their_place(name: str, u: float) -> None:
    domain = DOMAINS[name]
    value = domain.quantile(u)
    assert domain.contains(value)
    assert json.loads(json.dumps(value)) == value
    again = domain.quantile(min(max(domain.unit(value), 0.0), 1 - 1e-16))
    assert again == value or math.isclose(again, value, rel_tol=1e-6, abs_tol=1e-6)


@given(trees, st.integers(0, 2**31), st.integers(0, 10**6))
def test_a_sample_fits_its_space_and_depends_on_seed_and_number_alone(tree: dict[str, Any], seed: int, number: int) -> None:
    space = Space(tree)
    sample = space.sample(TrialGenerator(seed, number), number)
    space.validate(sample)
    assert json.loads(json.dumps(sample, allow_nan=False)) == sample
    backwards = Space(dict(reversed(tree.items())))
    assert backwards == space
    assert backwards.sample(TrialGenerator(seed, number), number) == sample


@given(trees)
def test_the_json_form_gives_the_same_space_back(tree: dict[str, Any]) -> None:
    space = Space(tree)
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.sample(TrialGenerator(1, 2), 2) == space.sample(TrialGenerator(1, 2), 2)


@given(trees, st.integers(0, 50))
def test_a_sample_belongs_to_one_of_the_alternatives(tree: dict[str, Any], number: int) -> None:
    space = Space(tree)
    leaf = space.leaf_of(space.sample(TrialGenerator(3, number), number))
    for _, alternative in zip(range(5000), space.leaves(), strict=False):
        if alternative.name == leaf:
            return
    pytest.fail(f"{leaf} is not among the alternatives")


@pytest.mark.parametrize(
    ("domain", "cdf"),
    [
        (DOMAINS["uniform"], lambda x: (x + 2) / 5),
        (DOMAINS["loguniform"], lambda x: math.log(x / 1e-5) / math.log(1e6)),
        (DOMAINS["normal"], lambda x: 0.5 * math.erfc((1 - x) / 2 / math.sqrt(2))),
        (DOMAINS["log2_uniform"], lambda x: (math.log2(x) + 5) / 20),
        (DOMAINS["ln_normal"], lambda x: 0.5 * math.erfc(-math.log(x) / math.sqrt(2))),
    ],
)
def test_draws_are_distributed_as_promised(domain: Domain, cdf: Any) -> None:
    space = Space({"x": domain})
    values = sorted(space.sample(TrialGenerator(5, n))["x"] for n in range(4000))
    distance = max(abs(cdf(value) - (i + 0.5) / 4000) for i, value in enumerate(values))
    assert distance < 1.63 / math.sqrt(4000)


def test_whole_numbers_and_choices_come_equally_often() -> None:
    space = Space({"k": rand.randint(0, 10, 3), "c": ["a", "b"], "e": spaces.scope(exclusive=True, p=1, q=2)})
    samples = [space.sample(TrialGenerator(0, n)) for n in range(4000)]
    for values in ([s["k"] for s in samples], [s["c"] for s in samples], [str(s["e"]) for s in samples]):
        shares = [values.count(value) / 4000 for value in set(values)]
        assert all(abs(share - 1 / len(shares)) < 0.03 for share in shares)
    assert {s["k"] for s in samples} == {0, 3, 6, 9}


def test_exhaustive_values_cover_every_combination_once_before_any_twice() -> None:
    space = Space({"a": spaces.exhaustive([1, 2, 3]), "b": {"c": spaces.exhaustive(["x", "z"])}, "u": rand.uniform(0, 1)})
    pairs = [(s["a"], s["b"]["c"]) for s in (space.sample(TrialGenerator(0, n), n) for n in range(12))]
    assert len(set(pairs[:6])) == 6
    assert pairs[6:] == pairs[:6]


def test_dependent_values_see_the_others_and_lists_have_their_lengths() -> None:
    space = Space(
        {
            "layers": spaces.repeat(rand.randint(8, 65), 4),
            "window": spaces.sequential(rand.randint(1, 4), rand.choice(["same", "valid"])),
            "width": spaces.dependent(None, lambda sample: sum(sample["layers"])),
            "scaled": spaces.dependent(rand.uniform(0, 1), lambda drawn, sample: drawn * len(sample["layers"])),
        }
    )
    lengths = set()
    for number in range(60):
        sample = space.sample(TrialGenerator(0, number))
        lengths.add(len(sample["layers"]))
        assert sample["width"] == sum(sample["layers"])
        assert 0 <= sample["scaled"] <= len(sample["layers"])
        assert len(sample["window"]) == 2
    assert lengths == {1, 2, 3, 4}


def test_the_grid_is_the_cross_product_names_sorted_last_fastest() -> None:
    space = Space({"b": rand.randint(0, 2), "a": ["x", "y"], "c": spaces.scope(optional=True, q=rand.uniform(0, 1, count=2))})
    grid = list(space.grid())
    assert grid[:4] == [{"a": "x", "b": 0}, {"a": "x", "b": 0, "c": {"q": 0.25}}, {"a": "x", "b": 0, "c": {"q": 0.75}}, {"a": "x", "b": 1}]
    assert len(grid) == space.grid_size() == 12
    assert len({json.dumps(point) for point in grid}) == 12
    assert Space({f"x{i}": rand.randint(0, 1000) for i in range(9)}).grid_size() == 10**27
    with pytest.raises(SpaceError, match=r"^x: a grid over uniform needs to know how many points: uniform\(..., count=5\)$"):
        Space({"x": rand.uniform(0, 1)}).grid_size()


def test_the_complexity_is_shadhos() -> None:
    assert Space({"a": 1}).complexity == 1
    assert Space({"a": [1, 2]}).complexity == 1.5
    assert Space({"a": rand.uniform(0, 2)}).complexity == pytest.approx(2 + 1.98)


def broken(_: Any) -> float:
    return 1 / 0


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"svm": {"rbf": {"gamma": rand.uniform(3, 1)}}}, "svm.rbf.gamma: the lower bound of uniform must be below the upper one, not 3 and 1"),
        ({"a": rand.loguniform(0, 1)}, "a: the lower bound of loguniform must be above 0, not 0"),
        ({"a": rand.uniform(float("nan"), 1)}, "a: the bounds of uniform must be finite numbers, not nan and 1"),
        ({"a": rand.uniform(cast(Any, "0"), 1)}, "a: the bounds of uniform must be finite numbers, not '0' and 1"),
        ({"a": rand.randint(0, cast(Any, 1.5))}, "a: randint takes whole numbers, not 0, 1.5 and 1"),
        ({"a": rand.randint(0, 9, 0)}, "a: the step of randint must be at least 1, not 0"),
        ({"a": rand.quniform(0, 1, -1)}, "a: q of quniform must be above 0, not -1"),
        ({"a": rand.normal(0, 0)}, "a: normal takes a finite mean and a deviation above 0, not 0 and 0"),
        ({"a": rand.log10_uniform(0, 400)}, "a: log10_uniform goes beyond the largest number: the bounds are exponents"),
        ({"a": {"b": []}}, "a.b: a choice needs a list of at least one option, not []"),
        ({"a": [rand.uniform(0, 1)]}, "a: a list holds plain values; to choose between domains use spaces.scope(exclusive=True, a=..., b=...)"),
        ({"a": float("inf")}, "a: inf is no JSON value; use numbers, strings, true, false, null, and lists and dicts of them"),
        ({"a.b": 1}, "'a.b' cannot name a hyperparameter: a name is a string without dots"),
        ({"s": {"exclusive": 3, "a": 1}}, "s.exclusive: 'exclusive' in a search space says which children are drawn and must be True or False; rename the hyperparameter"),
        ({"s": {"exclusive": True}}, "s: an exclusive or optional scope needs at least one child"),
        ({"r": spaces.repeat(1, 0)}, "r: repeat needs a whole number of at least 1, not 0"),
        ({"d": spaces.dependent(None, cast(Any, 3))}, "d: dependent needs a function, not 3"),
        ([1, 2], "a search space is a dict of hyperparameters, not list"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(tree: Any, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        Space(tree)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"k": {"rbf": {"g": 2.0}}, "x": 1}, "k.rbf.g: 2.0 is not a value of uniform(lo=0, hi=1)"),
        ({"k": {"rbf": {"g": 0.5}, "lin": 1}, "x": 1}, "k: exactly one of lin, rbf is needed, not 2"),
        ({"k": {"lin": 1}}, "x: it is missing"),
        ({"k": {"lin": 1}, "x": 1, "y": 2}, "y: the space has no such hyperparameter"),
        ({"k": 3, "x": 1}, "k: a dict is needed, not 3"),
        ({"k": {"lin": 1}, "x": True}, "x: True is not a value of randint(lo=0, hi=3, step=1)"),
    ],
)
def test_the_first_thing_wrong_with_a_sample_is_named(sample: Any, message: str) -> None:
    space = Space({"k": spaces.scope(exclusive=True, rbf={"g": rand.uniform(0, 1)}, lin=1), "x": rand.randint(0, 3)})
    with pytest.raises(SpaceError) as caught:
        space.validate(sample)
    assert str(caught.value) == message


def test_a_callback_that_fails_is_named() -> None:
    with pytest.raises(SpaceError, match=r"^a.d: its callback .*:broken failed: ZeroDivisionError: division by zero$"):
        Space({"a": {"d": spaces.dependent(None, broken)}}).sample(TrialGenerator(0, 0))


def test_flattening_gives_dotted_paths() -> None:
    assert flatten({"svm": {"rbf": {"gamma": 1}}, "l": [1, 2]}) == {"svm.rbf.gamma": 1, "l": [1, 2]}
