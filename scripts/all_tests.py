"""Runs scripts/check.sh and every test, in processes side by side: most tests wait for real processes of their own.

Each part is a pytest of its own, since threads in one would change what the package does (`shadho_like.engine.forked.may_fork`).
What a part said is printed whole when it ends; the last line is that of one pytest that had run all.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

SIDE_BY_SIDE = 3
CHECKS = "scripts/check.sh"
MOST_FILES = 9
"""In one part, so that no process has many left when the others have none."""
LONG = ("tests/faults", "tests/e2e", "tests", "tests/engine")
"""What takes longest begins first, for the same reason."""
WORDS = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning", "error")
"""What pytest counts, in the order of its closing line."""
PLURAL = ("warning", "error")


@dataclass
class Outcome:
    """What came of the parts.

    Attributes:
        counts: of tests, in pytest's words.
        failed: a line for each test, or each part, that failed.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def take(self, name: str, status: int, said: str) -> None:
        """Add a part that ended. A pytest without its closing line died in a test, whatever its status."""
        closing = re.findall(r"^=+ (.+) in [\d.]+s.* =+$", said, re.MULTILINE)[-1:]
        for count, word in re.findall(r"(\d+) ([a-z]+)", "".join(closing)):
            self.counts[word.removesuffix("s")] += int(count)
        if status or not (closing or name == CHECKS):
            self.failed += re.findall(r"^(?:FAILED|ERROR) .+$", said, re.MULTILINE) or [f"FAILED {name}: it ended with {status}"]

    def closing(self, seconds: float) -> str:
        """Return pytest's closing line for all parts."""
        counts = [f"{self.counts[word]} {word}{'s' * (word in PLURAL and self.counts[word] > 1)}" for word in WORDS if self.counts[word]]
        long = f" ({timedelta(seconds=int(seconds))})" if seconds >= 60 else ""
        return f" {', '.join(counts) or 'no tests ran'} in {seconds:.2f}s{long} ".center(shutil.get_terminal_size().columns, "=")


def parts() -> dict[str, list[str]]:
    """Return the command of each part by its name: the checks, and a few files each of one folder of `tests`, or of `tests` itself."""
    folders: dict[str, list[str]] = {}
    for path in sorted(Path("tests").rglob("test_*.py")):
        folders.setdefault("/".join(path.parts[: min(2, len(path.parts) - 1)]), []).append(str(path))
    # Unbuffered, for a pytest that is killed to have said where it was; without the cache, which all would write to at once.
    pytest = [sys.executable, "-u", "-m", "pytest", "-p", "no:cacheprovider"]
    commands = {CHECKS: ["bash", CHECKS]}
    for folder in sorted(folders, key=lambda name: (LONG.index(name) if name in LONG else len(LONG), name)):
        files = folders[folder]
        count = math.ceil(len(files) / MOST_FILES)
        for number in range(count):
            name = f"{folder} ({number + 1} of {count})" if count > 1 else folder
            commands[name] = [*pytest, *files[number::count]]
    return commands


def run(name: str, command: list[str]) -> tuple[str, int, str]:
    """Run a part; return its name, its exit status and what it said."""
    print(f"== {name} begins\n", end="", flush=True)
    # Not to a pipe, which a process that outlives the part would keep open.
    with tempfile.TemporaryFile() as output:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT).returncode
        output.seek(0)
        return name, status, output.read().decode(errors="replace")


def main() -> int:
    """Run all parts; return 0 where everything holds, else 1."""
    begun_s = time.monotonic()
    outcome = Outcome()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        try:
            for ended in as_completed([pool.submit(run, name, command) for name, command in parts().items()]):
                name, status, said = ended.result()
                print(f"== {name}\n{said}\n", end="", flush=True)
                outcome.take(name, status, said)
        except KeyboardInterrupt:
            # Those that run have got the Ctrl-C too.
            pool.shutdown(cancel_futures=True)
            return 130
    print(*outcome.failed, outcome.closing(time.monotonic() - begun_s), sep="\n")
    return 0 if outcome.counts["passed"] and not outcome.failed else 1


if __name__ == "__main__":
    sys.exit(main())
