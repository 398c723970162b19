"""The shell text that a Work Queue task runs: the user's command, what watches over it, and what is said of its end. Text only."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import shadho_drain
import shadho_gpus
import shadho_warm
import shadho_worker

from shadho_like.engine.workqueue_environment import activation
from shadho_like.launch import Launch
from shadho_like.trial import FailureKind

TIME_LIMIT = "SHADHO_LIMIT_S"
"""The environment variable with the seconds that a task may take."""

ASKED = "asked"
"""What a task says behind its status when its worker was about to end: the trial may have been asked to."""
UNSAID = 125
"""The shell's own status where the worker's disk is full: nothing is said of a failure then, which is not the trial's. No signal has it."""
_LEAST_FREE_KB = 1024
_PROBE_FILE = ".shadho_probe"

# What the command leaves is looked at first: a worker would follow a link, wait for a pipe's writer, and send a whole folder. The
# exit status goes out by the standard output, as Work Queue tells a signal's number as if it were one: a shell that says none was
# killed. The shell's own status asks for the log, which Work Queue is told to fetch of failed tasks only: most have none.
_TEXT = """if [ -n "${{{drain}-}}" ] && [ -e "${drain}" ]; then
  : >{held}
  while sleep 600; do :; done
fi
exec 3>&1 >{log} 2>&1
shadho_folder=$PWD
shadho_end() {{
  shadho_status=$?
  {unwatch}
  if [ $shadho_status -ne 0 ] && [ -w "$shadho_folder" ]; then
    dd if=/dev/zero of="$shadho_folder/{probe}" bs=1024 count={least_kb} 2>/dev/null || exit {unsaid}
    rm -f "$shadho_folder/{probe}"
  fi
  for shadho_file in {outputs}; do
    shadho_path=$shadho_folder/$shadho_file
    if [ -L "$shadho_path" ] || {{ [ -e "$shadho_path" ] && [ ! -f "$shadho_path" ]; }}; then
      echo "shadho_like: $shadho_file is a link or no regular file, and is not sent back"
      rm -rf "$shadho_path"
    fi
  done
  if [ -n "${{{drain}-}}" ] && [ -e "${drain}" ]; then shadho_status="$shadho_status {asked}"; fi
  printf '%s\t%s\n' "$shadho_status" "${{SHADHO_FEATURES-}}" >&3 || exit {unsaid}
  if [ -s "$shadho_folder/{log}" ]; then exit 1; else exit 0; fi
}}
trap shadho_end EXIT
if [ -n "${{{refused}-}}" ]; then
  echo "shadho_like: ${refused}"
  exit 1
fi
export PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${{PYTHONPATH:+:$PYTHONPATH}}" {environment}
{watch}{command}
"""
# Work Queue kills a task by its process group, which it makes too late when the shell is quick: then the shell starts over as the
# leader of one. It starts over too where it has set which GPUs the trial sees, or an environment: a warm interpreter reads what a
# process began with.
_IN_GROUP = """shadho_text={text}
{gpus}{environment}if ! kill -s 0 -- -$$ 2>/dev/null && command -v setsid >/dev/null 2>&1; then exec setsid sh -c "$shadho_text"; fi
if [ -n "${{shadho_moved-}}" ]; then exec sh -c "$shadho_text"; fi
eval "$shadho_text"
"""
# Either would keep the shell from its end; in a copy of the shell they cannot, which costs as much as the rest of a short task.
_ENDS_SHELL = re.compile(r"\b(exec|trap)\b")

# Work Queue's own limits do not do: its workers read a time in another unit than its manager writes, look at disks rarely, and
# kill nothing but the first process. This watcher kills the whole group, its own shell included; the last line tells why.
_WATCH = """shadho_over_disk() {{
  set -- $({disk} 2>/dev/null)
  [ "${{1:-0}}" -gt {most} ] && echo "{over_disk}"
}}
(
  trap 'kill $! 2>/dev/null; exit' USR1
  left=${{{limit}:--1}}
  while [ $left -ne 0 ]; do
    step={step}
    if [ $left -gt 0 ] && [ $left -lt $step ]; then step=$left; fi
    sleep $step & wait $!
    if [ $left -gt 0 ]; then left=$((left - step)); fi
    if shadho_over_disk; then kill -s KILL -- -$$; fi
  done
  echo "{over_time}"
  kill -s KILL -- -$$
) 3>&- &
shadho_watcher=$!
"""
_UNWATCH = 'kill -s USR1 $shadho_watcher || :; cd "$shadho_folder" && if shadho_over_disk; then shadho_status=1; fi'
_STEP_S = 5
_OVER_TIME = "shadho_like: ended, it ran longer than a trial may"
_OVER_DISK = "shadho_like: ended, its folder took more disk than a trial may"
_LIMITS = {_OVER_TIME: FailureKind.TIME_LIMIT, _OVER_DISK: FailureKind.DISK}


def shell_text(launch: Launch, outputs: Sequence[str], python: str | None, environment: Path | None = None) -> str:
    """Return what a worker's shell is to run.

    Args:
        launch: the command or the objective, and its limits.
        outputs: the files that are sent back.
        python: the interpreter that evaluates callables; None for the environment's, or the worker's own choice.
        environment: the archive or the folder of the trials' environment; None for the worker's own.
    """
    command = f"eval {shlex.quote(launch.command)}" if launch.command else f". ./{shadho_warm.LAUNCHER_FILE}"
    watched = launch.trial_timeout_s is not None or launch.resources.disk_mb
    text = _TEXT.format(
        unsaid=UNSAID,
        probe=_PROBE_FILE,
        least_kb=_LEAST_FREE_KB,
        log=shadho_worker.LOG_FILE,
        environment=f"SHADHO_PYTHON={shlex.quote(python)} SHADHO_WARM=" if python else "",
        command=f"({command})" if _ENDS_SHELL.search(launch.command or "exec") else command,
        watch=_watch(launch.resources.disk_mb) if watched else "",
        unwatch=_UNWATCH if watched else ":",
        outputs=" ".join(map(shlex.quote, outputs)),
        drain=shadho_drain.MARKER,
        held=shadho_drain.HELD_FILE,
        asked=ASKED,
        refused=shadho_gpus.REFUSED,
    )
    return _IN_GROUP.format(text=shlex.quote(text), gpus=shadho_gpus.LAUNCHER, environment=activation(environment) if environment else "")


def _watch(disk_mb: int | None) -> str:
    return _WATCH.format(
        limit=TIME_LIMIT,
        step=_STEP_S,
        disk="du -sk ." if disk_mb else "echo 0",
        most=(disk_mb or 0) * 1024,
        over_disk=_OVER_DISK,
        over_time=_OVER_TIME,
    )


def limit_reached(log_tail: str) -> FailureKind | None:
    """Return which limit ended a task, as the last line of its log says; None if it was none."""
    return _LIMITS.get(log_tail.rpartition("\n")[2])
