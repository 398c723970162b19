"""`shadho experiment`: the group, and a line for each of its commands."""

from __future__ import annotations

import click

from shadho_like.cli import create, describe, listing, logs, put_away, setting, steering, wait, watch


@click.group("experiment")
def experiment_commands() -> None:
    """Find searches, look at them, steer them, and put them away, from any machine that sees their directories.

    EXPERIMENT is the directory of a search, or its id (see shadho experiment list), or the beginning of its id.
    """


for command in (
    create.create,
    create.run,
    describe.config,
    describe.describe,
    listing.list_experiments,
    logs.experiment_logs,
    put_away.archive,
    put_away.delete,
    put_away.unarchive,
    setting.set_,
    steering.activate,
    steering.cancel,
    steering.go_on,
    steering.kill,
    steering.pause,
    wait.wait,
    watch.watch,
):
    experiment_commands.add_command(command)
