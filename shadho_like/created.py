"""An experiment that was created from a configuration: its directory holds all that its driver needs, whatever becomes of the files
that it was made from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from shadho_like import requests
from shadho_like.configured import search_of
from shadho_like.context_command import ARCHIVE_FILE
from shadho_like.context_dir import Context, pack
from shadho_like.driver import Shadho
from shadho_like.errors import JournalError, OptionError, WorldError
from shadho_like.events import Action
from shadho_like.experiment_config import ExperimentConfig, read_config
from shadho_like.experiment_config.yaml_text import write_yaml
from shadho_like.interrupts import SignalInterrupts
from shadho_like.journal import JournalReader
from shadho_like.known_experiments import forget
from shadho_like.paths import ExperimentPaths
from shadho_like.sandbox import log_tail

_LOOK_S = 0.05


def create(
    config: ExperimentConfig,
    *,
    name: str,
    context: str | Path | None = None,
    includes: Iterable[str | Path] = (),
    directory: Path | None = None,
    paused: bool = False,
) -> tuple[Path, Context]:
    """Make an experiment's directory, and return it with the packed context. Nothing is run.

    Args:
        config: what was read.
        name: what it is called where the configuration does not say.
        context: the context directory.
        includes: files and folders besides.
        directory: by default `./experiments/<name>`, with a number behind it where there is one already.
        paused: have its driver start no trial until it is activated.

    Raises:
        OptionError: the directory holds something; or as `context_dir.pack`.
        WorldError: it cannot be written.
    """
    name = config.name or name
    paths = ExperimentPaths(_made(directory, name))
    try:
        paths.created.touch()
        packed = pack(context, paths.context, includes)
        # It may hold secrets, among the environment variables.
        paths.config.touch(mode=0o600)
        paths.config.write_text(write_yaml({**config.source, "name": name}), encoding="utf-8")
        _search(read_config(paths.config), paths)
        if paused:
            requests.leave(paths.requests, Action.PAUSE)
    except BaseException:
        shutil.rmtree(paths.root, ignore_errors=True)
        raise
    return paths.root, packed


def _made(directory: Path | None, name: str) -> Path:
    """Make an empty directory for an experiment, and return it."""
    try:
        if directory is not None:
            directory = directory.absolute()
            directory.mkdir(parents=True, exist_ok=True)
            if any(directory.iterdir()):
                message = f"--directory {directory} is not empty: give one that is, or that is not there yet"
                raise OptionError(message)
            return directory
        if Path(name).name != name or name in {"", ".", ".."}:
            message = f"name: {name!r} cannot name a folder; give another, or --directory"
            raise OptionError(message)
        for number in range(1, sys.maxsize):
            made = Path("experiments", name if number == 1 else f"{name}-{number}").absolute()
            made.parent.mkdir(exist_ok=True)
            try:
                made.mkdir()
            except FileExistsError:
                continue
            return made
    except OSError as error:
        message = f"the experiment's directory cannot be made: {error}"
        raise WorldError(message) from error
    raise AssertionError


def is_created(directory: Path) -> bool:
    """Return whether a directory holds an experiment that was created from a configuration, begun or not."""
    paths = ExperimentPaths(directory)
    return paths.config.is_file() and paths.context.is_file()


def discard(directory: Path) -> bool:
    """Remove an experiment that never began, and return whether it was none that did."""
    if _turns(directory):
        return False
    with suppress(JournalError), JournalReader(directory) as journal:
        if journal.id is not None:
            forget(journal.id)
    shutil.rmtree(directory, ignore_errors=True)
    return True


def search_in(directory: Path) -> Shadho:
    """Return the search of an experiment that was created, ready to be run, for the first time or again.

    Raises:
        OptionError: it was not created from a configuration.
    """
    paths = ExperimentPaths(directory.absolute())
    if not is_created(directory):
        message = f"{directory} was not made by shadho experiment create: it has no {paths.config.name} and {paths.context.name}"
        raise OptionError(message)
    return _search(read_config(paths.config), paths)


def _search(config: ExperimentConfig, paths: ExperimentPaths) -> Shadho:
    opt = search_of(config, directory=paths.root)
    opt.add_input_file(paths.context, ARCHIVE_FILE)
    return opt


def start(directory: Path) -> subprocess.Popen[bytes]:
    """Start a driver that outlives this process and its terminal; return it once the search has begun, or it has ended.

    What it prints is appended to a file in the directory.

    Raises:
        WorldError: it ended before the search could begin; the message is what it said.
        KeyboardInterrupt: Ctrl-C or SIGTERM came before; the driver has ended.
    """
    paths = ExperimentPaths(directory.absolute())
    before = _turns(directory)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # A KeyboardInterrupt while the process is made would leave one that nobody knows of.
    with paths.driver_log.open("ab") as log, SignalInterrupts() as interrupts:
        at = log.tell()
        process = subprocess.Popen(
            _command(directory), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
        )
        try:
            while process.poll() is None and _turns(directory) == before and not interrupts.asked:
                time.sleep(_LOOK_S)
            if interrupts.asked:
                _end(process, interrupts)
                raise KeyboardInterrupt
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode:
        with paths.driver_log.open("rb") as log:
            log.seek(at)
            said = log_tail(log.read()) or f"it ended with status {process.returncode}"
        message = f"the driver of {directory} ended:\n{said}"
        raise WorldError(message)
    return process


def _end(process: subprocess.Popen[bytes], interrupts: SignalInterrupts) -> None:
    """End a driver; each further Ctrl-C has it hurry."""
    told = 0
    while process.poll() is None:
        if interrupts.asked > told:
            told = interrupts.asked
            process.terminate()
        time.sleep(_LOOK_S)


def _turns(directory: Path) -> int:
    try:
        with JournalReader(directory) as journal:
            return journal.last_turn() or 0
    except JournalError:
        return 0


def _command(directory: Path) -> list[str]:
    """Return what starts a driver: the command of this installation, where it has one."""
    program = shutil.which("shadho", path=str(Path(sys.executable).parent))
    started = [program] if program else [sys.executable, "-m", "shadho_like.cli.main"]
    return [*started, "experiment", "run", str(directory.absolute())]
