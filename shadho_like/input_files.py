"""Checks the names of files that travel, before anything is sent: what the user wrote, and what it would overwrite."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import shadho_worker

from shadho_like.context_command import has_context
from shadho_like.errors import OptionError
from shadho_like.launch import InputFile, OutputFile

_RESERVED = {
    shadho_worker.HYPERPARAMETERS_FILE,
    shadho_worker.TRIAL_FILE,
    shadho_worker.RESULT_FILE,
    shadho_worker.LOG_FILE,
    shadho_worker.BATCH_FILE,
    shadho_worker.RESULTS_FILE,
    shadho_worker.OBJECTIVE_FILE,
    "shadho_worker.py",
    "shadho_launch.sh",
}


def input_file(localpath: str | Path, remotepath: str | None, *, cache: bool, taken: Sequence[InputFile]) -> InputFile:
    """Return the checked description of a file that goes out.

    Raises:
        OptionError: there is no such file, or the remote path is taken, reserved, or leaves the trial's folder.
    """
    local = Path(localpath).absolute()
    if not local.exists():
        message = f"input file {str(localpath)!r}: there is no such file in {Path.cwd()}"
        raise OptionError(message)
    remote = _inside(remotepath or local.name, f"input file {str(localpath)!r}")
    if remote in _RESERVED or any(file.remote == remote for file in taken):
        message = f"input file {str(localpath)!r}: {remote!r} is taken in the trial's folder; give another remotepath"
        raise OptionError(message)
    return InputFile(local, remote, cache)


def output_file(localpath: str | Path, remotepath: str | None, *, cache: bool, taken: Sequence[OutputFile]) -> OutputFile:
    """Return the checked description of a file that comes back.

    Raises:
        OptionError: a path is taken, reserved, or leaves its folder.
    """
    what = f"output file {str(localpath)!r}"
    local = _inside(str(localpath), what)
    remote = _inside(remotepath or PurePosixPath(local).name, what)
    if {local, remote} & _RESERVED or any(local == file.local or remote == file.remote for file in taken):
        message = f"{what}: the name is taken; give another"
        raise OptionError(message)
    return OutputFile(local, remote, cache)


def warn_of_missing(cmd: Any, inputs: Sequence[InputFile]) -> list[str]:
    """Return a line for each file here that the command names and that is not sent: it would not be found there.

    What a packed context holds is not seen here.
    """
    if not isinstance(cmd, str) or has_context(inputs):
        return []
    try:
        words = shlex.split(cmd)
    except ValueError:
        return []
    sent = {str(PurePosixPath(file.remote)) for file in inputs}
    named = {word: str(PurePosixPath(word)) for word in words if not word.startswith(("/", "-")) and Path(word).is_file()}
    return [
        f"the command names {word}, which is here but does not travel: add opt.add_input_file({path!r})"
        for word, path in named.items()
        if path not in sent
    ]


def _inside(path: str, what: str) -> str:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or str(pure) == "." or "\0" in path or "\n" in path:
        message = f"{what}: {path!r} must be a relative path that stays in the trial's folder"
        raise OptionError(message)
    return str(pure)
