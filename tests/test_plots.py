"""Figures of real searches: of any outcome, any space, any size; drawn without a warning, and without touching pyplot."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from parts import need

from shadho_like import Result, Shadho, rand, searcher, spaces
from shadho_like.engine.simulated import SimulatedEngine, World
from shadho_like.errors import OptionError
from shadho_like.plots.canvas import Scale, bounded, thinned
from shadho_like.plots.utilization import busy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("history", "parallel", "rungs", "utilization")
SPACE = {
    "optimizer": spaces.scope(exclusive=True, sgd={"lr": rand.loguniform(1e-5, 1), "$m$\n": rand.uniform(0, 1)}, adam={"lr": rand.loguniform(1e-5, 1)}),
    "units": rand.choice([[8, 8], [16], 4, None, True, "a $very$ long name of a thing that nobody would choose \x1b[2J"]),
    "layers": rand.randint(1, 4),
    "fixed": 3,
}


def simulated(directory: Path, trials: int, metric: Any = None, **keys: Any) -> Result:
    def value(point: dict[str, Any], length: int) -> float:
        return float(next(iter(point["optimizer"].values()))["lr"] + 1 / length)

    engine = SimulatedEngine(World(lambda point, length: (1 + point["layers"]) * length, metric or value, workers=8, crash=0.1, loss=0.05))
    opt = Shadho("-", SPACE, engine=engine, directory=directory, name="a $search$", timeout=None, max_tasks=trials, seed=1, **keys)
    return opt.run()


def drawn(result: Result) -> dict[str, Figure]:
    """Draw all figures, also to the end; any warning is an error."""
    figures: dict[str, Figure] = {name: getattr(result, f"plot_{name}")() for name in NAMES}
    for figure in figures.values():
        figure.savefig(io.BytesIO(), format="png", dpi=50)
        for axes in figure.axes:
            ends = [*axes.get_xlim(), *axes.get_ylim()]
            assert all(map(math.isfinite, ends))
    return figures


def words(figure: Figure) -> str:
    """Return all that is written in a figure."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


@pytest.fixture(autouse=True)
def _matplotlib() -> None:
    need("matplotlib")


def test_a_search_of_rungs_in_a_conditional_space(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"max_length": 27, "max_trials": 80, "num_rungs": 4, "divisor": 3, "max_concurrent_trials": 10}
    result = simulated(tmp_path / "e", 80, method=searcher.create("async_halving", SPACE, seed=1, **keys))
    figures = drawn(result)
    best = result.best_trial
    assert best is not None
    assert f"best loss {best.metric:.6g} (trial {best.number})" in words(figures["history"])
    assert f"{result.counts['FAILED']} trials failed" in words(figures["history"])
    assert "best of all validations so far" in words(figures["history"])
    for length in (1, 3, 9, 27):
        assert f"trained to {length}" in words(figures["history"])
    parallel = words(figures["parallel"])
    for name in ("optimizer.sgd.lr", "optimizer.adam.lr", r"optimizer.sgd.\$m\$ ", "units", "layers", "not set", "[16]"):
        assert name in parallel
    assert "fixed" not in parallel
    assert "\x1b" not in parallel
    assert "simulated" in words(figures["utilization"])
    assert "8 at most" in words(figures["utilization"])
    for figure in figures.values():
        assert r"a \$search\$: " in words(figure)


@pytest.mark.parametrize(
    ("trials", "metric"),
    [
        (1, lambda point, _: point["layers"]),
        (12, lambda *_: math.nan),
        (12, lambda *_: 0.5),
        (12, lambda point, _: -1e300 if point["layers"] == 1 else 1e300 * point["layers"] / 4),
        (12, lambda point, _: 1e-310 * point["layers"]),
        (60, lambda point, _: 1e30 if point["units"] is None else point["layers"]),
    ],
    ids=["one trial", "all failed", "all the same", "enormous", "tiny", "outliers"],
)
def test_any_outcome(tmp_path: Path, trials: int, metric: Any) -> None:
    drawn(simulated(tmp_path / "e", trials, metric))


def test_no_trial(tmp_path: Path) -> None:
    Shadho("true", {"x": rand.uniform(0, 1)}, directory=tmp_path / "e", timeout=1e-9, workers=1).run()
    figures = drawn(Result(tmp_path / "e"))
    assert "no trial has a metric yet" in words(figures["history"])
    assert "no trial has run yet" in words(figures["utilization"])


def test_many_trials_are_thinned_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadho_like.plots.history._MOST_POINTS", 300)
    result = simulated(tmp_path / "e", 1000, lambda point, _: point["layers"] + (point["units"] == 4))
    figures = drawn(result)
    assert " validations drawn" in words(figures["history"])
    size = io.BytesIO()
    figures["history"].savefig(size, format="svg")
    assert size.getvalue().count(b"<use ") < 750


def test_chosen_hyperparameters(tmp_path: Path) -> None:
    result = simulated(tmp_path / "e", 20)
    shown = words(result.plot_parallel(["layers", "fixed"]))
    assert "fixed" in shown
    assert "units" not in shown
    with pytest.raises(OptionError, match="no trial has a hyperparameter 'layer': did you mean 'layers'"):
        result.plot_parallel(["layer"])


def test_pyplot_is_left_alone_and_a_notebook_shows_the_figure(tmp_path: Path) -> None:
    simulated(tmp_path / "e", 5)
    code = "import sys; from pathlib import Path; from shadho_like import Result; figure = Result(Path(sys.argv[1])).plot_history()"
    code += "; print('matplotlib.pyplot' in sys.modules, figure._repr_png_()[:4])"
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path / "e")], capture_output=True, text=True, check=True)
    assert said.stdout == "False b'\\x89PNG'\n"


def test_what_ran_at_once() -> None:
    edges = np.linspace(0, 10, 6)
    assert busy([(0, 10), (2, 4), (3, 4)], edges) == pytest.approx([1, 2.5, 1, 1, 1])
    assert busy([(1, 2)], edges) == pytest.approx([0.5, 0, 0, 0, 0])


def test_a_driver_that_was_gone_ran_nothing(tmp_path: Path) -> None:
    """Attempts that a killed driver left end when it was last heard of, not when the next one finds them."""
    from shadho_like.plots.utilization import _spans

    spans = _spans([("a", 10.0, 20.0), ("a", 15.0, 500.0), ("b", 501.0, None)], [(30.0, 500.0)], 600.0)
    assert spans == {"a": [(10.0, 20.0), (15.0, 30.0)], "b": [(501.0, 600.0)]}


def test_scales() -> None:
    assert Scale.of(np.geomspace(1e-5, 1, 50)).logarithmic
    assert not Scale.of(np.linspace(1e-5, 1, 50)).logarithmic
    far = Scale.of(np.append(np.linspace(0, 1, 99), 1e9))
    assert (far.low, far.high, far.beyond) == (0, 1, 1)
    assert far.place(np.array([-5.0, 0.5, 1e9])) == pytest.approx([0, 0.5, 1])
    assert bounded([float("1e308")])[0] < 1e200


def test_thinning_keeps_what_is_to_be_kept() -> None:
    assert list(thinned(3, 10)) == [0, 1, 2]
    kept = thinned(1000, 10, [7, 999])
    assert {0, 7, 999} <= set(kept.tolist())
    assert len(kept) == 11
