"""Holds the process with Work Queue's manager to its folder, as a worker's reply names the paths that the manager writes.

Standard library and Python 3.8 only; imported by `workqueue_manager` from beside it, and by nothing else.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from contextlib import suppress

_PR_SET_NO_NEW_PRIVS = 38
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446
_RIGHTS_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE, _REMOVE_FILE, _MAKE_REG, _TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 14


def bound_files(largest: int) -> None:
    """Bound every file that is written, and allow as many connections as the system does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def confine(folder: str) -> bool:
    """From now on write, make and remove regular files beneath `folder` only, and execute nothing; return whether that holds."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        abi = libc.syscall(_SYS_LANDLOCK_CREATE, None, 0, 1)
    except (AttributeError, OSError):
        return False
    if not sys.platform.startswith("linux") or abi < 1:
        return False
    handled = _RIGHTS_OF_ABI[min(abi, 3)] & ~(_READ_FILE | _READ_DIR)
    ruleset = libc.syscall(_SYS_LANDLOCK_CREATE, ctypes.byref(ctypes.c_uint64(handled)), 8, 0)
    beneath = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    allowed = (_WRITE_FILE | _MAKE_REG | _REMOVE_FILE | _TRUNCATE) & handled
    rule = allowed.to_bytes(8, sys.byteorder) + beneath.to_bytes(4, sys.byteorder)
    refused = libc.syscall(_SYS_LANDLOCK_ADD, ruleset, 1, rule, 0)
    refused = refused or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    refused = refused or libc.syscall(_SYS_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(beneath)
    os.close(ruleset)
    return not refused
