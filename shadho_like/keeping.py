"""Keeps the checkpoints that the policy wants and removes the rest: chosen with each commit, removed after it, and again at a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence

from shadho_checkpoint import CheckpointError

from shadho_like import checkpoint
from shadho_like.checkpoint_policy import CheckpointId, Known, surplus
from shadho_like.events import AttemptFinished, AttemptReported
from shadho_like.journal import Journal
from shadho_like.journal.reported import DELETED, DELETING, KEPT, LOST
from shadho_like.launch import Launch
from shadho_like.reports import Progressed
from shadho_like.state import ExperimentState
from shadho_like.turn import Turn

_POLICY = "checkpoint_policy"


class Keeping:
    """The checkpoints of one run.

    Args:
        journal: knows what there is.
        launch: says where it is, and what is kept.
        state: says which trials may go on.
    """

    def __init__(self, journal: Journal, launch: Launch, state: ExperimentState) -> None:
        self._journal = journal
        self._rows = journal.reported
        self._root = launch.checkpoints or launch.paths.checkpoints
        self._policy = launch.checkpoint_policy
        self._smaller_is_better: bool = journal.config["smaller_is_better"]
        self._state = state
        self._best: list[CheckpointId] = []
        self._postponed: set[int] = set()
        self._doomed: list[CheckpointId] = []
        self._removed: list[CheckpointId] = []
        self._over: list[int] = []
        self._notices: list[str] = []
        self._rows.then = self._choose

    def take_up(self, now_s: float) -> list[str]:
        """Find what was saved when no driver looked, end what a driver before this one began to remove; return what is to be said."""
        if not self._root.is_dir():
            return []
        policy = json.dumps(self._policy.to_json())
        changed = self._journal.meta(_POLICY) != policy
        self._journal.tidy(lambda: self._catch_up(now_s, everything=changed))
        notices = self.remove()
        if changed and self._rows.any:
            self._journal.keep_meta(_POLICY, policy)
        return notices

    def _catch_up(self, now_s: float, *, everything: bool) -> None:
        trials = set(self._state.open_trials())
        for trial in sorted(trials):
            self._adopt(trial, now_s)
        if everything:
            trials |= {known.trial for known in self._rows.in_state(KEPT)}
        self._doomed = self._rows.in_state(DELETING)
        self._evaluate(trials)

    def _choose(self, turns: Sequence[Turn]) -> None:
        """Choose what is to go, after what happened in these turns; called while they are being written."""
        trials, over = set[int](), set[int]()
        for turn in turns:
            over.update(trial.number for trial in turn.trials if trial.state.final)
            event = turn.event
            if isinstance(event, AttemptReported):
                trials.update(event.attempt.trial for report in event.reports if not isinstance(report, Progressed))
            elif isinstance(event, AttemptFinished):
                trials.add(event.attempt.trial)
        for trial in over:
            if checkpoint.trial_folder(self._root, trial).is_dir():
                self._adopt(trial, turns[-1].event.time_s)
                self._over.append(trial)
        if self._rows.any:
            self._evaluate(trials | over)

    def _adopt(self, trial: int, now_s: float) -> None:
        """Take in what a trial saved that no report told of: its driver was gone, or it was ended before it was heard."""
        known = {str(each.id) for each in self._rows.of(trial)}
        for found in checkpoint.ids(self._root, trial):
            if found in known:
                continue
            try:
                self._rows.add(checkpoint.glance(self._root, found), now_s)
            except CheckpointError as error:
                self._notices.append(f"checkpoint {found} is lost: {error}")

    def _evaluate(self, trials: set[int]) -> None:
        self._rows.mark(self._removed, DELETED)
        self._removed.clear()
        if self._policy.save_experiment_best:
            best = [each.id for each in self._rows.best(self._policy.save_experiment_best, smaller_is_better=self._smaller_is_better)]
            trials = trials | {each.trial for each in self._best if each not in best}
            self._best = best
        candidates = {trial: known for trial in sorted(trials | self._postponed) if (known := self._rows.kept(trial))}
        doomed = [each for known in candidates.values() for each in self._surplus(known)]
        self._postponed.clear()
        if doomed:
            needed = self._state.starting_points()
            self._postponed = {each.trial for each in doomed if each.trial in needed}
            doomed = [each for each in doomed if each.trial not in needed]
        self._rows.mark(doomed, DELETING)
        self._doomed += doomed

    def _surplus(self, known: list[Known]) -> set[CheckpointId]:
        """Return what may go of a trial's, once the newest is seen to be whole: else the one before it is the newest."""
        while known:
            policy, smaller = self._policy, self._smaller_is_better
            doomed = surplus(known, policy, smaller_is_better=smaller, goes_on=self._state.is_open, best=self._best)
            if not doomed:
                return doomed
            newest = max(known, key=lambda each: each.id)
            try:
                checkpoint.glance(self._root, str(newest.id))
            except CheckpointError as error:
                self._rows.mark([newest.id], LOST)
                self._notices.append(f"checkpoint {newest.id} is lost, and the one before it is kept: {error}")
                known = [each for each in known if each is not newest]
            else:
                return doomed
        return set()

    def remove(self) -> list[str]:
        """Remove what was chosen, now that it is written that it goes; return what is to be said."""
        doomed, self._doomed = self._doomed, []
        for each in doomed:
            try:
                checkpoint.delete(self._root, str(each))
            except OSError as error:
                self._notices.append(f"checkpoint {each} cannot be removed, and is left to the next run: {error}")
            else:
                self._removed.append(each)
        for trial in self._over:
            checkpoint.remove_partial(self._root, trial)
        self._over.clear()
        notices, self._notices = self._notices, []
        return notices

    def settle(self) -> None:
        """Write down what was removed last, where no turn comes any more to do it with."""
        if self._removed:
            self._journal.tidy(lambda: self._rows.mark(self._removed, DELETED))
            self._removed.clear()
