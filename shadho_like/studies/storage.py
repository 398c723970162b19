"""A storage of Optuna's over experiments' journals: live, and for reading only."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from copy import deepcopy as copied
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from shadho_like.following import Following
from shadho_like.studies.frozen import Freezer

T = TypeVar("T")

IDS_PER_STUDY = 10**9
"""A trial's id is its number and this times its study's, so that it is the same in every process that looks at the same studies."""

METRIC_NAMES = "study:metric_names"
"""Where Optuna keeps what its values are called."""


class ReadOnlyStorageError(RuntimeError):
    """Somebody tried to change a study that is a view of an experiment."""


class ExperimentStorage(BaseStorage):
    """Experiments as studies, in the order in which they are given; every call that reads trials reads what is new of them.

    Args:
        directories: the experiments' directories.

    Attributes:
        studies: one for each experiment; a study's id is its place.

    Raises:
        JournalError: one is no experiment, or cannot be read.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        followed = [Following(directory) for directory in directories]
        names = Counter(following.config["name"] for following in followed)
        self.studies = [
            Study(index, following, str(following.config["name"]), alone=names[following.config["name"]] == 1)
            for index, following in enumerate(followed)
        ]

    def study(self, study_id: int) -> Study:
        """Return a study.

        Raises:
            KeyError: there is none of this id.
        """
        if not 0 <= study_id < len(self.studies):
            message = f"there is no study {study_id}"
            raise KeyError(message)
        return self.studies[study_id]

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of a study."""
        for study in self.studies:
            if study.name == study_name:
                return study.id
        message = f"there is no study {study_name!r}"
        raise KeyError(message)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the experiment's name, with its directory where several have the same."""
        return self.study(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return whether each metric is minimised or maximised."""
        return self.study(study_id).directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the experiment's directory, search method and command."""
        return self.study(study_id).user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the metrics' names."""
        return self.study(study_id).system_attrs

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies."""
        return [
            FrozenStudy(study.name, None, study.user_attrs, study.system_attrs, study.id, directions=study.directions)
            for study in self.studies
        ]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial, as it was read last."""
        study_id, number = divmod(trial_id, IDS_PER_STUDY)
        try:
            return self.study(study_id).trial(number)
        except LookupError:
            message = f"there is no trial with the id {trial_id}"
            raise KeyError(message) from None

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return the id of a trial."""
        if not 0 <= trial_number < self.study(study_id).size:
            message = f"study {study_id} has no trial {trial_number}"
            raise KeyError(message)
        return study_id * IDS_PER_STUDY + trial_number

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None) -> list[FrozenTrial]:
        """Return the trials as they are now; only what changed since the last call is read."""
        trials = self.study(study_id).trials()
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copied(trials) if deepcopy else trials

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        message = (
            "this storage is a view of experiments, for reading only: trials are created and changed by the experiment's driver. To go on "
            "from a copy in Optuna: shadho export --optuna sqlite:///study.db DIR"
        )
        raise ReadOnlyStorageError(message)

    create_new_study: Callable[..., int] = _refuse
    delete_study: Callable[..., None] = _refuse
    set_study_user_attr: Callable[..., None] = _refuse
    set_study_system_attr: Callable[..., None] = _refuse
    create_new_trial: Callable[..., int] = _refuse
    set_trial_param: Callable[..., None] = _refuse
    set_trial_state_values: Callable[..., bool] = _refuse
    set_trial_intermediate_value: Callable[..., None] = _refuse
    set_trial_user_attr: Callable[..., None] = _refuse
    set_trial_system_attr: Callable[..., None] = _refuse


class Study:
    """One experiment as a study; several threads may ask it.

    Args:
        study_id: its id.
        following: the experiment.
        name: the experiment's.
        alone: whether no other study has this name.

    Attributes:
        id, name: in the storage.
        directory: the experiment's.
        metrics: minimize or maximize, for each metric that is searched, by its name.
        directions: the same as Optuna has it.
        system_attrs, user_attrs: what Optuna and a user note of a study.
    """

    def __init__(self, study_id: int, following: Following, name: str, *, alone: bool) -> None:
        self.id = study_id
        self.name = name if alone else f"{name} ({following.directory})"
        self.directory = following.directory
        self._following = following
        self._lock = threading.Lock()
        self._describe()

    def _describe(self) -> None:
        config = self._following.config
        self._config = config
        self._freezer = Freezer(config)
        self._made: dict[int, FrozenTrial] = {}
        self.metrics, self.directions = self._freezer.metrics, self._freezer.directions
        self.system_attrs = {METRIC_NAMES: list(self._freezer.metrics)}
        command = config["command"] or config["objective"]
        self.user_attrs = {"directory": str(self._following.directory), "method": config["method"]["name"], "command": command}

    def trials(self, choose: Callable[[Following], Iterable[int]] | None = None) -> list[FrozenTrial]:
        """Return the trials, or those whose numbers are chosen; the list is the caller's, and what is in it never changes.

        Raises:
            JournalError: the journal cannot be read.
        """
        with self._lock:
            self._refresh()
            return [self._frozen(number) for number in (choose(self._following) if choose else range(self.size))]

    def look(self, tell: Callable[[Following], T]) -> T:
        """Return what somebody tells of the experiment as it is now; meanwhile nobody else refreshes it.

        Raises:
            JournalError: the journal cannot be read.
        """
        with self._lock:
            self._refresh()
            return tell(self._following)

    def _refresh(self) -> None:
        for number in self._following.refresh():
            self._made.pop(number, None)
        if self._following.config is not self._config:
            self._describe()

    @property
    def size(self) -> int:
        """How many trials there were when they were read last."""
        return len(self._following.seen)

    @property
    def curves(self) -> int:
        """How many of them had a result on the way or at the end."""
        return sum(seen.has_curve for seen in self._following.seen)

    def trial(self, number: int) -> FrozenTrial:
        """Return a trial as it was read last.

        Raises:
            LookupError: there is none with this number.
        """
        with self._lock:
            return self._frozen(number)

    def _frozen(self, number: int) -> FrozenTrial:
        if (frozen := self._made.get(number)) is None:
            frozen = self._made[number] = self._freezer.freeze(self._following.seen[number], self.id * IDS_PER_STUDY + number)
        return frozen
