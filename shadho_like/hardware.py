"""What this machine has: cores, and accelerators as the names by which a process is shown one. Nothing of CUDA or torch is loaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"

_PATIENCE_S = 30.0
_INDEX = re.compile(r"\d+")
_NAMED = re.compile(r"(GPU|MIG)-\S+")
_LISTED = re.compile(r"(?P<gpu>GPU (?P<index>\d+):)?.*\(UUID: (?P<uuid>\S+)\)")


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs that a process with this environment may use, each as a value for `CUDA_VISIBLE_DEVICES`.

    That variable decides where it is set, its indices, UUIDs and MIG ids as they are; empty or -1 means none. Otherwise all that
    the driver lists are there: by index, or by MIG id where a GPU is divided. Where its program is missing, as in a container, its
    device files are counted.
    """
    visible = environment.get(VISIBLE)
    if visible is not None:
        return _visible(visible)
    return _listed(_nvidia_smi()) or tuple(str(index) for index in range(len(list(Path("/dev").glob("nvidia[0-9]*")))))


def _visible(text: str) -> tuple[str, ...]:
    """Return what CUDA makes of the variable: it reads up to the first thing that is no device."""
    found: list[str] = []
    for item in text.split(","):
        name = item.strip()
        if not (_INDEX.fullmatch(name) or _NAMED.fullmatch(name)):
            break
        found.append(name)
    return tuple(dict.fromkeys(found))


def _nvidia_smi() -> str:
    """Return the list that NVIDIA's driver gives; empty where there is none, or none that answers."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        done = subprocess.run([program, "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _listed(text: str) -> tuple[str, ...]:
    """Return the devices of `nvidia-smi -L`; of a divided GPU, its parts are listed below it and used in its place."""
    whole: dict[str, list[str]] = {}
    for line in text.splitlines():
        if (match := _LISTED.match(line.strip())) is None:
            continue
        if match["gpu"]:
            whole[match["index"]] = []
        elif whole and match["uuid"].startswith("MIG-"):
            whole[next(reversed(whole))].append(match["uuid"])
    return tuple(name for index, parts in whole.items() for name in parts or [index])
