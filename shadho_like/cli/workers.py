"""`shadho workers`: the machines of a search, through a batch system's queue."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from shadho_like.batch import SYSTEMS
from shadho_like.cli.said import said_plainly
from shadho_like.errors import OptionError

_SEARCH = click.argument("name")


@click.group("workers")
def worker_commands() -> None:
    """Put workers into a cluster's queue, see them, and take them out."""


@worker_commands.command()
@click.option("--config", type=click.Path(path_type=Path), help="An experiment's YAML: its slurm or pbs section, and what its trials need.")
@click.option("--batch", "system_name", type=click.Choice(list(SYSTEMS)), help="The batch system.  [default: the config's]")
@click.option("--name", "search", help="The driver's config.workqueue.name.  [default: the config's name]")
@click.option("-n", "--count", type=click.IntRange(min=1), help="How many workers.  [default: the config's, else 1]")
@click.option("--gpus", type=click.IntRange(min=0), help="GPUs of each worker.  [default: the config's, else 0]")
@click.option("--cores", type=click.IntRange(min=1), help="Processor cores of each worker.  [default: the config's, else 1]")
@click.option("--memory", help="Memory of each worker, such as 16G.  [default: the queue's]")
@click.option("--time", "time_limit", help="How long each worker may stay: minutes, 4:00:00 or 2-12.  [default: the queue's]")
@click.option("--drain-grace", type=click.IntRange(min=1), help="Seconds that trials have to end before the time is over.  [default: 60]")
@click.option("--worker-option", "worker_options", multiple=True, help="A word for wq_worker, such as --jobs-per-gpu=2; may be repeated.")
@click.option("--wq-worker", "worker", help="The path of wq_worker where it runs.  [default: this environment's]")
@click.option("--dry-run", is_flag=True, help="Print the script, and submit nothing.")
@click.argument("batch_options", nargs=-1, metavar="[-- BATCH OPTIONS]")
def submit(
    config: Path | None,
    system_name: str | None,
    search: str | None,
    count: int | None,
    gpus: int | None,
    cores: int | None,
    memory: str | None,
    time_limit: str | None,
    drain_grace: int | None,
    worker_options: tuple[str, ...],
    worker: str | None,
    *,
    dry_run: bool,
    batch_options: tuple[str, ...],
) -> None:
    """Put workers for the search NAME into the queue, and print their ids. What follows `--` goes into the script.

    Example: shadho workers submit --batch slurm --name digits -n 10 --gpus 1 --cores 8 --time 4:00:00 -- --partition=gpu

    Example: shadho workers submit --config asha.yaml
    """
    from shadho_like.batch import record, workers
    from shadho_like.batch.base import GRACE_S, WorkerJob, read_clock, read_memory
    from shadho_like.cli.wanted_workers import wanted_of
    from shadho_like.paths import shadho_home

    with said_plainly():
        wanted = wanted_of(config, system_name, search)
        system, search, kind = workers.system_of(wanted.system), wanted.search, wanted.kind
        job = WorkerJob(
            search=search,
            count=count or kind.workers,
            worker=worker or _wq_worker(),
            home=str(shadho_home().absolute()),
            logs=str(record.folder(search).absolute() / "logs"),
            gpus=kind.gpus if gpus is None else gpus,
            cores=cores or kind.cores,
            memory_mb=read_memory(memory) if memory else kind.memory_mb,
            time_s=read_clock(time_limit) if time_limit else kind.time_s,
            drain_grace_s=drain_grace or GRACE_S,
            batch_options=(*kind.options, *batch_options),
            gpu_type=kind.gpu_type,
            worker_options=worker_options,
        )
        if dry_run:
            click.echo(system.script(job), nl=False)
            return
        made = workers.submit(system, job)
        click.echo(f"{made.script} prints to {job.logs}", err=True)
        click.echo("\n".join(made.ids))


@worker_commands.command()
@_SEARCH
def status(name: str) -> None:
    """Print where the submitted workers of the search NAME are.

    Example: shadho workers status digits
    """
    from shadho_like.batch import workers

    with said_plainly():
        there = workers.found(name)
        click.echo(f"{name}: {workers.summary([place for each in there for place in each.places.values()])}")
        for each in there:
            for worker, place in each.places.items():
                click.echo(f"{each.submission.system} {worker}  {place.value}")


@worker_commands.command()
@_SEARCH
@click.argument("count", type=click.IntRange(min=0))
def scale(name: str, count: int) -> None:
    """Have COUNT workers for the search NAME: submit more like the last ones, or drain some, those that wait first.

    Example: shadho workers scale digits 20
    """
    from shadho_like.batch import workers

    with said_plainly():
        new, drained = workers.scale(name, count)
        said = [f"submitted {' '.join(new)}"] if new else [f"drained {' '.join(drained)}"] if drained else []
        click.echo("\n".join(said) or f"{name} has {count} already")


@worker_commands.command()
@_SEARCH
def drain(name: str) -> None:
    """Take the workers of the search NAME out of the queue; those that run let their trials take a checkpoint, and end.

    Example: shadho workers drain digits
    """
    from shadho_like.batch import workers

    with said_plainly():
        there = workers.drain(name)
        click.echo(f"{name}: {workers.summary([place for each in there for place in each.places.values()])}; told to end")


@worker_commands.command()
@click.argument("name")
@click.option("--host", help="Where to connect, if not where the driver says.")
def doctor(name: str, host: str | None) -> None:
    """Find out why no worker connects to the search NAME: run it where a worker is to run.

    Example: shadho workers doctor digits
    """
    from shadho_like.doctor import examine

    with said_plainly():
        worst = 0
        for check in examine(name, host):
            click.echo(f"{'ok  ' if check.good else 'BAD '} {check.what}")
            if not check.good:
                click.echo(f"     {check.remedy}")
                worst = 1
    sys.exit(worst)


def _wq_worker() -> str:
    """Return the path of this environment's command.

    Raises:
        OptionError: it is not there.
    """
    beside = Path(sys.executable).with_name("wq_worker")
    found = str(beside) if beside.is_file() else shutil.which("wq_worker")
    if found is None:
        message = "wq_worker is not in this environment; say where it is on the machines where it runs: --wq-worker /path/to/wq_worker"
        raise OptionError(message)
    return str(Path(found).absolute())
