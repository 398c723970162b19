"""What an attempt printed: its log, or what there is of it while it runs on this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from shadho_worker import LOG_FILE

from shadho_like.paths import ExperimentPaths
from shadho_like.trial import AttemptId

LONGEST = 256 * 1024


def read_log(paths: ExperimentPaths, attempt: AttemptId, newest: int) -> bytes | None:
    """Return the end of an attempt's log; None where there is none.

    Args:
        paths: the experiment's.
        attempt: whose log.
        newest: the number of its trial's newest attempt.
    """
    kept = paths.log(attempt) if attempt.attempt == newest else paths.earlier_log(attempt)
    candidates = (paths.sandbox(attempt) / LOG_FILE, paths.earlier_log(attempt), kept)
    return next((text for text in map(_tail, candidates) if text is not None), None)


def _tail(path: Path) -> bytes | None:
    """Return the end of a regular file; None where there is none. A link, which a trial may have left, is not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        left_out = max(0, status.st_size - LONGEST)
        file.seek(left_out)
        text = file.read(LONGEST)
    return b"[%d bytes before this are left out]\n%s" % (left_out, text) if left_out else text
