"""The user's settings of the cluster: `opt.config.workqueue.name = "x"`, or a file `.shadhorc`. Checked when they are set."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from shadho_like import certificate, rendezvous
from shadho_like.engine.workqueue_options import WorkQueueOptions
from shadho_like.errors import OptionError, nearest
from shadho_like.resources import Resources, is_gpu_count


class WorkQueueSettings:
    """The section `workqueue`. A setting that is not set is None.

    Attributes:
        name: the name by which workers find the search: `wq_worker -M name`.
        port: where the manager listens: a port, a range like "9000-9100", or 0 for any free one.
        address: the address of this machine to listen on, which workers are then told to use.
        password_file: a file whose contents workers must know; by default one is made for the search's name.
        catalog: a catalog server, host:port; nothing is announced anywhere without one.
        python: the interpreter that evaluates callables on workers.
        environment: what trials run in on workers: an archive that `shadho workers pack` made, or a folder that every machine sees.
        ssl: whether what goes between the driver and its workers is encrypted; needs a Work Queue that can, on both sides.
        ssl_key: the file with the manager's private key; with `ssl_cert`, by default both are made for the search's name.
        ssl_cert: the file with its certificate.
        cores: processor cores that one task needs.
        memory: memory that one task needs, in MiB.
        disk: room on the disk that one task needs, in MiB.
        gpus: GPUs that one task needs; a number below 1 is a share of one, 0.5 lets two tasks share it.
        gpu_memory: memory that each of them must have, in MiB.
        gpu_model: the model that they must be, or some words of its name: "A100".
    """

    name: str | None = None
    port: int | str | None = None
    address: str | None = None
    password_file: str | None = None
    catalog: str | None = None
    python: str | None = None
    environment: str | None = None
    ssl: bool | None = None
    ssl_key: str | None = None
    ssl_cert: str | None = None
    cores: int | None = None
    memory: int | None = None
    disk: int | None = None
    gpus: float | None = None
    gpu_memory: int | None = None
    gpu_model: str | None = None

    def __setattr__(self, key: str, value: Any) -> None:
        if key not in _KEYS:
            raise _unknown(key)
        if value is not None and not _fits(key, value):
            message = f"config.workqueue.{key} takes {_KEYS[key]}, not {value!r}"
            raise OptionError(message)
        super().__setattr__(key, value)

    def __getattr__(self, key: str) -> Any:
        """Say which setting comes nearest; called for unknown ones only."""
        if key.startswith("__"):
            raise AttributeError(key)
        raise _unknown(key)

    def resources(self) -> Resources:
        """Return what one task needs."""
        return Resources(self.cores, self.memory, self.disk, self.gpus, self.gpu_memory, self.gpu_model)

    def engine_options(self, name: str) -> WorkQueueOptions:
        """Return the options of the engine, for a search that is called `name` unless a setting says otherwise.

        Where no password file is set, the one of this name is taken, which is made the first time.

        Raises:
            OptionError: the password file is not there.
            WorldError: none can be made.
        """
        name = self.name or name
        return WorkQueueOptions(
            name=name,
            port=self.port or 0,
            address=self.address or "",
            catalog=self.catalog,
            password_file=self.password_file or str(rendezvous.password_file(name)),
            python=self.python,
            environment=self.environment,
            ssl=self._ssl_files(name),
        )

    def _ssl_files(self, name: str) -> tuple[str, str] | None:
        given = [file for file in (self.ssl_key, self.ssl_cert) if file is not None]
        if len(given) == 1 or (given and self.ssl is False):
            raise OptionError("config.workqueue: ssl_key and ssl_cert go together, and with ssl = True")
        if given:
            return given[0], given[1]
        return tuple(map(str, certificate.files(name))) if self.ssl else None  # type: ignore[return-value]


class Settings:
    """All settings, by section.

    Attributes:
        workqueue: how the search meets its workers.
    """

    workqueue: WorkQueueSettings

    def __init__(self) -> None:
        super().__setattr__("workqueue", WorkQueueSettings())

    def __setattr__(self, key: str, value: Any) -> None:
        if key != "workqueue":
            raise _unknown_section(key)
        message = f'config.workqueue is a section: set one of its settings, as in config.workqueue.name = "x", not {value!r}'
        raise OptionError(message)

    def __getattr__(self, key: str) -> Any:
        """Say which section comes nearest; called for unknown ones only."""
        if key.startswith("__"):
            raise AttributeError(key)
        raise _unknown_section(key)

    @classmethod
    def load(cls) -> Settings:
        """Return the settings of `.shadhorc` in this folder, else in the home folder, else none.

        Raises:
            OptionError: a section, key or value in the file is wrong; the message names the file and the line.
        """
        settings = cls()
        for path in (Path.cwd() / ".shadhorc", Path.home() / ".shadhorc"):
            if path.is_file():
                settings.read(path)
                break
        return settings

    def read(self, path: Path) -> None:
        """Take over what an INI file sets.

        Raises:
            OptionError: as `load`.
        """
        parser = configparser.ConfigParser(interpolation=None, default_section="")
        try:
            text = path.read_text(encoding="utf-8")
            parser.read_string(text, str(path))
        except (configparser.Error, OSError, UnicodeDecodeError) as error:
            message = f"{path} cannot be read: {' '.join(str(error).split())}"
            raise OptionError(message) from error
        for section in parser.sections():
            for key, value in [("", ""), *parser.items(section)]:
                try:
                    self._set(section, key, value)
                except OptionError as error:
                    message = f"{path}, line {_line_of(text, section, key)}: {error}"
                    raise OptionError(message) from error

    def _set(self, section: str, key: str, value: str) -> None:
        """Set what a file says; without a key, only look whether there is such a section."""
        settings = getattr(self, section)
        if key:
            kind = _KEYS.get(key)
            read = _switch if kind == _SWITCH else _number if kind in {_COUNT, _GPUS, _PORT} else str
            setattr(settings, key, read(value))


_TEXT, _COUNT, _SWITCH = "a text", "a whole number of at least 0", "True or False"
_GPUS = "a whole number of at least 0, or a share of one GPU such as 0.5"
_PORT, _CATALOG = 'a port, a range like "9000-9100", or 0 for any free port', "host:port of a catalog server"
_KEYS: Mapping[str, str] = {
    "name": _TEXT,
    "port": _PORT,
    "address": _TEXT,
    "password_file": _TEXT,
    "catalog": _CATALOG,
    "python": _TEXT,
    "environment": _TEXT,
    "ssl": _SWITCH,
    "ssl_key": _TEXT,
    "ssl_cert": _TEXT,
    "cores": _COUNT,
    "memory": _COUNT,
    "disk": _COUNT,
    "gpus": _GPUS,
    "gpu_memory": _COUNT,
    "gpu_model": _TEXT,
}


def _number(text: str) -> int | float | str:
    """Return the number that a file's text is; the text where it is none."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _switch(text: str) -> bool | str:
    """Return what a file's text switches on or off; the text where it does neither."""
    return configparser.ConfigParser.BOOLEAN_STATES.get(text.lower(), text)


def _fits(key: str, value: Any) -> bool:
    if isinstance(value, bool) or _KEYS[key] == _SWITCH:
        return isinstance(value, bool) and _KEYS[key] == _SWITCH
    if _KEYS[key] == _COUNT:
        return isinstance(value, int) and value >= 0
    if _KEYS[key] == _GPUS:
        return is_gpu_count(value)
    if _KEYS[key] == _PORT and isinstance(value, int):
        return _engine_takes(key, value)
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        return False
    return _KEYS[key] == _TEXT or _engine_takes(key, value)


def _engine_takes(key: str, value: Any) -> bool:
    try:
        WorkQueueOptions(name="any", **{key: value})
    except OptionError:
        return False
    return True


def _unknown(key: str) -> OptionError:
    return OptionError(f"config.workqueue has no setting {key!r}: {nearest(key, _KEYS)}")


def _unknown_section(key: str) -> OptionError:
    return OptionError(f"config has no section {key!r}: {nearest(key, ['workqueue'])}")


def _line_of(text: str, section: str, key: str) -> int:
    """Return the number of the line that sets a key, or that opens the section where there is no key."""
    here = False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            here = stripped[1:].partition("]")[0] == section
            if here and not key:
                return number
        elif here and stripped.replace(":", "=").partition("=")[0].strip().lower() == key:
            return number
    return 1
