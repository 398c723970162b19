"""The driver's side of being found by workers: publish a file, withdraw it. Its format is `shadho_rendezvous`'s."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import shadho_rendezvous
from shadho_rendezvous import Rendezvous

from shadho_like.errors import WorldError
from shadho_like.paths import shadho_home

__all__ = ["Rendezvous", "find", "password_file", "publish", "withdraw"]


def publish(
    name: str,
    *,
    host: str,
    port: int,
    run_id: str,
    password_file: str | None = None,
    jobs_per_gpu: int = 1,
    priority: int = shadho_rendezvous.USUAL_PRIORITY,
    ssl: bool = False,
) -> Path:
    """Have workers that look for `name` find this process; return the file that says so, for `withdraw`.

    Args:
        name: what workers ask for.
        host: a name or address of this machine that other machines can reach.
        port: of the manager.
        run_id: another one for each run.
        password_file: the path of the password file that workers need.
        jobs_per_gpu: how many trials may share a GPU.
        priority: the smaller, the sooner workers go to it.
        ssl: whether the manager speaks SSL.

    Raises:
        WorldError: the folder cannot be written, or others can write to it.
    """
    try:
        home = str(shadho_home())
        return Path(shadho_rendezvous.publish(home, name, host, port, run_id, password_file, jobs_per_gpu, priority, ssl))
    except shadho_rendezvous.RendezvousError as error:
        raise WorldError(str(error)) from error


def password_file(name: str) -> Path:
    """Return the file with the password of the searches of this name, beside their rendezvous files; made where there is none.

    Raises:
        WorldError: the folder cannot be written, or others can read the file.
    """
    try:
        return Path(shadho_rendezvous.password_file(str(shadho_home()), name))
    except shadho_rendezvous.RendezvousError as error:
        raise WorldError(str(error)) from error


def withdraw(path: Path) -> None:
    """Remove what `publish` wrote; it may be gone already."""
    with suppress(OSError):
        path.unlink()


def find(name: str) -> list[Rendezvous]:
    """Return the running drivers of this name, in the order in which workers go to them.

    Raises:
        WorldError: others can write to the folder.
    """
    try:
        return shadho_rendezvous.find(str(shadho_home()), name)
    except shadho_rendezvous.RendezvousError as error:
        raise WorldError(str(error)) from error
