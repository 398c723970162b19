"""Experiments as Optuna's studies: to look at, to analyse, to take along. The files that need Optuna are loaded when they are."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from shadho_like.errors import OptionError

if TYPE_CHECKING:
    import optuna

__all__ = ["export", "to_optuna"]


def to_optuna(directory: Path) -> optuna.Study:
    """Return an experiment's trials as an Optuna study in memory.

    Raises:
        JournalError: there is no experiment, or it cannot be read.
        OptionError: Optuna is not installed.
    """
    _need_optuna("to_optuna")
    from shadho_like.studies.copying import in_memory

    return in_memory(directory)


def export(directory: Path, url: str, added: Callable[[int, int], None] = lambda _, __: None) -> tuple[str, int]:
    """Write an experiment's trials into a database of Optuna's; return the study's name and how many of them were new there.

    Args:
        directory: the experiment's directory.
        url: the database, as Optuna takes it: `sqlite:///study.db`.
        added: told after each how many trials were written, of how many.

    Raises:
        JournalError: there is no experiment, or it cannot be read.
        OptionError: Optuna is not installed, the database is none, or holds another study of this name.
    """
    _need_optuna("shadho export --optuna")
    from shadho_like.studies.copying import to_database

    return to_database(directory, url, added)


def _need_optuna(what: str) -> None:
    if find_spec("optuna") is None:
        message = f"{what} needs Optuna: pip install 'shadho_like[optuna]'"
        raise OptionError(message)
