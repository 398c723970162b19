"""The command `shadho` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def shadho(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it as a person would, and return what it said."""
    command = [sys.executable, "-c", "from shadho_like.cli.main import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
