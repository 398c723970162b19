"""How a search meets its workers: the options of the Work Queue engine, checked when they are made."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

from shadho_like.errors import OptionError

_LARGEST_PORT = 65535
_CATALOG_PORT = 9097


@dataclass(frozen=True, slots=True)
class WorkQueueOptions:
    """Options of the Work Queue engine.

    Attributes:
        name: the name by which workers find the search: `wq_worker -M name`.
        port: the port to listen on, a range like "9000-9100" of which the first free one is taken, or 0 for any free one.
        address: the address of this machine to listen on, which workers are then told to use; empty for every one.
        catalog: a catalog server, "host" or "host:port", to which the name is announced; nothing is announced without it.
        password_file: a file whose contents workers must know.
        python: the interpreter that evaluates callables on workers; None for the environment's, or a worker's own choice.
        environment: what trials run in: an archive that `shadho workers pack` or conda-pack made, or the folder of an environment that
            every machine sees; None for a worker's own.
        ssl: the files with the key and the certificate of a manager that speaks SSL; None for one that does not.

    Raises:
        OptionError: one of them cannot be.
    """

    name: str
    port: int | str = 0
    address: str = ""
    catalog: str | None = None
    password_file: str | None = None
    python: str | None = None
    environment: str | None = None
    ssl: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable():
            raise OptionError(f"name must be a printable text, not {self.name!r}: workers are started with it")
        lowest, highest = self.ports
        if not 0 <= lowest <= highest <= _LARGEST_PORT or (lowest == 0 and highest != 0):
            raise OptionError(f"port must be a number up to {_LARGEST_PORT} or a range like 9000-9100, not {self.port!r}")
        if self.catalog is not None:
            host, port = self._catalog_parts(self.catalog)
            if not host or not port.isdecimal() or not 0 < int(port) <= _LARGEST_PORT:
                raise OptionError(f"catalog must be host:port of a catalog server, not {self.catalog!r}")
        if self.password_file is not None and not Path(self.password_file).is_file():
            raise OptionError(f"password_file: there is no file {self.password_file!r} in {Path.cwd()}")

        for file in self.ssl or ():
            if not Path(file).is_file():
                raise OptionError(f"ssl: there is no file {file!r} in {Path.cwd()}; ssl = True makes a key and a certificate")
        self._check_environment()

    def _check_environment(self) -> None:
        path = self.environment_path
        if path is None:
            return
        if not path.exists():
            raise OptionError(f"environment: there is no {self.environment!r} in {Path.cwd()}; shadho workers pack makes one")
        if path.is_dir() and not path.joinpath("bin/python").exists():
            raise OptionError(f"environment: {self.environment!r} is a folder without bin/python, and so no environment")
        if path.is_file() and not tarfile.is_tarfile(path):
            raise OptionError(f"environment: {self.environment!r} is no tar archive; shadho workers pack makes one, and so does conda-pack")

    @property
    def environment_path(self) -> Path | None:
        """Where the environment is here, absolute; links in it are not followed, as they mean other things elsewhere."""
        return None if self.environment is None else Path(self.environment).expanduser().absolute()

    @property
    def ports(self) -> tuple[int, int]:
        """The lowest and the highest port that will do."""
        first, _, last = str(self.port).partition("-")
        if not first.strip().isdecimal() or not (last or first).strip().isdecimal():
            return -1, -1
        return int(first), int(last or first)

    @property
    def catalog_server(self) -> str | None:
        """The catalog server as host:port."""
        return None if self.catalog is None else ":".join(self._catalog_parts(self.catalog))

    @staticmethod
    def _catalog_parts(catalog: str) -> tuple[str, str]:
        host, colon, port = catalog.rpartition(":")
        return (host, port) if colon else (port, str(_CATALOG_PORT))
