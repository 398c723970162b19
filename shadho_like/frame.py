"""One look at an experiment: all that is shown of it at a moment, gathered from its journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from shadho_like.follow import Follower
from shadho_like.journal import JournalReader, Told
from shadho_like.overview import Overview
from shadho_like.phase import Phase
from shadho_like.trial import Trial, TrialState

Progress = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class ShownTrial:
    """A trial that is shown.

    Attributes:
        trial: what is known of it.
        since_s: when the attempt that runs began, Unix time in seconds; None where none runs.
        progress: how far it said to be, see `JournalReader.progress`.
    """

    trial: Trial
    since_s: float | None
    progress: Progress


@dataclass(frozen=True, slots=True)
class Frame:
    """What is shown.

    Attributes:
        config: what the experiment began with.
        phase: where it is in its life.
        driver: who runs it (pid, host), or None.
        told: what its driver told last of its run.
        overview: all its trials.
        lost: attempts that machines lost.
        best: the best trial.
        shown: those that run, and those that ended last.
        failures: the trials that failed last, the newest first.
        now_s: the time of the look, Unix time in seconds.
    """

    config: Mapping[str, Any]
    phase: Phase
    driver: Mapping[str, Any] | None
    told: Told | None
    overview: Overview
    lost: int
    best: Trial | None
    shown: tuple[ShownTrial, ...]
    failures: tuple[Trial, ...]
    now_s: float

    @property
    def over(self) -> bool:
        """Whether nothing more is to be seen: the experiment is over, or this run of its driver ended well."""
        return self.driver is None and (self.phase.over or self.told is None or self.told.over)

    @property
    def live(self) -> Told | None:
        """What the driver told, where it is as it says."""
        return self.told if self.told is not None and self.told.live else None

    @property
    def max_trials(self) -> int | None:
        """How many trials there may be in the run that is under way, or was the last."""
        return self.told.standing.max_trials if self.told else None

    @property
    def fraction(self) -> float | None:
        """How far the search is, 0 to 1; None where it has no end but that of its time."""
        if self.phase is Phase.COMPLETED:
            return 1.0
        told = self.told.standing.progress if self.told else 0.0
        counted = self.overview.done / self.max_trials if self.max_trials else 0.0
        return min(1.0, max(told, counted)) if told or self.max_trials else None

    @property
    def per_s(self) -> float:
        """How many trials end in a second while the driver runs, of late; 0 where nobody can say."""
        return 0.0 if self.driver is None else self.overview.per_s(self.driver.get("since_s", 0.0), self.now_s)

    @property
    def left_s(self) -> float | None:
        """How long it will take still, roughly; None where nobody can say."""
        if self.live is None or self.phase is not Phase.ACTIVE:
            return None
        ends_s, rate = self.live.standing.ends_s, self.per_s
        times = [max(0.0, ends_s - self.now_s)] if ends_s is not None else []
        if rate and self.max_trials:
            times.append(max(0, self.max_trials - self.overview.done) / rate)
        return min(times, default=None)


def frame_of(journal: JournalReader, follower: Follower, *, trials: int, failures: int, now_s: float) -> Frame:
    """Look at an experiment.

    Args:
        journal: the experiment's.
        follower: what was seen of it before; it is brought up to date.
        trials: how many are shown.
        failures: how many of those are shown that failed.
        now_s: Unix time, in seconds.

    Raises:
        JournalError: the journal cannot be read.
    """
    # Who drives it is asked first: what is read after it has gone is all that there is.
    driver, told = journal.driver(), journal.status()
    follower.update(journal)
    overview = follower.overview
    running = [glance.number for glance in islice(overview.running, trials)]
    ended = [number for number in reversed(overview.ended) if overview[number].state.final][: max(0, trials - len(running))]
    progress = journal.progress(running)
    return Frame(
        config=follower.config,
        phase=journal.phase,
        driver=driver,
        told=told,
        overview=overview,
        lost=follower.lost,
        best=journal.trial(overview.best.number) if overview.best else None,
        shown=tuple(_shown(journal, number, progress.get(number, (None, None))) for number in (*running, *ended)),
        failures=tuple(journal.trial(number) for number in islice(reversed(overview.failed), failures)),
        now_s=now_s,
    )


def _shown(journal: JournalReader, number: int, progress: Progress) -> ShownTrial:
    trial = journal.trial(number)
    runs = trial.state is TrialState.RUNNING
    since_s = next((attempt["started_s"] for attempt in reversed(journal.attempts(number)) if attempt["state"] == "RUNNING"), None)
    return ShownTrial(trial, since_s if runs else None, progress)
