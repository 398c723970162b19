"""`shadho experiment create` and `run`: a search from a configuration file, with a driver of its own, or one trial of it as a test."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shadho_like.cli.reference import IdOrDirectory
from shadho_like.cli.said import ended_by_interrupt, said_plainly
from shadho_like.errors import OptionError
from shadho_like.plain_text import harmless

if TYPE_CHECKING:
    from shadho_like.experiment_config import ExperimentConfig

_ENGINES = ("auto", "local", "workqueue")
_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("context_dir", type=_FOLDER, required=False)
@click.option("--config", "overrides", metavar="KEY=VALUE", multiple=True, help="Set a key of CONFIG, such as searcher.max_trials=20.")
@click.option("--include", "includes", type=_FOLDER, multiple=True, help="Send this file or folder too, beside what is in CONTEXT_DIR.")
@click.option("--engine", type=click.Choice(_ENGINES), help="Where trials run, whatever CONFIG says.")
@click.option("--directory", type=_FOLDER, help="Where everything is kept, by default experiments/NAME.")
@click.option("--paused", is_flag=True, help="Start no trial until shadho experiment activate.")
@click.option("--follow", is_flag=True, help="Show what the driver prints until the end, and exit as shadho experiment wait does.")
@click.option("--local", is_flag=True, help="With --test-mode: on this machine.")
@click.option("--test-mode", is_flag=True, help="With --local: one trial for one unit of length; no search.")
def create(
    config: Path,
    context_dir: Path | None,
    overrides: tuple[str, ...],
    includes: tuple[Path, ...],
    engine: str | None,
    directory: Path | None,
    *,
    paused: bool,
    follow: bool,
    local: bool,
    test_mode: bool,
) -> None:
    """Start the search that CONFIG describes, whose trials run in copies of CONTEXT_DIR, and leave it to a driver of its own.

    Both are kept in the experiment's directory: later changes of the files change nothing. The driver goes on when this command and its
    terminal are gone. Lines of .detignore and .shadhoignore in CONTEXT_DIR say what need not travel.

    Example: shadho experiment create experiment.yaml . --config searcher.max_trials=20 --follow

    Example: shadho experiment create --local --test-mode experiment.yaml .
    """
    with said_plainly(), ended_by_interrupt():
        if local != test_mode:
            other = "--test-mode, or give --engine local to run the search here" if local else "--local"
            message = f"{'--local' if local else '--test-mode'} is one half of a test on this machine: add {other}"
            raise OptionError(message)
        if test_mode and (paused or follow or directory is not None or engine is not None):
            raise OptionError("--local --test-mode starts no search: leave out --paused, --follow, --directory and --engine")
        checked = _checked(config, (*overrides, *([f"engine={engine}"] if engine else [])))
        _check_files(checked, context_dir, includes)
        if test_mode:
            sys.exit(_test(checked, context_dir, includes))
        sys.exit(_create(checked, config.stem, context_dir, includes, directory, paused=paused, follow=follow))


def _checked(config: Path, overrides: tuple[str, ...]) -> ExperimentConfig:
    from shadho_like.experiment_config import read_config
    from shadho_like.experiment_config.environment import keep_as_written
    from shadho_like.experiment_config.yaml_text import Document, read_yaml
    from shadho_like.overrides import overridden

    if not overrides:
        return read_config(config)
    try:
        document = read_yaml(config.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        document = Document()
    value = document.value
    keep_as_written(value, document.numbers)
    # What is wrong with the text is explained by whoever reads the file itself.
    sound = isinstance(value, dict) and not document.faults
    return read_config(overridden(value, overrides) if sound else config)


def _check_files(config: ExperimentConfig, context_dir: Path | None, includes: tuple[Path, ...]) -> None:
    """Refuse an entrypoint that names a file which is here and does not travel.

    Raises:
        OptionError: it does.
    """
    folders = [folder for folder in (context_dir, *(path.parent for path in includes)) if folder is not None]
    try:
        words = shlex.split(config.entrypoint or "")
    except ValueError:
        return
    if config.names_function:
        words = [words[0].partition(":")[0].replace(".", "/") + ".py"]
    # A word may be a program as long as no path is, which Path.is_file() raises for.
    for word in words:
        here = not word.startswith(("/", "-")) and os.path.isfile(word)
        if here and not any(os.path.isfile(folder / word) for folder in folders):
            message = f"entrypoint: {word} is here, but trials do not get it: give its folder as CONTEXT_DIR"
            raise OptionError(message)


def _create(
    config: ExperimentConfig,
    stem: str,
    context_dir: Path | None,
    includes: tuple[Path, ...],
    directory: Path | None,
    *,
    paused: bool,
    follow: bool,
) -> int:
    from shadho_like import created
    from shadho_like.cli.following import follow_driver
    from shadho_like.journal import JournalReader

    root, packed = created.create(config, name=stem, context=context_dir, includes=includes, directory=directory, paused=paused)
    shown = _relative(root)
    try:
        process = created.start(root)
        with JournalReader(root) as journal:
            experiment_id, name = journal.id, journal.config["name"]
    except BaseException:
        if not created.discard(root):
            with JournalReader(root) as journal:
                click.echo(f"experiment {journal.id} has begun, in {shown}: see shadho experiment describe {journal.id}", err=True)
        raise
    state = "is paused, and starts nothing until it is activated" if paused else "runs"
    click.echo(f"experiment {experiment_id} ({harmless(name)}) {state}; its context has {packed}")
    click.echo(f"everything of it is in {shown}")
    if follow:
        return follow_driver(root, process)
    for command in ("describe", "activate" if paused else "pause", "cancel"):
        click.echo(f"  shadho experiment {command} {experiment_id}")
    click.echo(f"its driver is process {process.pid}, which prints to {shown / 'driver.log'}; where it is killed, start it again:")
    click.echo(f"  shadho experiment run {experiment_id} --background")
    return 0


def _relative(root: Path) -> Path:
    return root.relative_to(Path.cwd()) if root.is_relative_to(Path.cwd()) else root


def _test(config: ExperimentConfig, context_dir: Path | None, includes: tuple[Path, ...]) -> int:
    from shadho_like.circle import go_round

    click.echo(f"configuration  ok: searches {config.searcher.metric} by {config.searcher.name}")
    for stage in go_round(config, context_dir, includes):
        word = {True: "ok", False: "FAILED", None: "remark"}[stage.passed]
        click.echo(f"{stage.name:14} {word}: {harmless(stage.said)}")
        if stage.passed is False:
            lines = stage.log.splitlines()
            click.echo("the attempt printed:" if lines else "the attempt printed nothing")
            for line in lines:
                click.echo(f"  {harmless(line)}")
            click.echo(f"error: the test failed at the stage {stage.name}: {harmless(stage.said)}", err=True)
            return 1
    click.echo("the test passed")
    return 0


@click.command()
@click.argument("experiment", type=IdOrDirectory())
@click.option("--background", is_flag=True, help="Leave it to a process that goes on when this command and its terminal are gone.")
def run(experiment: str, *, background: bool) -> None:
    """Be the driver of EXPERIMENT, which was created from a configuration: from where the last one left it, to the end.

    For a driver that was killed, with its machine or without; and for batch jobs and services that are to be the driver.

    Example: shadho experiment run experiments/digits --background
    """
    from shadho_like import created
    from shadho_like.known_experiments import find_experiment

    with said_plainly(), ended_by_interrupt():
        # Before its first driver a directory holds no experiment yet.
        directory = Path(experiment) if created.is_created(Path(experiment)) else find_experiment(experiment)
        search = created.search_in(directory)
        if background:
            process = created.start(directory)
            click.echo(f"process {process.pid} is its driver now, and prints to {_relative(directory.absolute()) / 'driver.log'}")
        else:
            search.run()
