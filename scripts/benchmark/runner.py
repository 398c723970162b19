"""How much sooner the runner's searches end than gpusweep's, which starts an interpreter for each job and deals jobs out in turns.

Run `python scripts/benchmark/runner.py [PART...]`, parts being trivial, binary, torch and unequal, all on the processor; it takes
about five minutes. It needs gpusweep (`pip install --no-deps gpusweep pydrafig && pip install pandas`), and torch for that part.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

SWEEPS = Path(__file__).parent / "sweeps"
sys.path.append(str(SWEEPS))

from measure import Ratio, machine, show, side_by_side  # noqa: E402
from workload import PARTS  # noqa: E402

ROUNDS = 3
GOALS = {"trivial": 30.0, "binary": 2.4, "torch": 20.0}
TITLES = {
    "trivial": "64 trivial jobs, 2 slots",
    "binary": "binary search, 8 slots, jobs of 0.5 s",
    "torch": "16 jobs that import torch, 2 slots",
}


def taken_s(side: str, part: str, folder: Path) -> float:
    """Return how long a part takes on one side, in a fresh interpreter.

    Raises:
        RuntimeError: it fails.
    """
    environment = {**os.environ, "BENCHMARK_TORCH": "1" if PARTS[part].needs_torch else ""}
    # An installed package is compiled once, and so are both sides here.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, str(SWEEPS / f"{side}.py"), part, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    # Above it, gpusweep tells of each job.
    return float(done.stdout.splitlines()[-1].split()[0])


def rows(part: str, folder: Path) -> list[Ratio]:
    """Measure a part on both sides, in turns."""
    fresh = (folder / f"{part}{number}" for number in itertools.count())

    def taken_by(side: str) -> Callable[[], float]:
        return lambda: taken_s(side, part, next(fresh))

    ours_s, theirs_s = side_by_side(ROUNDS, taken_by("ours"), taken_by("theirs"))
    if part != "unequal":
        return [Ratio(TITLES[part], 1 / ours_s, 1 / theirs_s, "searches/s", GOALS[part])]
    ideal_s = PARTS[part].ideal_s
    return [
        Ratio("96 jobs of unequal length, 4 slots, to the ideal packing", ours_s, ideal_s, "s", 1.1, at_most=True),
        Ratio("the same, gpusweep's to the ideal packing (no goal)", theirs_s, ideal_s, "s", 0),
    ]


def main(names: list[str]) -> int:
    """Print the table; return 1 if a goal is missed, 2 if there is no such part or a part cannot be run."""
    if unknown := [name for name in names if name not in PARTS]:
        print(f"there is no part {unknown[0]!r}, only {', '.join(PARTS)}", file=sys.stderr)
        return 2
    if find_spec("gpusweep") is None:
        print("gpusweep is missing: pip install --no-deps gpusweep pydrafig && pip install pandas", file=sys.stderr)
        return 2
    parts = names or list(PARTS)
    if "torch" in parts and find_spec("torch") is None:
        print("the part torch is left out, for torch is missing: pip install torch", file=sys.stderr)
        parts.remove("torch")
    with tempfile.TemporaryDirectory() as folder:
        measured = [row for part in parts for row in rows(part, Path(folder))]
    print(machine())
    return 0 if show("The runner's searches to gpusweep's", measured) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
