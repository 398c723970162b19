"""Runs scripts/check.sh and every test, in processes side by side: most tests wait for real processes of their own.

Each part is a pytest of its own, since threads in one would change what the package does (`shadho_like.engine.forked.may_fork`).
What a part said is printed whole when it ends; the last line is that of one pytest that had run all.
"""

from __future__ import annotations

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
LONG = ("tests/faults", "tests/e2e", CHECKS, "tests")
"""What takes longest begins first, so that it is not alone in the end."""
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
        closing = re.search(r"^=+ (.+) in [\d.]+s.* =+$", said.rstrip().rpartition("\n")[2])
        if closing is not None:
            self.counts.update({word.removesuffix("s"): int(count) for count, word in re.findall(r"(\d+) ([a-z]+)", closing[1])})
        if status or (closing is None and name != CHECKS):
            self.failed += re.findall(r"^(?:FAILED|ERROR) .+$", said, re.MULTILINE) or [f"FAILED {name}: it ended with {status}"]

    def closing(self, seconds: float) -> str:
        """Return pytest's closing line for all parts."""
        counts = [f"{self.counts[word]} {word}{'s' * (word in PLURAL and self.counts[word] > 1)}" for word in WORDS if self.counts[word]]
        long = f" ({timedelta(seconds=int(seconds))})" if seconds >= 60 else ""
        return f" {', '.join(counts) or 'no tests ran'} in {seconds:.2f}s{long} ".center(shutil.get_terminal_size().columns, "=")


def parts() -> dict[str, list[str]]:
    """Return the command of each part by its name: the checks, and each folder of `tests` with the files that stand in none."""
    commands = {CHECKS: ["bash", CHECKS]}
    for path in sorted(Path("tests").rglob("test_*.py")):
        name = "/".join(path.parts[: min(2, len(path.parts) - 1)])
        # Unbuffered, for a pytest that is killed to have said where it was; without the cache, which all would write to at once.
        commands.setdefault(name, [sys.executable, "-u", "-m", "pytest", "-p", "no:cacheprovider"]).append(str(path))
    return dict(sorted(commands.items(), key=lambda part: LONG.index(part[0]) if part[0] in LONG else len(LONG)))


def run(name: str, command: list[str]) -> tuple[str, int, str]:
    """Run a part; return its name, its exit status and what it said."""
    print(f"== {name} begins", flush=True)
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
                print(f"== {name}\n{said}", flush=True)
                outcome.take(name, status, said)
        except KeyboardInterrupt:
            # Those that run have got the Ctrl-C too.
            pool.shutdown(cancel_futures=True)
            return 130
    print(*outcome.failed, outcome.closing(time.monotonic() - begun_s), sep="\n")
    return 0 if outcome.counts["passed"] and not outcome.failed else 1


if __name__ == "__main__":
    sys.exit(main())
