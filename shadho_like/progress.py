"""What a person sees while a search runs and when it has ended: a live line on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from shadho_like.events import Ending, StopReason
from shadho_like.experiment import Step
from shadho_like.journal import JournalReader
from shadho_like.live_lines import LiveLines
from shadho_like.phase import Phase
from shadho_like.trial import TrialState

if TYPE_CHECKING:
    from shadho_like.result import Result

class Progress(LiveLines):
    """Shows a running search on standard output; a context manager.

    Args:
        metric: the searched metric's name.
        timeout_s: when the search ends, if it does by time.
        max_trials: how many trials there will be, if that is known.
        directory: the experiment's, as a person would write it.
        keys: whether a press of `p` would be heard now.
    """

    def __init__(
        self,
        metric: str,
        timeout_s: float | None,
        max_trials: int | None,
        directory: str = ".",
        keys: Callable[[], bool] = lambda: False,
    ) -> None:
        self._metric, self._timeout_s, self._max_trials, self._directory = metric, timeout_s, max_trials, directory
        self._keys = keys
        super().__init__()
        self._done_before: int | None = None
        self._way: tuple[Phase, Ending | None] = (Phase.ACTIVE, None)

    def update(self, step: Step) -> None:
        """Show what there is to say, and where things stand if it is time to."""
        for notice in step.notices:
            self.notice(notice)
        if self._done_before is None:
            self._done_before = _done(step)
        if said := self._change(step):
            self.notice(said)
        if self.due:
            self.show(" · ".join(self._parts(step, _done(step), _done(step) - self._done_before)))

    def _change(self, step: Step) -> str:
        """Return what is to be said because the search goes another way than before."""
        before, self._way = self._way, (step.phase, step.ending)
        trials = f"{step.running} running trial{'' if step.running == 1 else 's'}"
        if self._way == before:
            return ""
        if step.stopping is not None:
            why = {StopReason.TIMEOUT: "time is up", StopReason.INTERRUPTED: "interrupted", StopReason.FAILURES: ""}[step.stopping]
            what = {Ending.DRAIN: "may finish", Ending.ASK: "may take a checkpoint"}.get(step.ending or Ending.NOW)
            how = "sooner" if step.ending is Ending.DRAIN else "now"
            return f"{why}: {trials} {what}; Ctrl-C ends {'it' if step.running == 1 else 'them'} {how}" if what and step.running else ""
        if step.phase is Phase.PAUSED:
            how = f"; to go on: {'p here, or ' if self._keys() else ''}shadho experiment activate {self._directory}"
            return f"paused: {f'{trials} may take a checkpoint' if step.running else 'nothing runs'}{how}"
        if step.phase is Phase.CANCELING:
            return f"canceling: {trials} may take a checkpoint"
        return "activated: the search goes on" if before[0] is Phase.PAUSED else ""

    def _parts(self, step: Step, done: int, done_now: int) -> Iterator[str]:
        yield f"{done}/{self._max_trials} trials done" if self._max_trials else f"{done} trials done"
        yield f"{step.running} running"
        if failed := step.counts[TrialState.FAILED]:
            yield f"{failed} failed"
        if step.best is not None:
            yield f"best {self._metric} {step.best.metric:.6g} (trial {step.best.trial})"
        rate = done_now / step.elapsed_s if step.elapsed_s > 0 else 0.0
        if rate:
            yield f"{rate:.3g}/s" if rate >= 1 else f"{rate * 60:.3g}/min"
        if step.engine.workers is not None:
            yield f"{step.engine.workers} worker{'' if step.engine.workers == 1 else 's'}"
        left_s = [self._timeout_s - step.elapsed_s] if self._timeout_s is not None else []
        if rate and self._max_trials:
            left_s.append((self._max_trials - done) / rate)
        if step.phase is Phase.PAUSED:
            yield "paused"
        elif left_s:
            yield f"{duration(min(left_s))} left"
        if self._keys() and step.stopping is None:
            yield "p: go on" if step.phase is Phase.PAUSED else "p: pause"


def print_result(result: Result) -> None:
    """Print the optimum, the counts, why trials failed, and where everything is."""
    counts, best = result.counts, result.best_trial
    completed, failed = counts.get("COMPLETED", 0), counts.get("FAILED", 0)
    why = "reported a number" if completed else "completed"
    print(f"Optimal {result.metric}: {f'none, for no trial {why}' if best is None else best.metric}")
    if best is not None:
        print(f"With hyperparameters: {json.dumps(best.hparams)}")
    if best is not None and best.metrics:
        print(f"And other results: {json.dumps(best.metrics)}")
    if len(result.metrics) > 1:
        print(f"Trials that no other beats in {', '.join(result.metrics)}: {len(result.best_trials)}, see result.best_trials")
    said = [f"{completed} completed", f"{failed} failed", f"{result.running} running when it stopped"]
    print(f"Trials: {', '.join(said)}; {result.lost} attempts lost to machines")
    if failed:
        with JournalReader(result.directory) as journal:
            message, count, last_line = journal.commonest_failure()
        print(f"{'It' if failed == 1 else f'{count} of them'} failed for this reason: {message}")
        if last_line and last_line not in message:
            print(f"The last line that {'it' if failed == 1 else 'the first of them'} printed: {last_line}")
    print(f"All of it: {result.directory}", flush=True)


def _done(step: Step) -> int:
    return sum(count for state, count in step.counts.items() if state.final)


def duration(seconds: float) -> str:
    """Return seconds as minutes:seconds, with hours in front where there are any."""
    hours, rest = divmod(max(0, round(seconds)), 3600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds_left:02}" if hours else f"{minutes}:{seconds_left:02}"
