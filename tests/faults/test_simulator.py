"""Searches in a simulated world in which everything goes wrong: what they find is what they find when nothing does."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promises
import pytest
from ledger import Ledger
from unruly import Died, Mischief, UnrulyEngine, UnrulyJournal

from shadho_like import rand, searcher
from shadho_like.control import RunOptions
from shadho_like.engine.base import Launch
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.errors import JournalError
from shadho_like.experiment import Experiment
from shadho_like.journal import Journal
from shadho_like.paths import ExperimentPaths
from shadho_like.searcher.base import BuiltInMethod
from shadho_like.searcher.binary import BinarySearch

MAX_RESTARTS, MOST_RUNS = 2, 1000
SPACE: Mapping[str, Any] = {"x": rand.uniform(0, 1), "n": [1, 2, 3]}
BINARY: Mapping[str, Any] = {"prop": "x", "range": [0.0, 1.0], "precision": 0.001, "sweep_props": {"n": [1, 2]}}
METHODS: Mapping[str, tuple[Mapping[str, Any], bool]] = {
    "random": ({"max_trials": 60, "max_length": 3}, False),
    "grid": ({"max_length": 2}, False),
    "binary": (BINARY, False),
    "hyperband": ({"max_length": 9, "divisor": 3}, False),
    "pbt": ({"population_size": 6, "num_rounds": 4, "length_per_round": 2}, False),
    "async_halving": ({"max_length": 16, "max_trials": 30, "num_rungs": 3}, True),
    "adaptive_asha": ({"max_length": 16, "max_trials": 30}, True),
    "pasha": ({"max_length": 16, "max_trials": 30, "num_rungs": 3}, True),
}
"""For each method its keys, and whether its trials depend on the order in which answers come: then there is one at a time."""


@dataclass(frozen=True)
class Search:
    """A search and its world.

    Attributes:
        method: the name.
        keys: for `searcher.create`.
        seed: of both.
        workers: in the world; with an odd seed, in a class of their own beside a slow one.
    """

    method: str
    keys: Mapping[str, Any]
    seed: int
    workers: int

    def fresh(self) -> BuiltInMethod:
        """Return the method in its initial state."""
        space = {**SPACE, "x": rand.uniform(0, 1, count=20)} if self.method == "grid" else SPACE
        made: BuiltInMethod = searcher.create(self.method, space, seed=self.seed, smaller_is_better=True, **self.keys)
        return made

    def config(self) -> dict[str, Any]:
        """Return what the journal keeps of it."""
        return {"name": "faults", "seed": self.seed, "smaller_is_better": True, "metric": "loss"}

    def world(self) -> World:
        """Return a world in which a few samples bring no number, always the same ones."""

        def metric(hparams: Mapping[str, Any], length: int) -> float:
            x = float(hparams["x"])
            if self.method == "binary":
                return 1.0 if x > 0.637 else 0.0
            return float("nan") if int(x * 1e6) % 17 == 0 else abs(x - 0.3) * (1 + 1 / length) + int(hparams["n"]) / 100

        def duration(hparams: Mapping[str, Any], length: int, compute_class: str = "") -> float:
            return length * (1 + float(hparams["x"])) * (2 if compute_class == "slow" else 1)

        classes = {"fast": self.workers, "slow": 1} if self.seed % 2 else {}
        return World(duration, metric, workers=self.workers, classes=classes)


def undisturbed(search: Search, root: Path) -> None:
    """Run a search in which nothing goes wrong."""
    journal = Journal(ExperimentPaths(root), search.config())
    for _ in Experiment(journal, search.fresh()).run(SimulatedEngine(search.world()), launch(root), RunOptions(max_restarts=MAX_RESTARTS)):
        pass
    journal.close()


def launch(root: Path) -> Launch:
    return Launch("faults", ExperimentPaths(root), command="true")


def one_run(search: Search, root: Path, mischief: Mischief) -> None:
    """Run the driver until the search ends, its time is over, or the driver dies or gives up."""
    began_s = 1e9 + mischief.random.choice((0, 1e6, -3600))  # the clock of a restarted machine may be set back
    engine = UnrulyEngine(SimulatedEngine(search.world(), began_s), mischief)
    journal = UnrulyJournal(ExperimentPaths(root), search.config(), mischief)
    timeout_s = mischief.random.uniform(1, 60) if mischief.strikes(0.2) else None
    options = RunOptions(timeout_s, max_restarts=MAX_RESTARTS, drain=mischief.random.random() < 0.5)
    shown = 0
    try:
        for step in Experiment(journal, search.fresh()).run(engine, launch(root), options):
            shown = sum(count for state, count in step.counts.items() if state.final)
    except Died:
        journal.die()
    except JournalError:
        assert engine.closed
        journal.close()
    else:
        journal.close()
    known = len(promises.finished(root))
    promises.keep([f"{shown} trials were shown as over, {known} are kept"] if known < shown else [])


def disturbed(search: Search, root: Path, mischief: Mischief) -> None:
    """Run a search to its end, whatever goes wrong, and check every promise after each of its runs."""
    over: promises.Told = {}
    for _ in range(MOST_RUNS):
        one_run(search, root, mischief)
        over = promises.nothing_lost(over, root)
        promises.nothing_left(root)
        state = promises.legal(root, search.fresh).state
        if state.turn and state.ended:
            return
    promises.keep([f"the search has not ended after {MOST_RUNS} runs"])


def check_the_same(search: Search, broken: Path, sound: Path) -> None:
    """Compare all trials; of a binary search, whose testers go where the last answer sends them, what it found."""
    if search.method != "binary" or search.keys["max_concurrent_trials"] == 1:
        promises.same_search(broken, promises.told(sound))
        return
    found, expected = (promises.legal(root, search.fresh).state.method for root in (broken, sound))
    assert isinstance(found, BinarySearch)
    assert isinstance(expected, BinarySearch)
    promises.keep([f"{found.bracket} instead of {expected.bracket}"] if found.bracket != expected.bracket else [])


def searches(generator: random.Random, name: str) -> Search:
    """Draw a search by a method."""
    keys, ordered = METHODS[name]
    concurrent = 1 if ordered else generator.choice((1, 3, 8))
    return Search(name, {**keys, "max_concurrent_trials": concurrent}, generator.randrange(2**31), generator.choice((1, 2, 4)))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", METHODS)
def test_a_search_in_a_broken_world_finds_what_it_finds_in_a_sound_one(name: str, ledger: Ledger, quick_folder: Path) -> None:
    generator = random.Random(f"{ledger.seed} {name}")
    faults, rounds = 0, itertools.count()
    while faults < ledger.size.simulated / len(METHODS):
        search, root = searches(generator, name), quick_folder / str(next(rounds))
        undisturbed(search, root / "sound")
        mischief = Mischief(generator)
        disturbed(search, root / "broken", mischief)
        check_the_same(search, root / "broken", root / "sound")
        faults += mischief.faults
        ledger.fault("simulator", mischief.faults)
        shutil.rmtree(root)


