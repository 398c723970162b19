"""Many trials put into an SQLite file of Optuna's at once. Optuna itself asks some twenty questions of the database for each of them.

The rows are those that Optuna writes: it writes the first trials, and where what it wrote is not what would be written here, as by
another version, it writes all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage
    from sqlalchemy import Connection, Table

_FIRST, _AT_ONCE = 20, 2000
_OWN_KEYS: Mapping[str, str] = {
    "trials": "",
    "trial_values": "trial_value_id",
    "trial_params": "param_id",
    "trial_intermediate_values": "trial_intermediate_value_id",
    "trial_user_attributes": "trial_user_attribute_id",
}
"""The tables that trials are in, and the column of each that the database fills itself."""

Rows = dict[str, list[dict[str, Any]]]


def add(study: optuna.Study, storage: RDBStorage, trials: Iterable[FrozenTrial], added: Callable[[int], None]) -> None:
    """Add trials that are over, in their order.

    Args:
        study: what they are added to.
        storage: where it is.
        trials: without attributes of Optuna's own.
        added: told how many more are there, from time to time.
    """
    left = iter(trials)
    tables: Mapping[str, Table] = {}
    if storage.engine.dialect.name == "sqlite":
        first = list(islice(left, _FIRST))
        for trial in first:
            study.add_trial(trial)
        added(len(first))
        tables = _tables(storage) if _as_here(study, storage, first) else {}
    while part := list(islice(left, _AT_ONCE if tables else 1)):
        if tables:
            _insert(study, storage, tables, part)
        else:
            study.add_trial(part[0])
        added(len(part))


def attribute(study: optuna.Study, storage: RDBStorage, key: str) -> set[Any]:
    """Return the values that the trials of a study have for an attribute of the user's."""
    if storage.engine.dialect.name != "sqlite":
        return {trial.user_attrs.get(key) for trial in study.get_trials(deepcopy=False)}
    from sqlalchemy import select

    tables = _tables(storage)
    trials, attributes = tables["trials"], tables["trial_user_attributes"]
    study_id = storage.get_study_id_from_name(study.study_name)
    of_study = attributes.c.trial_id.in_(select(trials.c.trial_id).where(trials.c.study_id == study_id))
    with storage.engine.connect() as connection:
        return set(map(json.loads, connection.execute(select(attributes.c.value_json).where(attributes.c.key == key, of_study)).scalars()))


def _tables(storage: RDBStorage) -> Mapping[str, Table]:
    from sqlalchemy import MetaData

    metadata = MetaData()
    metadata.reflect(storage.engine, only=list(_OWN_KEYS))
    return {name: metadata.tables[name] for name in _OWN_KEYS}


def _as_here(study: optuna.Study, storage: RDBStorage, trials: list[FrozenTrial]) -> bool:
    """Return whether Optuna wrote the last trials of a study as `_rows` would."""
    from sqlalchemy import select
    from sqlalchemy.exc import InvalidRequestError

    try:
        tables = _tables(storage)
    except InvalidRequestError:  # there is no such table
        return False
    study_id = storage.get_study_id_from_name(study.study_name)
    trials_table = tables["trials"]
    newest = select(trials_table).where(trials_table.c.study_id == study_id).order_by(trials_table.c.number.desc()).limit(len(trials))
    with storage.engine.connect() as connection:
        written = [row._asdict() for row in connection.execute(newest)][::-1]
        for row, trial in zip(written, trials, strict=True):
            for name, wanted in _rows(trial, study_id, row["trial_id"], row["number"]).items():
                if _sorted(_read(connection, tables[name], row["trial_id"])) != _sorted(wanted):
                    return False
    return True


def _read(connection: Connection, table: Table, trial_id: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a trial, without what the database fills itself."""
    from sqlalchemy import select

    for row in connection.execute(select(table).where(table.c.trial_id == trial_id)):
        yield {name: value for name, value in row._asdict().items() if name != _OWN_KEYS[table.name]}


def _sorted(rows: Iterable[dict[str, Any]]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


def _insert(study: optuna.Study, storage: RDBStorage, tables: Mapping[str, Table], trials: list[FrozenTrial]) -> None:
    """Write all of these trials or none."""
    from sqlalchemy import func, insert, select

    study_id = storage.get_study_id_from_name(study.study_name)
    table = tables["trials"]
    with storage.engine.begin() as connection:
        # What is read is the base of what is written: nobody else may write in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        last = connection.execute(select(func.max(table.c.trial_id))).scalar() or 0
        there = connection.execute(select(func.count()).where(table.c.study_id == study_id)).scalar() or 0
        rows: Rows = {name: [] for name in _OWN_KEYS}
        for place, trial in enumerate(trials):
            for name, more in _rows(trial, study_id, last + 1 + place, there + place).items():
                rows[name] += more
        for name, written in rows.items():
            if written:
                connection.execute(insert(tables[name]), written)


def _rows(trial: FrozenTrial, study_id: int, trial_id: int, number: int) -> Rows:
    """Return the rows of a trial, by their tables."""
    own = {"trial_id": trial_id}
    times = {"datetime_start": _utc(trial.datetime_start), "datetime_complete": _utc(trial.datetime_complete)}
    return {
        "trials": [own | times | {"number": number, "study_id": study_id, "state": trial.state.name}],
        "trial_values": [
            own | {"objective": place, "value": _finite(value), "value_type": _kind(value)}
            for place, value in enumerate(trial.values or ())
        ],
        "trial_params": [
            own
            | {
                "param_name": name,
                "param_value": float(trial.distributions[name].to_internal_repr(value)),
                "distribution_json": distribution_to_json(trial.distributions[name]),
            }
            for name, value in trial.params.items()
        ],
        "trial_intermediate_values": [
            own | {"step": step, "intermediate_value": _finite(value), "intermediate_value_type": _kind(value)}
            for step, value in trial.intermediate_values.items()
        ],
        "trial_user_attributes": [own | {"key": key, "value_json": json.dumps(value)} for key, value in trial.user_attrs.items()],
    }


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(timezone.utc).replace(tzinfo=None)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _kind(value: float) -> str:
    if math.isnan(value):
        return "NAN"
    return "FINITE" if math.isfinite(value) else ("INF_POS" if value > 0 else "INF_NEG")
