"""All tests run side by side, as one pytest that ran them all would tell it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts/all_tests.py"
GOOD = "def test_good(): pass\n"
LOUD = "import atexit\natexit.register(print, 'the last word')\n"
SKIPPED = "import pytest\n@pytest.mark.skip\ndef test_skipped(): pass\n"
TWO_BAD = "def test_bad(): print('what it said'); assert 0\ndef test_worse(): assert 0\n"
SETUP = "import pytest\n@pytest.fixture\ndef broken(): assert 0\ndef test_set_up(broken): pass\n"
DIES = "import os\ndef test_dies(): os._exit({})\n"


def run(folder: Path, tests: dict[str, str], checks: str = "echo checked") -> tuple[int, str, list[str]]:
    """Run tests by their files; return the status, all that was said and its last lines: those that failed, and the closing one."""
    for name, text in {"setup.cfg": "[tool:pytest]\n", "scripts/check.sh": checks, **tests}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    plain = {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([sys.executable, SCRIPT], cwd=folder, env=plain, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    last = next(number for number in range(len(lines) - 1, -1, -1) if not lines[number - 1].startswith(("FAILED", "ERROR")))
    return done.returncode, done.stdout, [re.sub(r"=+|in [\d.]+s( \(.+\))?", "", line).strip() for line in lines[last:]]


def test_everything_is_counted_once(tmp_path: Path) -> None:
    status, said, last = run(
        tmp_path,
        {"tests/test_top.py": GOOD, "tests/a/test_a.py": LOUD + GOOD, "tests/a/deep/test_deep.py": GOOD, "tests/b/test_b.py": GOOD + SKIPPED},
    )
    assert (status, last) == (0, ["4 passed, 1 skipped"])
    assert "\nchecked\n" in said


def test_what_failed_is_named_and_shown(tmp_path: Path) -> None:
    status, said, last = run(tmp_path, {"tests/a/test_a.py": TWO_BAD, "tests/b/test_b.py": SETUP, "tests/c/test_c.py": GOOD})
    named = ["ERROR tests/b/test_b.py::test_set_up - assert 0", *(f"FAILED tests/a/test_a.py::test_{name} - assert 0" for name in ("bad", "worse"))]
    assert (status, sorted(last[:-1]), last[-1]) == (1, named, "2 failed, 1 passed, 1 error")
    assert "what it said" in said


def test_a_folder_of_many_files_is_more_than_one_part(tmp_path: Path) -> None:
    status, said, last = run(tmp_path, {f"tests/a/test_{number}.py": GOOD for number in range(19)})
    assert (status, last) == (0, ["19 passed"])
    assert said.count("\n== tests/a (3 of 3)\n") == 1


@pytest.mark.parametrize("status", [0, 7])
def test_a_pytest_that_dies_is_a_failure(tmp_path: Path, status: int) -> None:
    found = run(tmp_path, {"tests/a/test_a.py": DIES.format(status), "tests/b/test_b.py": GOOD})
    assert (found[0], found[2]) == (1, [f"FAILED tests/a: it ended with {status}", "1 passed"])
    assert "\ntests/a/test_a.py " in found[1]


@pytest.mark.parametrize(
    ("tests", "last"),
    [
        ({"tests/a/test_a.py": "import nothing_of_this_name\n", "tests/b/test_b.py": GOOD}, ["ERROR tests/a/test_a.py", "1 passed, 1 error"]),
        ({"tests/a/test_a.py": "", "tests/b/test_b.py": GOOD}, ["FAILED tests/a: it ended with 5", "1 passed"]),
        ({}, ["no tests ran"]),
    ],
)
def test_tests_that_cannot_be_collected_are_a_failure(tmp_path: Path, tests: dict[str, str], last: list[str]) -> None:
    assert run(tmp_path, tests)[::2] == (1, last)


def test_checks_that_fail_are_a_failure(tmp_path: Path) -> None:
    found = run(tmp_path, {"tests/a/test_a.py": GOOD}, "exit 3")
    assert (found[0], found[2]) == (1, ["FAILED scripts/check.sh: it ended with 3", "1 passed"])
