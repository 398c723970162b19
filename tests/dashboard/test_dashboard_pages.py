"""The dashboard in a real browser: our page, optuna-dashboard's over the journals, and nothing that trials print is ever run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e.processes import running
from e2e.processes import until as until_true
from played_experiments import empty, play
from served import complaints, looking, served, until

from shadho_like import requests
from shadho_like.errors import JournalError
from shadho_like.journal import JournalReader
from shadho_like.paths import ExperimentPaths
from shadho_like.phase import Phase

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

MARKUP = "<script>document.title = 'run'</script>"
DRIVER = f"""
from shadho_like import Shadho, rand, searcher
space = {{"x": rand.uniform(0, 1), "kind": [{MARKUP!r}]}}
method = searcher.create("random", space, seed=3, max_trials=50, max_concurrent_trials=1)
opt = Shadho("sh task.sh", space, name={MARKUP!r}, directory="search", method=method, timeout=None, workers=1)
opt.add_input_file("task.sh")
opt.run()
"""
# The first trial fails, the second waits for the end of the test.
TASK = f"""
printf '%s\\n' "{MARKUP}"
test -e $GATE && exec sleep 600
touch $GATE
printf '%s\\n' "<img src=x onerror=alert(1)>"
exit 3
"""
# Keeps the answers back whose addresses match, until they are let go.
HOLD = """
const which = new RegExp(arguments[0]), really = window.really ??= window.fetch, waiting = [];
window.held = [];
window.fetch = async (path, options) => {
  const answer = await really(path, options);
  const body = await answer.clone().arrayBuffer();
  if (which.test(path) && window.held) await new Promise((go) => { held.push(body); waiting.push(go); });
  return answer;
};
window.letGo = async () => { window.held = null; waiting.forEach((go) => go()); await really("/shadho/experiments"); };
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with looking(tmp_path_factory.mktemp("profile")) as chrome:
        yield chrome


@pytest.fixture
def chrome(started: Chrome) -> Chrome:
    """The browser with an empty page and nothing to complain of."""
    started.get("about:blank")
    complaints(started)
    return started


def text(chrome: Chrome, name: str) -> str:
    return str(chrome.find_element("id", name).text)


def press(chrome: Chrome, label: str, within: str) -> None:
    """Press a button, once it is there and can be pressed."""
    path = f"//*[@id='{within}']//button[text()='{label}' and not(@disabled)]"

    def pressed() -> bool:
        buttons = chrome.find_elements("xpath", path)
        chrome.execute_script("if (arguments.length) arguments[0].click()", *buttons[:1])
        return bool(buttons)

    until(pressed, f"the button {label}")


def follow(chrome: Chrome, label: str) -> None:
    """Click on a link, once it is there."""

    def clicked() -> bool:
        links = chrome.find_elements("link text", label)
        for link in links[:1]:
            link.click()
        return bool(links)

    until(clicked, f"the link {label}")


def release(chrome: Chrome) -> None:
    """Let the answers that are held come, and the page do with them what it does."""
    chrome.execute_async_script("const done = arguments[0]; letGo().then(() => setTimeout(done))")


def confirm(chrome: Chrome) -> str:
    """Say yes to what the page asks; return that."""
    from selenium.common.exceptions import NoAlertPresentException

    def agreed() -> str:
        try:
            asked = str(chrome.switch_to.alert.text)
            chrome.switch_to.alert.accept()
        except NoAlertPresentException:
            return ""
        return asked

    return str(until(agreed, "the question"))


def phase(directory: Path) -> Phase:
    with JournalReader(directory) as journal:
        return journal.phase


def test_experiments_side_by_side(chrome: Chrome, tmp_path: Path, environment: dict[str, str]) -> None:
    directories = [empty(tmp_path / "empty"), play(tmp_path / "digits", 40).directory]
    with served(directories, environment) as address:
        chrome.get(address)
        until(lambda: "Nothing runs." in text(chrome, "running"), "the page")
        assert text(chrome, "name") == "empty"
        assert text(chrome, "machines") == "No machine has run anything yet."
        follow(chrome, "digits")
        until(lambda: text(chrome, "name") == "digits", "the other experiment")
        assert text(chrome, "phase") == "completed"
        # Drawn again every few seconds, maybe between two questions.
        until(lambda: [row.text.split()[0] for row in chrome.find_elements("css selector", "#rungs tbody tr")] == ["1", "3", "9"], "the rungs")
        assert "exited with status 1" in text(chrome, "failures")
        chrome.find_element("id", "number").send_keys("7")
        press(chrome, "Show", "find")
        until(lambda: "hyperparameters" in text(chrome, "trial"), "the trial")
        assert complaints(chrome) == []
        (tmp_path / "digits/journal.sqlite").unlink()
        until(lambda: "there is no experiment" in text(chrome, "experiments"), "the fault of one of them")


def test_an_answer_that_comes_late_is_not_taken_for_another_experiments(chrome: Chrome, tmp_path: Path, environment: dict[str, str]) -> None:
    directories = [empty(tmp_path / "first"), play(tmp_path / "digits", 10, timeout=300.0).directory]
    with served(directories, environment) as address:
        chrome.get(address)
        until(lambda: text(chrome, "name") == "empty", "the page")
        chrome.execute_script(HOLD, r"/experiments/1(/trials/\d+)?$")
        follow(chrome, "digits")
        until(lambda: chrome.execute_script("return held.length"), "the question")
        # The other one is chosen, and not yet drawn: the buttons are of the one that can be seen.
        assert text(chrome, "name") == "empty"
        press(chrome, "Cancel", "actions")
        assert confirm(chrome) == "Really cancel empty?"
        until(lambda: requests.waiting(ExperimentPaths(directories[0]).requests), "the request")
        assert not requests.waiting(ExperimentPaths(directories[1]).requests)
        follow(chrome, "empty")
        until(lambda: text(chrome, "said") == "Waiting for the driver: cancel.", "the first one again")
        release(chrome)
        assert text(chrome, "name") == "empty"
        follow(chrome, "digits")
        until(lambda: text(chrome, "name") == "digits", "the other experiment")
        chrome.execute_script(HOLD, r"/trials/\d+$")
        chrome.find_element("id", "number").send_keys("7")
        press(chrome, "Show", "find")
        until(lambda: chrome.execute_script("return held.length"), "the question about a trial")
        follow(chrome, "empty")
        until(lambda: text(chrome, "name") == "empty", "the first one")
        release(chrome)
        assert text(chrome, "trial") == ""
        assert complaints(chrome) == []


def test_the_charts(chrome: Chrome, tmp_path: Path, environment: dict[str, str]) -> None:
    directory = play(tmp_path / "digits", 40).directory
    with served([directory], environment) as address:
        chrome.get(f"{address}dashboard/studies/0")
        until(lambda: chrome.find_elements("css selector", ".scatterlayer .point"), "a chart")
        until(lambda: "digits (id=0)" in text(chrome, "dashboard"), "the name")
        chrome.get(f"{address}dashboard/studies/0/trials?numbers=3")
        until(lambda: "model.net.units" in chrome.page_source or "model.forest.depth" in chrome.page_source, "a trial's parameters")
        follow(chrome, "Workers, logs, pause")
        until(lambda: text(chrome, "name") == "digits", "our page")
        assert complaints(chrome) == []


@pytest.mark.parametrize("size", [1001])
def test_a_large_study_is_drawn_in_part(chrome: Chrome, tmp_path: Path, environment: dict[str, str], size: int) -> None:
    directory = play(tmp_path / "large", size, method="random").directory
    with served([directory], environment) as address:
        chrome.get(f"{address}dashboard/studies/0")
        until(lambda: chrome.find_elements("css selector", ".scatterlayer .point"), "a chart")
        until(lambda: f"large: 500 of {size:,} trials, 50 of " in text(chrome, "dashboard"), "what it is a part of")


def test_a_running_search_with_markup_for_a_name(chrome: Chrome, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "task.sh").write_text(TASK)
    directory = tmp_path / "search"
    with running([sys.executable, "driver.py"], tmp_path, {**environment, "GATE": str(tmp_path / "gate")}) as driver:

        def runs() -> bool:
            try:
                with JournalReader(directory) as journal:
                    return journal.counts().get("RUNNING") == 1 and journal.counts().get("FAILED") == 1
            except JournalError:
                return False

        until_true(runs, "one has failed and one runs", driver)
        with served([directory], environment) as address:
            chrome.get(address)
            until(lambda: MARKUP in text(chrome, "name"), "the name as text")
            assert MARKUP in text(chrome, "experiments")
            until(lambda: "trial 0" in text(chrome, "failures"), "the failure")
            press(chrome, "Log", "failures")
            until(lambda: text(chrome, "log") == f"{MARKUP}\n<img src=x onerror=alert(1)>", "the log as text")
            press(chrome, "Log", "running")
            until(lambda: text(chrome, "log") == MARKUP, "the log of what runs")
            assert MARKUP in text(chrome, "trial")
            assert not chrome.find_elements("css selector", "#chosen script, #chosen img, #chosen b")
            press(chrome, "Pause", "actions")
            until_true(lambda: phase(directory) is Phase.PAUSED, "the pause", driver)
            until(lambda: text(chrome, "phase") == "paused", "the page to show it")
            press(chrome, "Activate", "actions")
            until_true(lambda: phase(directory) is Phase.ACTIVE, "the end of the pause", driver)
            press(chrome, "Kill", "running")
            confirm(chrome)
            until(lambda: "1 canceled" in text(chrome, "summary"), "the trial's end")
            chrome.get(f"{address}dashboard/studies/0")
            until(lambda: MARKUP in str(chrome.find_element("id", "dashboard").text), "the charts")
            assert chrome.title != "run"
            chrome.get(address)
            press(chrome, "Cancel", "actions")
            confirm(chrome)
            driver.wait()
            until(lambda: text(chrome, "phase") == "canceled", "the end")
            assert complaints(chrome) == []


def test_the_token(chrome: Chrome, tmp_path: Path, environment: dict[str, str]) -> None:
    with served([empty(tmp_path / "empty")], environment, "--host", "0.0.0.0") as address:
        token = address.partition("token=")[2]
        here = address.partition("//")[2].partition("/")[0].rpartition(":")[2]
        local = f"http://127.0.0.1:{here}/"
        chrome.get(local)
        assert "open the address that shadho dashboard printed" in chrome.page_source
        chrome.get(f"{local}?token={token}")
        until(lambda: text(chrome, "name") == "empty", "the page")
        assert chrome.current_url.startswith(local)
        assert "token" not in chrome.current_url
        press(chrome, "Cancel", "actions")
        confirm(chrome)
        until(lambda: text(chrome, "said") == "Waiting for the driver: cancel.", "the request")
