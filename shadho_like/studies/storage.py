"""A storage of Optuna's over experiments' journals: live, and for reading only."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Sequence
from copy import deepcopy as copied
from pathlib import Path
from typing import Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from shadho_like.following import Following
from shadho_like.studies.frozen import Freezer

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

    Raises:
        JournalError: one is no experiment, or cannot be read.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        followed = [Following(directory) for directory in directories]
        names = Counter(following.config["name"] for following in followed)
        self._studies = [
            _Study(index, following, str(following.config["name"]), alone=names[following.config["name"]] == 1)
            for index, following in enumerate(followed)
        ]

    def following(self, study_id: int) -> Following:
        """Return the experiment of a study, as it was read last.

        Raises:
            KeyError: there is no such study.
        """
        return self._study(study_id).following

    def _study(self, study_id: int) -> _Study:
        if not 0 <= study_id < len(self._studies):
            message = f"there is no study {study_id}"
            raise KeyError(message)
        return self._studies[study_id]

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of a study."""
        for study in self._studies:
            if study.name == study_name:
                return study.id
        message = f"there is no study {study_name!r}"
        raise KeyError(message)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the experiment's name, with its directory where several have the same."""
        return self._study(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return whether each metric is minimised or maximised."""
        return self._study(study_id).directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the experiment's directory, search method and command."""
        return self._study(study_id).user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the metrics' names."""
        return self._study(study_id).system_attrs

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies."""
        return [
            FrozenStudy(study.name, None, study.user_attrs, study.system_attrs, study.id, directions=study.directions)
            for study in self._studies
        ]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial, as it was read last."""
        study_id, number = divmod(trial_id, IDS_PER_STUDY)
        try:
            return self._study(study_id).trial(number)
        except LookupError:
            message = f"there is no trial with the id {trial_id}"
            raise KeyError(message) from None

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return the id of a trial."""
        if not 0 <= trial_number < len(self._study(study_id).trials()):
            message = f"study {study_id} has no trial {trial_number}"
            raise KeyError(message)
        return study_id * IDS_PER_STUDY + trial_number

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None) -> list[FrozenTrial]:
        """Return the trials as they are now; only what changed since the last call is read."""
        trials = self._study(study_id).trials()
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


class _Study:
    """One experiment as a study; several threads may ask it."""

    def __init__(self, study_id: int, following: Following, name: str, *, alone: bool) -> None:
        self.id = study_id
        self.following = following
        self.name = name if alone else f"{name} ({following.directory})"
        self._lock = threading.Lock()
        self._describe()
        self._freeze(range(len(following.seen)))

    def _describe(self) -> None:
        config = self.following.config
        self._config = config
        self._freezer = Freezer(config)
        self._trials: list[FrozenTrial] = []
        self.directions = self._freezer.directions
        self.system_attrs = {METRIC_NAMES: list(self._freezer.metrics)}
        command = config["command"] or config["objective"]
        self.user_attrs = {"directory": str(self.following.directory), "method": config["method"]["name"], "command": command}

    def trials(self) -> list[FrozenTrial]:
        """Return all trials; the list is the caller's, and what is in it never changes."""
        with self._lock:
            changed = self.following.refresh()
            if self.following.config is not self._config:
                self._describe()
            self._freeze(changed)
            return list(self._trials)

    def trial(self, number: int) -> FrozenTrial:
        """Return a trial as it was read last.

        Raises:
            LookupError: there is none with this number.
        """
        return self._trials[number] if number < len(self._trials) else self.trials()[number]

    def _freeze(self, changed: Sequence[int]) -> None:
        for number in changed:
            frozen = self._freezer.freeze(self.following.seen[number], self.id * IDS_PER_STUDY + number)
            if number < len(self._trials):
                self._trials[number] = frozen
            else:
                self._trials.append(frozen)
