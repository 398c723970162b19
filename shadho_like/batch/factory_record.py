"""The folders of the factories that keep a search's workers: what was asked for, how each stands, and the sign that it is to end."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import shadho_rendezvous

from shadho_like.batch import record
from shadho_like.batch.base import WorkerJob
from shadho_like.batch.factory import SCRIPT, Limits, script
from shadho_like.errors import WorldError

_PREFIX = "auto-"
_STANDING = "standing.json"
SILENT_S = 600.0
"""A factory on another machine whose keeper has written nothing for this long is dead; it writes every minute, or sooner."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for.

    Attributes:
        system: the batch system's name, or local.
        limits: how many workers.
        job: what each of them is.
    """

    system: str
    limits: Limits
    job: WorkerJob


@dataclass(frozen=True, slots=True)
class Standing:
    """How a factory stood when its keeper last wrote it.

    Attributes:
        pid: of the process that keeps it.
        pid_started: tells `pid` from a later process of that number.
        machine: on which both mean something.
        host: its name.
        wanted: how many workers there is work for, within the limits; None before the factory has counted.
        submitted: how many it has in the queue or running.
        driver: whether a driver answers.
        ended: why it ended; None while it runs.
    """

    pid: int
    pid_started: int
    machine: str
    host: str
    wanted: int | None = None
    submitted: int = 0
    driver: bool = False
    ended: str | None = None

    @classmethod
    def begin(cls) -> Standing:
        """Return how the factory stands that this process is about to keep."""
        pid = os.getpid()
        return cls(pid, shadho_rendezvous.process_started(pid) or 0, shadho_rendezvous.this_machine(), os.uname().nodename)


class FactoryFolder:
    """One factory's folder, in the search's.

    Attributes:
        path: absolute, as the machines with workers see it too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, wish: Wish) -> FactoryFolder:
        """Make the next folder of a search, with everything in it that a factory needs; to be called inside of `record.locked`."""
        number = 1 + max(_numbers(wish.job.search), default=0)
        made = cls(record.folder(wish.job.search).absolute() / f"{_PREFIX}{number}")
        made.path.mkdir(mode=0o700)
        (made.path / "workers").mkdir()
        Path(wish.job.logs).mkdir(exist_ok=True)
        (made.path / SCRIPT).write_text(script(wish.job, str(made.path)), encoding="utf-8")
        (made.path / SCRIPT).chmod(0o700)
        made._write("wish.json", asdict(wish))
        return made

    @classmethod
    def newest(cls, search: str) -> FactoryFolder | None:
        """Return the folder that was made last; None where there was none."""
        number = max(_numbers(search), default=0)
        return cls(record.folder(search).absolute() / f"{_PREFIX}{number}") if number else None

    @property
    def log(self) -> Path:
        """What the factory and its keeper say."""
        return self.path / "factory.log"

    def wish(self) -> Wish:
        """Return what was asked for.

        Raises:
            WorldError: the file cannot be read.
        """
        path = self.path / "wish.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return Wish(value["system"], Limits(**value["limits"]), record.worker_job(value["job"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorldError(f"{path} cannot be read: {error}") from error

    def standing(self) -> Standing | None:
        """Return how it stood last; None before its keeper has begun."""
        try:
            return Standing(**json.loads((self.path / _STANDING).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def lost(self, standing: Standing) -> bool:
        """Return whether the process died that keeps it: here by its number, else, also after a restart, by its silence."""
        if standing.ended is not None:
            return False
        if standing.machine == shadho_rendezvous.this_machine():
            return shadho_rendezvous.process_started(standing.pid) != standing.pid_started
        with suppress(OSError):
            return time.time() - (self.path / _STANDING).stat().st_mtime > SILENT_S
        return False

    def stand(self, standing: Standing) -> None:
        """Write how it stands."""
        self._write(_STANDING, asdict(standing))

    def running(self) -> list[str]:
        """Return the workers that have begun and not ended, as host.process."""
        return sorted(os.listdir(self.path / "workers"))

    @property
    def draining(self) -> bool:
        """Whether it is to end."""
        return (self.path / "drain").exists()

    def drain(self) -> None:
        """Have its workers let their trials end, and then the factory end."""
        (self.path / "drain").touch()

    def _write(self, name: str, value: dict[str, object]) -> None:
        partial = self.path / f"{name}.partial"
        partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
        os.replace(partial, self.path / name)


def ended(standing: Standing, why: str) -> Standing:
    """Return that it has ended."""
    return replace(standing, ended=why, wanted=None, submitted=0)


def _numbers(search: str) -> list[int]:
    names = [path.name[len(_PREFIX) :] for path in record.folder(search).glob(f"{_PREFIX}*")]
    return [int(name) for name in names if name.isdigit()]
