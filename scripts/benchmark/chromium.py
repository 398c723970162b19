"""A Chromium without a screen, for the dashboard's tests and its benchmark."""

from __future__ import annotations

import random
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# The last four keep it from looking for a network that there may not be.
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--window-size=1300,1100"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def missing() -> str:
    """Return what to install where there is no Chromium; empty where there is one."""
    there = shutil.which("chromium") and shutil.which("chromedriver")
    return "" if there else "Chromium is missing: apt-get install chromium chromium-driver"


@contextmanager
def browser(profile: Path) -> Iterator[Chrome]:
    """Run it, with a folder of its own for what it keeps."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver"), port=_free_port()))
    try:
        yield chrome
    finally:
        chrome.quit()


def _free_port() -> int:
    """Return a port that nobody listens on now; it is not one that the system deals out, which another process may get meanwhile."""
    while True:
        port = random.randrange(10_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
