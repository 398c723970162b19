"""What a person sees while a search runs and when it has ended: a live line on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from shadho_like.experiment import Step
from shadho_like.journal import JournalReader
from shadho_like.trial import TrialState

if TYPE_CHECKING:
    from rich.live import Live

    from shadho_like.result import Result

_LIVE_S, _PLAIN_S, _FIRST_S = 0.25, 20.0, 2.0


class Progress:
    """Shows a running search on standard output; a context manager.

    Args:
        metric: the searched metric's name.
        timeout_s: when the search ends, if it does by time.
        max_trials: how many trials there will be, if that is known.
    """

    def __init__(self, metric: str, timeout_s: float | None, max_trials: int | None) -> None:
        self._metric, self._timeout_s, self._max_trials = metric, timeout_s, max_trials
        self._live: Live | None = None
        self._due_s = time.monotonic() + _FIRST_S
        self._done_before: int | None = None

    def __enter__(self) -> Progress:
        if sys.stdout.isatty():
            from rich.live import Live  # noqa: PLC0415

            self._live = Live("starting", transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
            self._due_s = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def notice(self, text: str) -> None:
        """Print a line, above the live one where there is one."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, flush=True)

    def update(self, step: Step) -> None:
        """Show where things stand, if it is time to."""
        now_s = time.monotonic()
        if self._done_before is None:
            self._done_before = _done(step)
        if now_s < self._due_s:
            return
        self._due_s = now_s + (_PLAIN_S if self._live is None else _LIVE_S)
        if self._live is None:
            print(self._line(step), flush=True)
        else:
            self._live.update(self._line(step), refresh=True)

    def _line(self, step: Step) -> str:
        done = _done(step)
        of = f"/{self._max_trials}" if self._max_trials else ""
        parts = [f"{done}{of} trials done", f"{step.running} running"]
        if failed := step.counts[TrialState.FAILED]:
            parts.append(f"{failed} failed")
        if step.best is not None:
            parts.append(f"best {self._metric} {step.best.metric:.6g} (trial {step.best.trial})")
        if step.elapsed_s > 0 and self._done_before is not None and done > self._done_before:
            rate = (done - self._done_before) / step.elapsed_s
            parts.append(f"{rate:.3g}/s" if rate >= 1 else f"{rate * 60:.3g}/min")
        if step.engine.workers is not None:
            parts.append(f"{step.engine.workers} worker{'' if step.engine.workers == 1 else 's'}")
        if self._timeout_s is not None:
            parts.append(f"{_duration(self._timeout_s - step.elapsed_s)} left")
        return " · ".join(parts)


def print_result(result: Result) -> None:
    """Print the optimum, the counts, why trials failed, and where everything is."""
    counts = result.counts
    print(f"Optimal {result.metric}: {'none: no trial completed' if result.best_value is None else result.best_value}")
    if result.best_trial is not None:
        print(f"With hyperparameters: {json.dumps(result.best_trial.hparams)}")
        if result.best_trial.metrics:
            print(f"And other results: {json.dumps(result.best_trial.metrics)}")
    said = [f"{counts.get('COMPLETED', 0)} completed", f"{counts.get('FAILED', 0)} failed", f"{result.lost} lost"]
    print(f"Trials: {', '.join(said)} attempts, {result.running} running when it stopped")
    if counts.get("FAILED"):
        with JournalReader(result.directory) as journal:
            message, count = journal.commonest_failure()
        print(f"Most failed for this reason ({count} trials): {message}")
    print(f"All of it: {result.directory}")


def _done(step: Step) -> int:
    return sum(count for state, count in step.counts.items() if state.final)


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds_left:02}" if hours else f"{minutes}:{seconds_left:02}"

