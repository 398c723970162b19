"""A real browser, and a dashboard for it to look at."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromium import browser, missing
from parts import lack, need

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PATIENCE_S = 300.0


@contextmanager
def looking(profile: Path) -> Iterator[Chrome]:
    """Run a browser; skip or fail the test where there is none."""
    need("optuna_dashboard", "selenium")
    if reason := missing():
        lack(reason)
    with browser(profile) as chrome:
        chrome.set_script_timeout(PATIENCE_S)
        yield chrome


@contextmanager
def served(directories: Sequence[Path], environment: dict[str, str], *options: str) -> Iterator[str]:
    """Run `shadho dashboard`; give the address that it prints."""
    command = ["shadho", "dashboard", "--port", "0", *options, *map(str, directories)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        match = re.search(r"http://\S+", said)
        assert match, said
        yield match[0]
    finally:
        process.terminate()
        process.communicate()


def until(true: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, whatever the page does meanwhile; return it."""
    from selenium.common.exceptions import StaleElementReferenceException

    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            if found := true():
                return found
        except StaleElementReferenceException:
            pass
        assert time.monotonic() < give_up_s, f"never came: {what}"
        time.sleep(0.1)


def complaints(chrome: Chrome) -> list[Any]:
    """Return what the browser complained of: a script that failed, a policy that was broken, something that was not there."""
    found: list[Any] = [entry for entry in chrome.get_log("browser") if entry["level"] in {"WARNING", "SEVERE"}]  # type: ignore[no-untyped-call]
    return found
