"""Every file name of an experiment's directory, and of the user's own folder, in one place. Nothing is read or made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from shadho_like.trial import AttemptId


@dataclass(frozen=True, slots=True)
class ExperimentPaths:
    """The files of one experiment.

    Attributes:
        root: the experiment's directory, absolute.
    """

    root: Path

    @property
    def journal(self) -> Path:
        """The SQLite file with the configuration, the turns and the tables."""
        return self.root / "journal.sqlite"

    @property
    def lock(self) -> Path:
        """Locked by the one driver that writes; says its pid and host."""
        return self.root / "driver.lock"

    @property
    def status(self) -> Path:
        """What the driver tells those who look, see `journal.status`."""
        return self.root / "status.json"

    @property
    def objective(self) -> Path:
        """The pickled objective, where it is a Python callable."""
        return self.root / "objective.pkl"

    @property
    def checkpoints(self) -> Path:
        """The trials' checkpoints, in a folder for each trial."""
        return self.root / "checkpoints"

    @property
    def notes(self) -> Path:
        """What a person notes of the experiment."""
        return self.root / "notes.json"

    @property
    def notes_lock(self) -> Path:
        """Locked by whoever changes the notes, for an instant; empty."""
        return self.root / ".notes.lock"

    @property
    def requests(self) -> Path:
        """What users ask of the running experiment from other terminals."""
        return self.root / "requests"

    @property
    def config(self) -> Path:
        """The configuration that `shadho experiment create` was given, as it was then."""
        return self.root / "experiment.yaml"

    @property
    def context(self) -> Path:
        """The context directory that it was given, packed."""
        return self.root / "context.tar"

    @property
    def driver_log(self) -> Path:
        """What the driver that it started prints."""
        return self.root / "driver.log"

    @property
    def created(self) -> Path:
        """There where `shadho experiment create` made the directory, so that the three files above are the experiment's."""
        return self.root / ".created_by_shadho"

    @property
    def sandboxes(self) -> Path:
        """The folders in which attempts run; emptied when a driver starts."""
        return self.root / "sandboxes"

    def sandbox(self, attempt: AttemptId) -> Path:
        """The folder in which this attempt runs."""
        return self.sandboxes / str(attempt)

    @property
    def trials(self) -> Path:
        """What is kept of the trials, in a folder for each."""
        return self.root / "trials"

    def trial(self, number: int) -> Path:
        """What is kept of a trial: its output files and logs. Made when there is something to keep."""
        return self.trials / f"{number:06d}"

    def log(self, attempt: AttemptId) -> Path:
        """What an attempt printed; the newest attempt's file is `output.log`, see `earlier_log`."""
        return self.trial(attempt.trial) / "output.log"

    def earlier_log(self, attempt: AttemptId) -> Path:
        """Where an attempt's log is moved before a later attempt of its trial leaves its own."""
        return self.trial(attempt.trial) / f"output.{attempt.attempt}.log"


def shadho_home() -> Path:
    """Return `$SHADHO_HOME`, by default `~/.shadho_like`: the rendezvous files of running drivers."""
    return Path(os.environ.get("SHADHO_HOME") or Path.home() / ".shadho_like")
