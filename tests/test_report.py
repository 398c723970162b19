"""`shadho report` and what a notebook shows: whole pages without anything from outside, whatever trials and users wrote."""

from __future__ import annotations

import html.parser
import subprocess
import sys
from pathlib import Path

import pytest
from command import shadho
from parts import need

from shadho_like import Result, Shadho, rand
from shadho_like.html_table import table, trials_table

EVIL = "<script>alert('x')</script>\x1b[2J & $y$"
DRIVER = """
import sys
from shadho_like import Shadho, rand, spaces

def objective(params):
    [(name, values)] = params["net"].items()
    if values["x"] < 0.2:
        print("--password hunter2")
        raise ValueError("<img src=x onerror=alert(1)> token=hunter2")
    return {"loss": values["x"], "note": "<b>well</b>"}

evil = %r
space = {"net": spaces.scope(exclusive=True, a={"x": rand.uniform(0, 1), evil: 3}, b={"x": rand.uniform(0, 1)}), "kind": rand.choice([evil, "plain"])}
Shadho(objective, space, name="a search", directory=sys.argv[1], workers=0, max_tasks=40, seed=5).run()
"""


class Reader(html.parser.HTMLParser):
    """Sees that elements are closed, and what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.stack == []
    return reader


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "e"
    command = [sys.executable, "-c", DRIVER % EVIL, str(folder), "--api-key=hunter2"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_the_page(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fonts: str) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", fonts)
    said = shadho("report", directory, "-o", tmp_path / "report.html")
    assert (said.returncode, said.stdout, said.stderr) == (0, f"{tmp_path}/report.html\n", "")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = read(text)
    result = Result(directory)
    assert result.best_trial is not None
    assert f"The best: trial {result.best_trial.number}" in page.text
    assert "ValueError: <img src=x onerror=alert(1)> token=***" in page.text
    assert "hunter2" not in text
    assert "--api-key=***" in page.text
    assert "<script>alert" in page.text
    assert "\\u001b[2J" in page.text
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "svg"}
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 3
    assert all(str(image["src"]).startswith("data:image/png;base64,iVBORw0KGgo") for image in images)
    outside = [value for _, attributes in page.tags for name, value in attributes.items() if name in {"src", "href", "srcset", "style"}]
    assert all(str(value).startswith(("data:", "text-align")) for value in outside)


def test_without_matplotlib_there_are_no_figures(directory: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.figure'] = None; from shadho_like.cli.main import main; main()"
    command = [sys.executable, "-c", code, "report", str(directory), "-o", str(tmp_path / "report.html")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stderr == "the report has no figures: plots need matplotlib: pip install 'shadho_like[plots]'\n"
    page = read((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "The best 20 trials" in page.text


def test_a_search_without_a_trial(tmp_path: Path) -> None:
    need("matplotlib")
    Shadho("true", {"x": rand.uniform(0, 1)}, directory=tmp_path / "e", timeout=1e-9, workers=1).run()
    assert shadho("report", tmp_path / "e", "-o", tmp_path / "r.html").returncode == 0
    assert "none" in read((tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert "pending" in Result(tmp_path / "e")._repr_html_()


def test_what_cannot_be(directory: Path, tmp_path: Path) -> None:
    said = shadho("report", directory, "-o", tmp_path / "no" / "report.html")
    assert said.returncode == 1
    assert said.stderr == f"error: the report cannot be written to {tmp_path}/no/report.html: No such file or directory\n"
    said = shadho("report", tmp_path)
    assert said.returncode == 2
    assert said.stderr == f"error: there is no experiment in {tmp_path}: it has no journal.sqlite\n"


def test_a_notebook_shows_the_best_trials(directory: Path) -> None:
    result = Result(directory)
    text = result._repr_html_()
    page = read(text)
    assert "<script" not in text
    assert sum(tag == "tr" for tag, _ in page.tags) == 21
    assert "net.a.x" in page.text
    assert f"best loss {result.best_value:.6g}" in page.text


def test_tables_are_bounded() -> None:
    text = table(["a", "<b>"], [[1, "x" * 1000], [None, [1, True]]])
    page = read(text)
    assert "x" * 79 + "…" in page.text
    assert "<b>" in page.text
    assert len(text) < 500
    assert trials_table([], "loss").count("<tr>") == 1


def test_many_hyperparameters_are_cut(tmp_path: Path) -> None:
    space = {f"h{number:03d}": rand.uniform(0, 1) for number in range(40)}
    Shadho(lambda params: params["h001"], space, directory=tmp_path / "e", workers=0, max_tasks=2).run()
    assert "and 25 more" in Result(tmp_path / "e")._repr_html_()
