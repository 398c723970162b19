"""An experiment's trials put into a study of Optuna's own: in memory, or in a database, where a later call adds what is new."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

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


def to_database(directory: Path, url: str, added: Callable[[int, int], None] = lambda _, __: None) -> tuple[str, int]:
    """Write the trials of an experiment that are over into a study of its name; return that, and how many were not there before.

    A trial that is not over is left for a later call: what is in a database would wait for somebody to end it. An SQLite file that is
    not there yet is there when all of it is written.

    Args:
        directory: the experiment's.
        url: the database.
        added: told after each how many were written, of how many.

    Raises:
        JournalError: there is no experiment, or it cannot be read.
        OptionError: the database is none, or holds another study of this name.
        WorldError: the database cannot be written.
    """
    following = Following(directory)
    with quiet(optuna), _said(url), _whole(url) as written_url:
        storage = _database(written_url, url)
        try:
            new = _add_new(storage, following, url, added)
        finally:
            storage.remove_session()
            storage.engine.dispose()
    return following.config["name"], new


def _add_new(storage: RDBStorage, following: Following, url: str, added: Callable[[int, int], None]) -> int:
    """Add the trials that are over and not there; return how many."""
    freezer = Freezer(following.config)
    name, identity = following.config["name"], _identity(following.config)
    if name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        if study.user_attrs.get(_EXPERIMENT) != identity:
            message = f"{_shown(url)} holds another study {name!r}, which is not of this experiment: give another database"
            raise OptionError(message)
    else:
        study = _created(storage, following, freezer)
        study.set_user_attr(_EXPERIMENT, identity)
    there = {trial.user_attrs.get(_TRIAL) for trial in study.get_trials(deepcopy=False)}
    new = [number for number, seen in enumerate(following.seen) if seen.trial.state.final and number not in there]
    for place, number in enumerate(new):
        study.add_trial(_marked(freezer.freeze(following.seen[number], number)))
        added(place + 1, len(new))
    return len(new)


@contextmanager
def _whole(url: str) -> Iterator[str]:
    """Give a URL to write to that is another file until all is written, where it is of an SQLite file that is not there yet."""
    path = _sqlite_file(url)
    if path is None or path.exists() or not path.parent.is_dir():
        yield url
        return
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = Path(folder, path.name)
        yield make_url(url).set(database=str(part)).render_as_string(hide_password=False)
        if path.exists():
            message = f"{path} was made by somebody else meanwhile: run this again to add to it"
            raise WorldError(message)
        with part.open("rb") as file:
            os.fsync(file)
        part.replace(path)


def _sqlite_file(url: str) -> Path | None:
    """Return the file that a URL names, where it names one of SQLite's."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return None
    name = parsed.database
    if parsed.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


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


def _database(written_url: str, url: str) -> RDBStorage:
    try:
        storage = RDBStorage(written_url)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        # A value that is none is of the port, and may be the end of a password.
        reason = "its port is no number" if isinstance(error, ValueError) else without_secrets(str(error))
        message = f"{_shown(url)!r} is no database that Optuna can write to ({reason}); a file is sqlite:///study.db"
        raise OptionError(message) from error
    if written_url != url:
        # Optuna commits several times for each trial, and nobody reads the file before it is whole and on the disk.
        event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        storage.engine.dispose()
    return storage


@contextmanager
def _said(url: str) -> Iterator[None]:
    """Say what a database refuses in the user's words."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        message = f"{_shown(url)} cannot be written: {without_secrets(reason)}"
        raise WorldError(message) from error
