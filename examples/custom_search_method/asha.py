"""ASHA as a search method of one's own, for Determined's interface: only the import is another."""

import math
import pickle
import random
import uuid

from shadho_like import searcher


class ASHASearchMethodState:
    """All that the method remembers."""

    def __init__(self, max_length, max_trials, num_rungs, divisor, seed):
        self.max_trials = max_trials
        self.divisor = divisor
        self.generator = random.Random(seed)
        self.lengths = [max(int(max_length / divisor ** (num_rungs - i - 1)), 1) for i in range(num_rungs)]
        self.results = [{} for _ in range(num_rungs)]  # For each rung, the metric of each trial that reached it.
        self.promoted = [set() for _ in range(num_rungs)]
        self.rung_of = {}
        self.created = 0
        self.open = set()


class ASHASearchMethod(searcher.SearchMethod):
    def __init__(self, max_length=27, max_trials=30, num_rungs=4, divisor=3, max_concurrent_trials=4, seed=0):
        self.state = ASHASearchMethodState(max_length, max_trials, num_rungs, divisor, seed)
        self.max_concurrent_trials = max_concurrent_trials

    def initial_operations(self, _):
        return [operation for _ in range(self.max_concurrent_trials) for operation in self._create()]

    def on_trial_created(self, _, request_id):
        return []

    def on_validation_completed(self, _, request_id, metric, train_length):
        rung = self.state.rung_of[request_id]
        self.state.results[rung][request_id] = metric
        return self._next()

    def on_trial_closed(self, _, request_id):
        self.state.open.discard(request_id)
        return [] if self.state.open or self.state.created < self.state.max_trials else [searcher.Shutdown()]

    def on_trial_exited_early(self, _, request_id, exited_reason):
        self.state.results[self.state.rung_of[request_id]][request_id] = math.inf
        self.state.open.discard(request_id)
        return self._next()

    def progress(self, _):
        return len(self.state.results[0]) / self.state.max_trials

    def save_method_state(self, path):
        with (path / "method_state").open("wb") as file:
            pickle.dump(self.state, file)

    def load_method_state(self, path):
        with (path / "method_state").open("rb") as file:
            self.state = pickle.load(file)

    def _next(self):
        """Let one trial climb, or start a new one; close the rest when neither is possible any more."""
        state = self.state
        for rung in reversed(range(len(state.lengths) - 1)):
            best = sorted(state.results[rung], key=lambda trial: (state.results[rung][trial], trial.int))
            for trial in best[: len(best) // state.divisor]:
                if trial in state.open and trial not in state.promoted[rung]:
                    state.promoted[rung].add(trial)
                    state.rung_of[trial] = rung + 1
                    return [searcher.ValidateAfter(trial, state.lengths[rung + 1])]
        if state.created < state.max_trials:
            return self._create()
        working = {trial for trial in state.open if trial not in state.results[state.rung_of[trial]]}
        return [] if working else [searcher.Close(trial) for trial in sorted(state.open)]

    def _create(self):
        state = self.state
        if state.created == state.max_trials:
            return []
        state.created += 1
        request_id = uuid.UUID(int=state.generator.getrandbits(128))
        hparams = {"x": state.generator.uniform(-3, 3), "rate": 10 ** state.generator.uniform(-3, 0)}
        state.open.add(request_id)
        state.rung_of[request_id] = 0
        return [searcher.Create(request_id, hparams, None), searcher.ValidateAfter(request_id, state.lengths[0])]
