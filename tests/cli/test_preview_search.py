"""`shadho preview-search`: what a search would cost, and what it says to a file that is none."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import shadho

EXAMPLE = Path(__file__).parents[2] / "examples/asha_digits/experiment.yaml"


def preview(folder: Path, config: Any, *options: str) -> subprocess.CompletedProcess[str]:
    path = folder / "search.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return shadho("preview-search", path, *options)


def test_the_preview_of_a_search(tmp_path: Path) -> None:
    wanted = {"name": "async_halving", "metric": "loss", "max_length": {"epochs": 16}, "max_trials": 32, "num_rungs": 3}
    config = {"hyperparameters": {"lr": {"type": "log", "minval": -4, "maxval": -1}}, "searcher": wanted}
    shown = preview(tmp_path, config, "--workers", "4", "--seconds", "90")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("async_halving: 32 trials\n")
    value = json.loads(preview(tmp_path, config, "--workers", "4", "--seconds", "90", "--json").stdout)
    trials = {int(length): count for length, count in value["trials"].items()}
    assert trials.keys() == {1, 4, 16}
    assert sum(trials.values()) == 32
    assert value["work_s"] == 90 * value["length"] == 90 * sum(length * count for length, count in trials.items())
    assert value["work_s"] / 4 <= value["took_s"]


def test_the_preview_of_the_example() -> None:
    shown = shadho("preview-search", EXAMPLE, "--workers", "8", "--seconds", "30")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("async_halving: 30 trials\n")


def test_a_preview_without_an_end_says_what_to_give(tmp_path: Path) -> None:
    config = {"searcher": {"name": "random", "metric": "loss"}}
    refused = preview(tmp_path, config)
    assert refused.returncode == 2
    assert "random has no end of its own: give searcher.max_trials there, or --max-trials here" in refused.stderr
    assert preview(tmp_path, config, "--max-trials", "5").stdout.startswith("random: 5 trials\n")


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "\x00", "searcher: &a {name: *a}"])
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    refused = preview(tmp_path, text)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert "Traceback" not in refused.stderr
