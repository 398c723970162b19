"""Why no worker connects: what a worker does to find its driver, one step after the other, each with what to do where it fails."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import shadho_rendezvous
from shadho_rendezvous import Rendezvous

from shadho_like import rendezvous
from shadho_like.errors import WorldError
from shadho_like.paths import shadho_home

_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One step.

    Attributes:
        good: whether it works.
        what: was looked at, and found.
        remedy: what to do where it does not work.
    """

    good: bool
    what: str
    remedy: str = ""


def examine(name: str, host: str | None = None) -> Iterator[Check]:
    """Yield the steps of a worker of this machine that looks for a search, to the first that fails.

    Args:
        name: of the search.
        host: where to connect, if not where the driver says.
    """
    for check in _checks(name, host):
        yield check
        if not check.good:
            return


def _checks(name: str, host: str | None) -> Iterator[Check]:
    yield _program()
    folder = shadho_home() / shadho_rendezvous.FOLDER
    try:
        found = rendezvous.find(name)
    except WorldError as error:
        yield Check(False, f"the folder of rendezvous files, {folder}", str(error))
        return
    yield _rendezvous(name, folder, found)
    driver = found[0]
    # The driver's own machine has two ways, of which the manager may listen on one alone: the other is tried first.
    *others, where = (host,) if host else driver.addresses
    yield _resolved(where, here=driver.machine == shadho_rendezvous.this_machine())
    yield _password(driver)
    tried = [_connected(each, driver.port) for each in (*others, where)]
    yield next((check for check in tried if check.good), tried[-1])
    yield Check(True, f"nothing is in the way of: wq_worker -M {driver.name}")


def _program() -> Check:
    beside = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    found = shutil.which("work_queue_worker", path=beside)
    remedy = "install Work Queue: apt-get install coop-computing-tools, or conda install -c conda-forge ndcctools"
    return Check(found is not None, f"work_queue_worker: {found or 'not on the PATH'}", remedy)


def _rendezvous(name: str, folder: Path, found: list[Rendezvous]) -> Check:
    if found:
        newest = found[0]
        return Check(True, f"a driver of {name}: process {newest.pid}, which says that it listens at {newest.host}:{newest.port}")
    others = sorted({path.name.rpartition(".json")[0].rpartition(".")[0] for path in folder.glob("*.json")}) if folder.is_dir() else []
    known = f" (there are drivers of {', '.join(others)})" if others else ""
    remedy = (
        f"is the driver running, with config.workqueue.name = {name!r}? Is {folder} the same folder as on its machine? If the home "
        "folder is not shared, start workers with wq_worker HOST PORT -P PASSWORD_FILE, which need no file but the password"
    )
    return Check(False, f"no driver of {name} has left a file in {folder}{known}", remedy)


def _resolved(host: str, *, here: bool) -> Check:
    remedy = "set config.workqueue.address in the driver to an address of its machine that this one reaches; hostname -I lists them there"
    try:
        address = socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0]
    except OSError as error:
        return Check(False, f"the name {host} is unknown on this machine ({error.args[-1]})", remedy)
    if str(address).startswith("127.") and not here:
        return Check(False, f"{host} is {address}, which is this machine, and the driver is on another", remedy)
    return Check(True, f"{host} is {address}" if host != address else f"the address {host}")


def _password(driver: Rendezvous) -> Check:
    if driver.password_file is None:
        return Check(True, "the driver asks for no password")
    good = os.access(driver.password_file, os.R_OK)
    remedy = f"copy the file from the driver's machine (it is {driver.password_file} there), and start workers with -P FILE"
    return Check(good, f"the password file {driver.password_file} {'can' if good else 'cannot'} be read", remedy)


def _connected(host: str, port: int) -> Check:
    try:
        with closing(socket.create_connection((host, port), _PATIENCE_S)):
            return Check(True, f"a connection to {host}:{port}")
    except TimeoutError:
        remedy = (
            "a firewall swallows it, or the address is not one of the driver's network: have the driver use a port that is open, such as "
            'config.workqueue.port = "9000-9100", and an address that this machine reaches, config.workqueue.address'
        )
        return Check(False, f"{host}:{port} does not answer within {_PATIENCE_S:g} s", remedy)
    except ConnectionRefusedError:
        remedy = (
            "the machine is there, but nobody listens on that address and port, or a firewall refuses: is the driver running, and is "
            "config.workqueue.address one of its machine that this one reaches (not 127.0.0.1)?"
        )
        return Check(False, f"{host} refuses a connection to port {port}", remedy)
    except OSError as error:
        remedy = "the networks of the two machines do not meet: set config.workqueue.address in the driver to another of its addresses"
        return Check(False, f"{host}:{port} cannot be reached ({error.strerror})", remedy)
