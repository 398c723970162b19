"""`shadho experiment`: the group, and a line for each of its commands."""

from __future__ import annotations

import click

from shadho_like.cli import steering


@click.group("experiment")
def experiment_commands() -> None:
    """Find searches, look at them, steer them, and put them away, from any machine that sees their directories.

    EXPERIMENT is the directory of a search, or its id (see shadho experiment list), or the beginning of its id.
    """


experiment_commands.add_command(steering.activate)
experiment_commands.add_command(steering.cancel)
experiment_commands.add_command(steering.go_on)
experiment_commands.add_command(steering.kill)
experiment_commands.add_command(steering.pause)
