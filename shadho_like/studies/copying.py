"""An experiment's trials put into a study of Optuna's own: in memory, or in a database, where a later call adds what is new."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial

from shadho_like.errors import OptionError, WorldError
from shadho_like.following import Following
from shadho_like.plain_text import without_secrets
from shadho_like.searcher.optuna_sampler import quiet
from shadho_like.studies.frozen import Freezer
from shadho_like.studies.storage import METRIC_NAMES

_EXPERIMENT, _TRIAL = "shadho:experiment", "shadho:trial"
"""Study's and trials' own attributes in a database: of which experiment it is, and which of its trials."""


def in_memory(directory: Path) -> optuna.Study:
    """Return all trials of an experiment, those that are not over too, as a study in memory.

    Raises:
        JournalError: there is no experiment, or it cannot be read.
    """
    following = Following(directory)
    freezer = Freezer(following.config)
    with quiet(optuna):
        study = _created(InMemoryStorage(), following, freezer)
        study.add_trials(freezer.freeze(seen, number) for number, seen in enumerate(following.seen))
    return study


def to_database(directory: Path, url: str) -> tuple[str, int]:
    """Write the trials of an experiment that are over into a study of its name; return that, and how many were not there before.

    A trial that is not over is left for a later call: what is in a database would wait for somebody to end it.

    Raises:
        JournalError: there is no experiment, or it cannot be read.
        OptionError: the database is none, or holds another study of this name.
        WorldError: the database cannot be written.
    """
    following = Following(directory)
    freezer = Freezer(following.config)
    name = following.config["name"]
    identity = _identity(following.config)
    with quiet(optuna), _said(url):
        storage = _database(url)
        if name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            if study.user_attrs.get(_EXPERIMENT) != identity:
                message = f"{_shown(url)} holds another study {name!r}, which is not of this experiment: give another database"
                raise OptionError(message)
        else:
            study = _created(storage, following, freezer)
            study.set_user_attr(_EXPERIMENT, identity)
        there = {trial.user_attrs.get(_TRIAL) for trial in study.get_trials(deepcopy=False)}
        new = 0
        for number, seen in enumerate(following.seen):
            if seen.trial.state.final and number not in there:
                study.add_trial(_marked(freezer.freeze(seen, number)))
                new += 1
    return name, new


def _shown(url: str) -> str:
    """Return a database's URL as it may be shown: without who calls, and without passwords, also where it is not quite a URL."""
    where = without_secrets(url)
    return where if "://***@" in where or "@" not in where else f"***@{where.rpartition('@')[2]}"


def _created(storage: BaseStorage, following: Following, freezer: Freezer) -> optuna.Study:
    """Return a new study that is called and directed as the experiment is."""
    study = optuna.create_study(storage=storage, study_name=following.config["name"], directions=freezer.directions)
    study_id = storage.get_study_id_from_name(study.study_name)
    storage.set_study_system_attr(study_id, METRIC_NAMES, list(freezer.metrics))
    study.set_user_attr("directory", str(following.directory))
    study.set_user_attr("method", following.config["method"]["name"])
    return study


def _marked(trial: FrozenTrial) -> FrozenTrial:
    trial.set_user_attr(_TRIAL, trial.number)
    return trial


def _identity(config: Mapping[str, Any]) -> str:
    """Return what tells an experiment from others of its name: what it began with, its seed among it."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _database(url: str) -> RDBStorage:
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        return RDBStorage(url)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # A value that is none is of the port, and may be the end of a password.
        reason = "its port is no number" if isinstance(error, ValueError) else without_secrets(str(error))
        message = f"{_shown(url)!r} is no database that Optuna can write to ({reason}); a file is sqlite:///study.db"
        raise OptionError(message) from error


@contextmanager
def _said(url: str) -> Iterator[None]:
    """Say what a database refuses in the user's words."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        message = f"{_shown(url)} cannot be written: {without_secrets(reason)}"
        raise WorldError(message) from error
