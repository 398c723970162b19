"""The shell text that a trial with a context runs: the context is unpacked, its startup hook sourced, then comes the command. Text only."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import shadho_worker

from shadho_like.launch import InputFile

ARCHIVE_FILE = "shadho_context.tar"
"""The packed context in a trial's folder; gone when it is unpacked."""

HOOK_FILE = "startup-hook.sh"
"""Sourced before each attempt, so that what it exports, and the folder it goes to, reach the command."""

UNPACKING_FAILED = "the context cannot be unpacked"
HOOK_FAILED = f"{HOOK_FILE} failed"
HOOK_EXITED = f"{HOOK_FILE} ended the shell: it is sourced, so that it is to end without exit"

# What fails before the command has a result of its own, that names it. Owners and times are those of the machine that unpacks.
# Behind the hook the shell starts over: some that ever had a trap would listen for SIGTERM, and end before the trial has saved.
_TEXT = """shadho_folder=$PWD
shadho_refuse() {{
  shadho_sourcing=
  echo "shadho_like: $1" >&2
  printf '{{"status": "failed", "kind": "error", "message": "%s"}}\\n' "$1" >"$shadho_folder/{result}"
  exit 1
}}
tar -xmof {archive} || shadho_refuse "{unpacking_failed} (see the log)"
rm -f {archive}
if [ -f {hook} ]; then
  shadho_hook_ended() {{
    shadho_status=$?
    [ -n "$shadho_sourcing" ] || return 0
    if [ "$shadho_status" = 0 ]; then shadho_refuse "{hook_exited}"; fi
    shadho_refuse "{hook_failed} with status $shadho_status"
  }}
  shadho_sourcing=yes
  trap shadho_hook_ended EXIT
  . ./{hook}
  shadho_status=$?
  if [ "$shadho_status" != 0 ]; then shadho_refuse "{hook_failed} with status $shadho_status"; fi
  exec /bin/sh -c {command}
fi
eval {command}
"""


def in_context(command: str, inputs: Iterable[InputFile]) -> str:
    """Return what a shell is to run in a folder with these files: the command itself where no packed context is among them."""
    if not has_context(inputs):
        return command
    return _TEXT.format(
        result=shadho_worker.RESULT_FILE,
        archive=ARCHIVE_FILE,
        hook=HOOK_FILE,
        unpacking_failed=UNPACKING_FAILED,
        hook_failed=HOOK_FAILED,
        hook_exited=HOOK_EXITED,
        command=shlex.quote(command),
    )


def has_context(inputs: Iterable[InputFile]) -> bool:
    """Return whether a packed context travels."""
    return any(file.remote == ARCHIVE_FILE for file in inputs)
