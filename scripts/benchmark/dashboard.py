"""Measures the dashboard with 50,000 trials: how long it takes to read them, to read what is new, and until a browser has drawn them.

`python scripts/benchmark/dashboard.py [TRIALS]`; it plays the experiments first, which takes minutes.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
import threading
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from chromium import browser, missing
from measure import Ratio, machine, show

from shadho_like import Shadho, rand, searcher
from shadho_like.dashboard.app import MOST_SHOWN, application
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.following import Following

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SPACE = {"rate": rand.loguniform(1e-5, 1.0), "layers": rand.randint(1, 8), "kind": ["relu", "tanh"], "momentum": rand.uniform(0, 1)}
_TRIALS = 50_000
_USABLE_S = 3.0
_ROUNDS = 5
_DRAWN = "return document.querySelectorAll('.scatterlayer .point').length"


def played(directory: Path, trials: int, timeout_s: float | None = None) -> Path:
    """Play an ASHA search, or a part of one, under a clock that is not real."""
    world = World(lambda _, length: 60.0 * length, lambda hparams, length: float(hparams["momentum"]) + 1 / length, workers=64, crash=0.005)
    keys: dict[str, Any] = {"max_length": 81, "num_rungs": 4, "divisor": 3, "max_trials": trials, "max_concurrent_trials": 64}
    method = searcher.create("async_halving", SPACE, seed=1, **keys)
    engine = SimulatedEngine(world, time.time() - 1e6)
    options: dict[str, Any] = {"directory": directory, "method": method, "engine": engine, "seed": 1, "timeout": timeout_s}
    with redirect_stdout(io.StringIO()):
        Shadho("sh task.sh", SPACE, name=directory.name, **options).run()
    return directory


def reading_s(directory: Path) -> tuple[float, float]:
    """Return the seconds that reading all trials takes, and reading that none is new."""
    begun_s = time.perf_counter()
    following = Following(directory)
    read_s = time.perf_counter()
    for _ in range(100):
        following.refresh()
    return read_s - begun_s, (time.perf_counter() - read_s) / 100


def drawing_s(chrome: Chrome, address: str) -> float:
    """Return the median of the seconds from the address to a study's first chart."""
    taken = []
    for _ in range(_ROUNDS):
        chrome.get("about:blank")
        begun_s = time.perf_counter()
        chrome.get(address)
        while not chrome.execute_script(_DRAWN):
            time.sleep(0.02)
        taken.append(time.perf_counter() - begun_s)
    return statistics.median(taken)


def main() -> int:
    """Print the table; return the exit status."""
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else _TRIALS
    with tempfile.TemporaryDirectory() as folder:
        few, many = played(Path(folder, "few"), MOST_SHOWN), played(Path(folder, "many"), trials)
        read_s, idle_s = reading_s(many)
        server = make_server("127.0.0.1", 0, application([few, many]), handler_class=_Silent)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser(Path(folder, "profile")) as chrome:
            address = f"http://127.0.0.1:{server.server_port}/dashboard/studies"
            few_s, many_s = drawing_s(chrome, f"{address}/0"), drawing_s(chrome, f"{address}/1")
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}")
    good = show(
        f"The dashboard with {trials:,} trials",
        [
            Ratio("read all of them, to the time that a page may take", read_s, _USABLE_S, "s", 1, at_most=True),
            Ratio("find that nothing is new, to reading all", idle_s, read_s, "s", 0.01, at_most=True),
            Ratio(f"draw the study, to drawing one of {MOST_SHOWN}", many_s, few_s, "s", 1.5, at_most=True),
            Ratio("draw the study, to the time that a page may take", many_s, _USABLE_S, "s", 1, at_most=True),
        ],
    )
    return 0 if good else 1


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
        """Say nothing."""


if __name__ == "__main__":
    sys.exit(main())
