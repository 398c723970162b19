"""Workers that come and go with the work: begun, seen and drained. A process of its own, `factory_keeper`, keeps them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import replace

from shadho_like.batch import factory, record
from shadho_like.batch.base import BatchSystem, Place, WorkerJob
from shadho_like.batch.factory_record import FactoryFolder, Standing, Wish
from shadho_like.batch.workers import factory_words, system_of
from shadho_like.errors import OptionError, WorldError

_START_S = 60.0
_END_S = 10.0
_STEP_S = 0.05


def wished(system: str, limits: str, job: WorkerJob) -> Wish:
    """Return what is to be kept: workers that leave when they have had no work for a while, unless the user says otherwise.

    Raises:
        OptionError: the limits are none, or the workers cannot be had so.
    """
    wish = Wish(system, factory.Limits.read(limits), replace(job, worker_options=("--timeout", str(factory.IDLE_S), *job.worker_options)))
    if system == factory.LOCAL:
        factory.check_local(job, wish.limits)
    factory_words(system).options(job)
    return wish


def preview(wish: Wish) -> str:
    """Return the script that the factory's jobs run, with the factory's command."""
    folder = str(record.folder(wish.job.search).absolute() / "auto-N")
    argv = factory.command(wish.job, wish.limits, factory_words(wish.system), folder, 0)
    return f"# {shlex.join(argv)}\n\n{factory.script(wish.job, folder)}"


def begin(wish: Wish) -> tuple[FactoryFolder, Standing]:
    """Keep as many workers as there is work, from now on, in the background.

    Raises:
        OptionError: workers of this search are kept already.
        WorldError: a program is missing, or the factory does not start.
    """
    search = wish.job.search
    _programs(None if wish.system == factory.LOCAL else system_of(wish.system))
    with record.locked(search):
        if live(search) is not None:
            message = f"workers of {search!r} are kept already: shadho workers drain {shlex.quote(search)} ends that, when they have ended"
            raise OptionError(message)
        folder = FactoryFolder.make(wish)
        with folder.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "shadho_like.batch.factory_keeper", str(folder.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # It outlives this command, and the terminal.
                start_new_session=True,
            )
        give_up_s = time.monotonic() + _START_S
        while (standing := folder.standing()) is None:
            if process.poll() is not None or time.monotonic() > give_up_s:
                _end(process)
                raise WorldError(f"{factory.PROGRAM} was not started; {folder.log} says: {folder.log.read_text(errors='replace').strip()}")
            time.sleep(_STEP_S)
        return folder, standing


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()  # The factory ends with it.
        process.wait()


def _programs(system: BatchSystem | None) -> None:
    if shutil.which(factory.PROGRAM) is None:
        message = (
            f"{factory.PROGRAM} is not on the PATH, which --auto needs: on Debian and Ubuntu `apt-get install coop-computing-tools`, "
            "elsewhere `conda install -c conda-forge ndcctools`"
        )
        raise WorldError(message)
    if system is not None and shutil.which(system.submit[0]) is None:
        raise WorldError(f"{system.submit[0]} is not on the PATH: is this a machine from which jobs are submitted?")


def live(search: str) -> FactoryFolder | None:
    """Return the factory that keeps workers of a search; None where none does, or its process died."""
    folder = FactoryFolder.newest(search)
    standing = folder.standing() if folder else None
    if folder is None or standing is None or standing.ended is not None or folder.lost(standing):
        return None
    return folder


def newest(search: str) -> FactoryFolder | None:
    """Return the factory that was begun last for a search, ended or not; None where there was none."""
    return FactoryFolder.newest(search)


def drain(search: str) -> dict[str, Place] | None:
    """Have the workers of a search that are kept let their trials end, and no more be submitted.

    Returns:
        Where they were; None where none are kept.
    """
    folder = live(search)
    if folder is None:
        if (last := newest(search)) is not None:
            last.drain()  # Workers that outlived their factory see it too.
        return None
    there = places(folder)
    folder.drain()
    return there


def scale(search: str, count: int) -> dict[str, Place] | None:
    """Drain the workers that are kept where there are to be none; return as `drain` does.

    Raises:
        OptionError: there are to be some, and how many there are is not the user's to say now.
    """
    folder = live(search)
    if count and folder is not None:
        limits, name = folder.wish().limits, shlex.quote(search)
        message = f"workers of {search!r} are kept by --auto {limits}: have 0, or drain them and submit again, shadho workers drain {name}"
        raise OptionError(message)
    return None if count else drain(search)


def places(folder: FactoryFolder) -> dict[str, Place]:
    """Return where the workers of a factory are; those that have not begun have no names."""
    running, standing = folder.running(), folder.standing()
    if standing is None or standing.ended is not None or folder.lost(standing):
        return {}
    waiting = standing.submitted - len(running)
    place = Place.ENDING if folder.draining else Place.RUNNING
    return {**dict.fromkeys(running, place), **{f"worker-{number + 1}": Place.WAITING for number in range(waiting)}}


def described(folder: FactoryFolder) -> str:
    """Return the line that the user is told of a factory."""
    wish, standing = folder.wish(), folder.standing()
    how = f"{wish.system} --auto {wish.limits}"
    if standing is None or standing.ended is not None:
        return f"{how}  ended: {standing.ended if standing else 'it never began'}"
    if folder.lost(standing):
        return f"{how}  its process {standing.pid} on {standing.host} died; see {folder.log}"
    work = f"{standing.wanted} wanted" if standing.wanted is not None else "starting"
    driver = "" if standing.driver else ", no driver answers"
    return f"{how}  {'draining' if folder.draining else work}{driver} (process {standing.pid} on {standing.host}; {folder.log})"
