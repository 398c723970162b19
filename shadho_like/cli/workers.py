"""`shadho workers`: the machines of a search, through a batch system's queue."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shadho_like.batch import SYSTEMS
from shadho_like.batch.factory import LOCAL
from shadho_like.cli.pack import pack
from shadho_like.cli.said import said_plainly
from shadho_like.errors import OptionError

if TYPE_CHECKING:
    from shadho_like.batch.base import WorkerJob

_SEARCH = click.argument("name")


@click.group("workers")
def worker_commands() -> None:
    """Put workers into a cluster's queue, see them, and take them out."""


worker_commands.add_command(pack)


@worker_commands.command()
@click.option("--config", type=click.Path(path_type=Path), help="An experiment's YAML: its slurm or pbs section, and what its trials need.")
@click.option("--batch", "system_name", type=click.Choice([*SYSTEMS, LOCAL]), help="The batch system.  [default: the config's]")
@click.option("--name", "search", help="The driver's config.workqueue.name.  [default: the config's name]")
@click.option("-n", "--count", type=click.IntRange(min=1), help="How many workers.  [default: the config's, else 1]")
@click.option("--auto", metavar="MIN:MAX", help="Keep as many workers as there is work, within these limits, until they are drained.")
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
    auto: str | None,
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
        system_name, search, kind = wanted.system, wanted.search, wanted.kind
        _check_number(system_name, count, auto)
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
            path=os.pathsep.join(filter(os.path.isabs, os.environ.get("PATH", "").split(os.pathsep))) or None,
            worker_options=worker_options,
        )
        if auto is not None:
            _submit_auto(system_name, auto, job, dry_run=dry_run)
            return
        system = workers.system_of(system_name)
        if dry_run:
            click.echo(system.script(job), nl=False)
            return
        made = workers.submit(system, job)
        click.echo(f"{made.script} prints to {job.logs}", err=True)
        click.echo("\n".join(made.ids))


def _check_number(system_name: str, count: int | None, auto: str | None) -> None:
    """Refuse what does not say how many workers there are to be, and where.

    Raises:
        OptionError: as it says.
    """
    if auto is not None and count is not None:
        raise OptionError(f"-n {count} and --auto {auto}: give a number of workers, or have as many as there is work")
    if auto is None and system_name == LOCAL:
        raise OptionError("--batch local goes with --auto MIN:MAX; one worker of this machine is started with wq_worker -M NAME")


def _submit_auto(system_name: str, limits: str, job: WorkerJob, *, dry_run: bool) -> None:
    from shadho_like.batch import auto

    wish = auto.wished(system_name, limits, job)
    if dry_run:
        click.echo(auto.preview(wish), nl=False)
        return
    folder, standing = auto.begin(wish)
    click.echo(f"{folder.log} tells what is submitted, and {job.logs} what the workers print", err=True)
    click.echo(f"process {standing.pid}")


@worker_commands.command()
@_SEARCH
def status(name: str) -> None:
    """Print where the submitted workers of the search NAME are.

    Example: shadho workers status digits
    """
    from shadho_like.batch import auto, workers

    with said_plainly():
        there, kept = workers.found(name), auto.newest(name)
        listed = [(each.submission.system, *worker) for each in there for worker in each.places.items()]
        listed += [(kept.wish().system, *worker) for worker in auto.places(kept).items()] if kept else []
        click.echo(f"{name}: {workers.summary([place for *_, place in listed])}")
        if kept:
            click.echo(auto.described(kept))
        for system, worker, place in listed:
            click.echo(f"{system} {worker}  {place.value}")


@worker_commands.command()
@_SEARCH
@click.argument("count", type=click.IntRange(min=0))
def scale(name: str, count: int) -> None:
    """Have COUNT workers for the search NAME: submit more like the last ones, or drain some, those that wait first.

    Example: shadho workers scale digits 20
    """
    from shadho_like.batch import auto, workers

    with said_plainly():
        kept = auto.scale(name, count)
        new, drained = workers.scale(name, count)
        said = [f"submitted {' '.join(new)}"] if new else [f"drained {' '.join(drained)}"] if drained else []
        said += [] if kept is None else [f"kept by --auto: {workers.summary(list(kept.values()))}; told to end"]
        click.echo("\n".join(said) or f"{name} has {count} already")


@worker_commands.command()
@_SEARCH
def drain(name: str) -> None:
    """Take the workers of the search NAME out of the queue; those that run let their trials take a checkpoint, and end.

    Example: shadho workers drain digits
    """
    from shadho_like.batch import auto, workers

    with said_plainly():
        places = [*(auto.drain(name) or {}).values(), *(place for each in workers.drain(name) for place in each.places.values())]
        click.echo(f"{name}: {workers.summary(places)}; told to end")


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
