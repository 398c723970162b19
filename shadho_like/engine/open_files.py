"""How many files a driver may have open at once: as many as its slots need, as far as the system lets it."""

from __future__ import annotations

import math
import os
import resource
from contextlib import suppress

from shadho_like.errors import OptionError

_SPARE = 32


def allow_files(slots: int, each: int) -> None:
    """Have this process, and those that it starts, be able to open what so many slots need; it keeps as much room besides as it had.

    Args:
        slots: how many attempts or jobs run at once.
        each: how many files one of them has open in the driver or in the process that starts it, whichever is more.

    Raises:
        OptionError: the system does not let this user have so many.
    """
    soft, hard = (math.inf if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    needed = _opened() + _SPARE + slots * each
    if needed <= soft:
        return
    if needed > hard:
        message = (
            f"{slots} at once need up to {needed} open files in one process, and this machine allows {hard:.0f}: run fewer at once, "
            "or raise the limit (nofile in /etc/security/limits.conf, LimitNOFILE= of a systemd service)"
        )
        raise OptionError(message)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(min(needed + soft, hard)), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def _opened() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 0
