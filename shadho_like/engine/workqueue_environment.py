"""The software environment of trials on Work Queue's workers: an archive that travels once to each worker and is unpacked there, or a
folder that every machine sees. Text only.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from pathlib import Path

import shadho_drain
import shadho_gpus

ARCHIVE = "shadho_environment"
"""The archive's name in a task's folder, until it is unpacked."""
UNPACK = "shadho-unpack"
"""The program in an archive of ours that makes it fit the machine where it is unpacked, as conda-pack's conda-unpack does."""

# In the worker's own folder, which goes with it; beside the tasks' where no wq_worker says where that is. The lock frees itself when
# its holder is killed, and what was half unpacked then has no mark.
_PACKED = """\
shadho_environment=${{{drain}:+${{{drain}%/*}}}}
shadho_environment=${{shadho_environment:-${{PWD%/*}}}}/environment-{key}
command -v flock >/dev/null 2>&1 || shadho_environment=$shadho_environment.$$
shadho_unpack() {{
  [ -e "$shadho_environment/.ready" ] && return
  rm -rf "$shadho_environment"
  mkdir "$shadho_environment" && tar -xf {archive} -C "$shadho_environment" || return 1
  for shadho_step in {unpack} conda-unpack; do
    if [ -f "$shadho_environment/bin/$shadho_step" ]; then
      PATH="$shadho_environment/bin:$PATH" "$shadho_environment/bin/$shadho_step" || return 1
    fi
  done
  : >"$shadho_environment/.ready"
}}
if [ ! -e "$shadho_environment/.ready" ]; then
  if ! {{ flock 9 || :; shadho_unpack; }} 9>"$shadho_environment.lock" 2>"$shadho_environment.log"; then
    export {refused}="the environment {name} cannot be used on this machine: $(tail -n 1 "$shadho_environment.log")"
  fi
fi
rm -f {archive}
"""
_SHARED = """\
shadho_environment={path}
if [ ! -x "$shadho_environment/bin/python" ]; then
  export {refused}="there is no environment {name} on this machine: pack it (shadho workers pack), or use a folder that all machines see"
fi
"""
_ACTIVATED = """\
unset PYTHONHOME
export PATH="$shadho_environment/bin:$PATH" VIRTUAL_ENV="$shadho_environment" SHADHO_PYTHON="$shadho_environment/bin/python"
if [ -d "$shadho_environment/conda-meta" ]; then export CONDA_PREFIX="$shadho_environment"; fi
shadho_moved=1
"""


def activation(environment: Path) -> str:
    """Return what a task's shell runs before anything else; it exports the environment, and sets `shadho_moved`."""
    name = _plain(str(environment))
    if environment.is_dir():
        return _SHARED.format(path=shlex.quote(str(environment)), name=name, refused=shadho_gpus.REFUSED) + _ACTIVATED
    packed = _PACKED.format(
        drain=shadho_drain.MARKER, key=_key(environment), archive=ARCHIVE, unpack=UNPACK, refused=shadho_gpus.REFUSED, name=name
    )
    return packed + _ACTIVATED


def archive(environment: Path | None) -> Path | None:
    """Return what travels; None where nothing does."""
    return None if environment is None or environment.is_dir() else environment


def _key(environment: Path) -> str:
    """Return what tells an archive from another, and from what it was before it was packed again."""
    status = os.stat(environment)
    return hashlib.sha256(f"{environment} {status.st_size} {status.st_mtime_ns} {stat.S_IFMT(status.st_mode)}".encode()).hexdigest()[:16]


def _plain(text: str) -> str:
    """Return a text as it may stand in double quotes."""
    return "".join(letter for letter in text if letter.isprintable() and letter not in '"$`\\')
