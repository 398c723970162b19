"""The documentation's own pages, those in folders: each block is run as it stands, page by page, and the site builds from all of them.

A Python or YAML block with a title is a file of that name; a shell block is a script, run in the folder where these files are. Two
shell blocks that follow each other, the first of them with a title, are two terminals. On the pages of the search methods the driver's
trials are simulated. The pages beside the README are test_readme's.
"""

from __future__ import annotations

import inspect
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from parts import need

import shadho_like
from shadho_like import Result, Shadho, rand, spaces
from shadho_like.cli.main import cli
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.experiment_config import read_config
from shadho_like.searcher import METHODS, own_keys

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*/*.md"))
OPTUNAS = {"cmaes": ["optuna", "cmaes"], "gp": ["optuna", "torch", "scipy"], "nsgaii": ["optuna"], "tpe": ["optuna"]}
NEEDED = {"coming/optuna": ["optuna"], "coming/runner": ["pydantic"]} | {f"methods/{name}": needed for name, needed in OPTUNAS.items()}
"""What pages need besides the package."""
LARGEST_PICTURE = 30_000


@dataclass(frozen=True)
class Block:
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r'^```(\S*)(?: title="([^"\n]*)")?\n(.*?)^```$', page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(*each) for each in found]


def called(page: Path) -> str:
    return str(page.relative_to(DOCS))


Environment = dict[str, str]
WITH_BLOCKS = [page for page in PAGES if blocks(page)]


@dataclass
class Reader:
    """Does what a page says, in a folder."""

    folder: Path
    environment: Environment
    simulated: bool

    def read(self, page: Path) -> None:
        other: list[subprocess.Popen[bytes]] = []
        try:
            for block in blocks(page):
                if block.language == "sh" and block.title and not other:
                    other = [self._start(line) for line in block.text.splitlines()]
                    continue
                self._do(block)
                assert [process.wait() for process in other] == [0] * len(other)
                other = []
        finally:
            for process in other:
                process.kill()
                process.wait()

    def _do(self, block: Block) -> None:
        if block.title and block.language != "sh":
            (self.folder / block.title).write_text(block.text, encoding="utf-8")
        if block.language == "sh":
            self._run(block.text)
        elif block.language == "yaml":
            (self.folder / "checked.yaml").write_text(block.text, encoding="utf-8")
            read_config(self.folder / "checked.yaml")
        elif not block.title and self.simulated:
            exec(block.text, {"__name__": "__main__"})
        elif not block.title:
            (self.folder / "snippet.py").write_text(block.text, encoding="utf-8")
            self._run("python snippet.py")

    def _run(self, lines: str) -> None:
        # What a page kills may have ended on a slow machine; else it is gone when the next command begins, as it is for a person.
        shell = ["bash", "-ec", f'kill() {{ command kill "$@" || :; wait; }}\n{lines}']
        done = subprocess.run(shell, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{lines}\n{done.stdout}{done.stderr}"

    def _start(self, line: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have drivers simulate their trials, unless they say where they run."""

    def metric(hparams: dict[str, Any], length: int) -> float:
        return float(hparams["width"] < 61) if "width" in hparams else sum(map(float, hparams.values())) + 1 / length

    def make(*given: Any, **options: Any) -> Shadho:
        world = World(lambda _, length: 60.0 * length, metric, workers=8, loss=0.02)
        return Shadho(*given, **{"engine": SimulatedEngine(world), **options})

    monkeypatch.setattr(shadho_like, "Shadho", make)


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=called)
def test_a_page_does_what_it_says(
    page: Path, tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    is_method = page.parent.name == "methods"
    need(*NEEDED.get(called(page).removesuffix(".md"), ()))
    if any(block.language == "sh" and "wq_worker" in block.text for block in blocks(page)):
        request.getfixturevalue("work_queue_installed")
    folder = tmp_path / "reader"
    folder.mkdir()
    if is_method:
        request.getfixturevalue("simulated")
        (folder / "train.py").touch()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("SHADHO_HOME", environment["SHADHO_HOME"])
    Reader(folder, environment, is_method).read(page)


def test_what_a_block_may_be() -> None:
    for page in PAGES:
        assert {block.language for block in blocks(page)} <= {"sh", "python", "yaml"}, f"{page}: a block that no test knows"
    assert {page.stem for page in (DOCS / "methods").glob("*.md")} == {*METHODS, "index", "custom"}


def cells() -> Iterator[tuple[str, str]]:
    """Yield what is set as code on all pages, with the page."""
    for page in [*DOCS.glob("*.md"), *PAGES]:
        plain = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", plain):
            yield called(page), code


def test_the_commands_that_pages_name_exist() -> None:
    for page, code in cells():
        if not code.startswith("shadho "):
            continue
        command: click.Command = cli
        words = code.split()[1:]
        while words and isinstance(command, click.Group) and not words[0].endswith("..."):
            name = words.pop(0)
            assert name in command.commands, f"{page}: {code}"
            command = command.commands[name]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= options, f"{page}: {code}"


OURS: dict[str, Callable[[str], bool]] = {
    r"rand\.(\w+)": lambda name: hasattr(rand, name),
    r"spaces\.(\w+)": lambda name: hasattr(spaces, name),
    r"result\.(\w+)": lambda name: name in vars(Result) or name in {"best_trial", "counts"},
    r"opt\.(\w+)": lambda name: hasattr(Shadho, name) or name in {"callbacks", "config"},
    r'method="(\w+)"': lambda name: name in METHODS,
    r"^(\w+)=(?!\()": lambda name: name in known_options(),
}
"""What our side of a table may name, and whether there is such a thing."""


def known_options() -> set[str]:
    runner = {"fresh", "workqueue", "simultaneous_jobs_per_gpu", "max_gpus"}
    return {*inspect.signature(Shadho).parameters, *runner, *(key for method in METHODS for key in own_keys(method))}


def ours() -> Iterator[tuple[str, str]]:
    for page in sorted((DOCS / "coming").glob("*.md")):
        for cell in re.findall(r"^\| .* \| (.*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE):
            for code in re.findall(r"`([^`]+)`", cell):
                yield called(page), code


def test_what_others_are_told_that_we_have_exists() -> None:
    found = 0
    for page, code in ours():
        if code.startswith("from shadho_like"):
            exec(code, {})
            found += 1
        for pattern, exists in OURS.items():
            for name in re.findall(pattern, code):
                assert exists(name), f"{page}: {code}"
                found += 1
    assert found > 40


def test_the_pictures_are_those_of_the_script() -> None:
    from pictures import PICTURES

    for name, draw in PICTURES.items():
        kept = DOCS / f"methods/{name}.svg"
        assert kept.stat().st_size < LARGEST_PICTURE
        # Another Optuna may choose other points.
        if name not in OPTUNAS:
            assert kept.read_text(encoding="utf-8") == draw(), f"python scripts/docs/pictures.py {name}"


def test_the_site_builds_and_needs_nothing_from_elsewhere(tmp_path: Path, environment: Environment) -> None:
    need("mkdocs", "material", "mkdocstrings_handlers")
    site = tmp_path / "site"
    command = ["mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    quiet = environment | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in [*DOCS.glob("*.md"), *PAGES]:
        assert (site / page.relative_to(DOCS)).with_suffix(".html").exists(), f"{page} is on no page of the site"
    for path in (*site.rglob("*.html"), *site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        elsewhere = re.findall(r"""<(?:script|img|iframe)[^>]*src="https?:[^>]*>|<link[^>]*href="https?:[^>]*>|url\(["']?https?:[^)]*\)""", text)
        assert elsewhere == [], path
    words = (site / "reference/commands.html").read_text(encoding="utf-8")
    assert "shadho experiment create" in words
    assert "reproducibility" in (site / "reference/yaml.html").read_text(encoding="utf-8")
