"""What of a context directory does not travel: what `.detignore` and `.shadhoignore` say, and what no trial ever needs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container
from pathlib import Path

import shadho_checkpoint

from shadho_like.errors import OptionError

IGNORE_FILES = (".detignore", ".shadhoignore")
"""At the top of a context directory, in gitignore's syntax; the later one has the last word."""

# The folders of version control, editors, caches, and environments, which hold paths of the machine that they were made on.
_NAMES = frozenset(
    (
        *("__pycache__", ".git", ".hg", ".svn", ".idea", ".vscode", ".ipynb_checkpoints", ".DS_Store"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", ".venv"),
    )
)
# Byte code, and the swap, backup and lock files of editors.
_FILES = re.compile(r".*\.py[co]|.*\$py\.class|\..*\.sw[a-p]|.*~|\.?#.*#|\.#.*", re.DOTALL)
# An experiment's directory, which lies beside its script by default (the one that is being made is one too), and a checkpoint that the
# script saved when it ran alone.
_MARKERS = ("journal.sqlite", ".created_by_shadho", shadho_checkpoint.MANIFEST_FILE)

Ignored = Callable[[str, bool], bool]
"""Whether a path, relative and with slashes, does not travel; the second argument says whether it is a folder."""


def never_travels(name: str, *, is_folder: bool) -> bool:
    """Return whether no trial needs what has this name."""
    return name in _NAMES or (not is_folder and _FILES.fullmatch(name) is not None)


def is_a_searchs(names: Container[str]) -> bool:
    """Return whether a folder with these names in it is what a search left: an experiment's directory, or a checkpoint."""
    return any(marker in names for marker in _MARKERS)


def read_ignored(folder: Path) -> Ignored:
    """Return what a folder's ignore files say.

    A folder that is ignored is not looked into, so that nothing in it can be taken back by `!`, as git has it.

    Raises:
        OptionError: a file cannot be read, or has a line that is no pattern, which the message shows; or pathspec is not installed.
    """
    lines = [line for name in IGNORE_FILES for line in _lines(folder / name)]
    if not lines:
        return lambda *_: False
    try:
        import pathspec
    except ImportError as error:
        message = f"{' and '.join(IGNORE_FILES)} are read with pathspec: pip install pathspec"
        raise OptionError(message) from error
    try:
        spec = pathspec.GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        message = f"{folder}: {' or '.join(IGNORE_FILES)} has a line that is no pattern: {error}"
        raise OptionError(message) from error

    def ignored(path: str, is_folder: bool) -> bool:
        # A name may hold a newline, at which regular expressions end; none holds a zero, and no pattern either.
        return spec.match_file(path.replace("\n", "\0") + ("/" if is_folder else ""))

    return ignored


def ignore_line(path: str) -> str:
    """Return the line that ignores this path, and no other one but where white space in it leaves no choice."""
    escaped = re.sub(r"[^\S ]", "?", re.sub(r"([\\*?\[\]])", r"\\\1", path))
    bare = escaped.rstrip(" ")
    return f"/{bare}" + "\\ " * (len(escaped) - len(bare))


def _lines(path: Path) -> list[str]:
    try:
        # As file names are decoded, so that a pattern can name what is no UTF-8.
        return os.fsdecode(path.read_bytes()).removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").replace("\r\n", "\n").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise OptionError(message) from error
