"""The user's settings of the cluster: `opt.config.workqueue.name = "x"`, or a `.shadhorc` file. Checked when they are set."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shadho_like.errors import OptionError, nearest
from shadho_like.resources import Resources

_TEXT, _COUNT, _PORT = "a text", "a whole number of at least 0", "a port (0 to 65535, 0 for any free one) or a range like 9000-9100"
_WORKQUEUE: Mapping[str, str] = {
    "name": _TEXT,
    "port": _PORT,
    "address": _TEXT,
    "password_file": _TEXT,
    "catalog": "host:port of a catalog server",
    "python": _TEXT,
    "cores": _COUNT,
    "memory": _COUNT,
    "disk": _COUNT,
    "gpus": _COUNT,
}


class WorkQueueSettings:
    """The section `workqueue`. Unset settings are None.

    Attributes:
        name: the name by which workers find the search: `wq_worker -M name`.
        port: where the manager listens: a port, a range, or 0 for any free one.
        address: the address that workers are told to use, where this host's own does not do.
        password_file: a file whose contents workers must know.
        catalog: a catalog server, host:port; nothing is announced anywhere without one.
        python: the interpreter that evaluates callables on workers.
        cores, memory, disk, gpus: what one task needs; memory and disk in MiB.
    """

    name: str | None
    port: int | str | None
    address: str | None
    password_file: str | None
    catalog: str | None
    python: str | None
    cores: int | None
    memory: int | None
    disk: int | None
    gpus: int | None

    def __init__(self) -> None:
        for key in _WORKQUEUE:
            object.__setattr__(self, key, None)

    def __setattr__(self, key: str, value: Any) -> None:
        if key not in _WORKQUEUE:
            message = f"config.workqueue has no setting {key!r}: {nearest(key, _WORKQUEUE)}"
            raise OptionError(message)
        if value is not None and not _fits(_WORKQUEUE[key], value):
            message = f"config.workqueue.{key} takes {_WORKQUEUE[key]}, not {value!r}"
            raise OptionError(message)
        object.__setattr__(self, key, value)

    def __getattr__(self, key: str) -> Any:
        """Name the nearest setting where there is no such one."""
        if key.startswith("__"):
            raise AttributeError(key)
        message = f"config.workqueue has no setting {key!r}: {nearest(key, _WORKQUEUE)}"
        raise OptionError(message)

    def resources(self) -> Resources:
        """Return what one task needs."""
        return Resources(self.cores, self.memory, self.disk, self.gpus)


class Settings:
    """All settings, by section.

    Attributes:
        workqueue: how the search meets its workers.
    """

    __slots__ = ("workqueue",)

    def __init__(self) -> None:
        self.workqueue = WorkQueueSettings()

    def __getattr__(self, key: str) -> Any:
        """Name the nearest section where there is no such one."""
        if key.startswith("__"):
            raise AttributeError(key)
        message = f"config has no section {key!r}: {nearest(key, self.__slots__)}"
        raise OptionError(message)

    @classmethod
    def load(cls) -> Settings:
        """Return the settings of `.shadhorc` in this folder, else in the home folder, else none.

        Raises:
            OptionError: a section, key or value in the file is wrong; the message names the file.
        """
        settings = cls()
        for folder in (Path.cwd(), Path.home()):
            path = folder / ".shadhorc"
            if path.is_file():
                settings._read(path)  # noqa: SLF001
                break
        return settings

    def _read(self, path: Path) -> None:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(path.read_text(encoding="utf-8"), str(path))
        except (configparser.Error, OSError, UnicodeDecodeError) as error:
            message = f"{path} cannot be read: {' '.join(str(error).split())}"
            raise OptionError(message) from error
        for section in parser.sections():
            for key, text in parser.items(section):
                try:
                    setattr(getattr(self, section), key, _parsed(_WORKQUEUE.get(key, _TEXT), text))
                except OptionError as error:
                    message = f"{path}: {error}"
                    raise OptionError(message) from error


def _parsed(kind: str, text: str) -> Any:
    return int(text) if kind in {_COUNT, _PORT} and text.strip().isdigit() else text


def _fits(kind: str, value: Any) -> bool:
    if kind == _COUNT:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if kind == _PORT:
        if isinstance(value, str):
            first, _, last = value.partition("-")
            return first.isdigit() and last.isdigit() and 0 < int(first) <= int(last) <= 65535
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535
    if not isinstance(value, str) or not value.strip() or any(character in value for character in "\0\n"):
        return False
    return kind == _TEXT or (":" in value and value.rpartition(":")[2].isdigit())
