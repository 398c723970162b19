"""The exceptions of this package, for the person at the keyboard. A trial's failure is a value (`trial.Failure`).

ShadhoError
├── UserError                 the user's mistake: shown without a traceback, exit status 2
│   ├── SpaceError            a search space that cannot be built, or a sample that does not fit one
│   ├── OptionError           an unknown name, or a value that an option cannot take
│   ├── ConfigError           a strict config: a name that it does not declare, a wrong value, or none where one is required
│   └── ExperimentChanged     the directory holds another experiment than the one that was asked for
├── WorldError                the machine, the file system or the cluster said no; `transient` says whether to try again
│   ├── ExperimentInUse       another driver holds the experiment's directory
│   ├── JournalError          the journal cannot be read or written
│   └── EngineError           an engine cannot start or go on
├── MethodError               a search method raised, or asked for something that cannot be
└── InternalError             our bug: shown with its traceback
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ShadhoError(Exception):
    """The root: `except ShadhoError` catches everything that this package raises on purpose."""


class UserError(ShadhoError):
    """Something that the user wrote cannot be right; the message says what, where, and what to do."""


class SpaceError(UserError):
    """A search space or a sample is wrong at `path` (dotted, empty for the whole)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message

    def __reduce__(self) -> tuple[type[SpaceError], tuple[str, str]]:
        return type(self), (self.path, self.message)


class OptionError(UserError):
    """An option, key or name that does not exist, or a value that it cannot take."""


class ConfigError(UserError):
    """A strict config is wrong at `path` (such as ".optimizer.lr", empty for the whole)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"config{path}: {message}")
        self.path = path
        self.message = message

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str]]:
        return type(self), (self.path, self.message)

    def beneath(self, path: str) -> ConfigError:
        """Return the same error as it is called in a config that holds this one at `path`."""
        return type(self)(path + self.path, self.message)


class ExperimentChanged(UserError):
    """The directory holds an experiment with another space, command, method, metric or seed."""


class WorldError(ShadhoError):
    """The machine, the file system or the cluster refused.

    Attributes:
        transient: whether the same call may work later, unchanged.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class ExperimentInUse(WorldError):
    """Another driver writes to this experiment's directory; the message names its pid and host."""


class JournalError(WorldError):
    """The journal is damaged, of a newer format, or its file system refuses."""


class EngineError(WorldError):
    """An engine cannot start (a missing program, a port in use) or died."""


class MethodError(ShadhoError):
    """A search method raised or asked for something that cannot be; everything finished is kept."""


class InternalError(ShadhoError):
    """A state that our own code should never reach."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the sentence that helps with an unknown name: the nearest known one and all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(names)}."
