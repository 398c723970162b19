"""How a command is told which experiment: by its directory, its id, or the beginning of its id; and what the shell offers for that."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from shadho_like.cli.said import said_plainly


class ExperimentReference(click.ParamType):  # type: ignore[type-arg]
    """An experiment that is here; its value is the directory."""

    name = "experiment"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Find it, or end with a line that says what is nearest."""
        from shadho_like.known_experiments import find_experiment

        del param
        if ctx is not None and ctx.resilient_parsing:
            return Path(value)
        with said_plainly():
            return find_experiment(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer directories, and the ids of known experiments."""
        del ctx, param
        return [CompletionItem(incomplete, type="dir"), *known_ids(incomplete)]


class IdOrDirectory(click.ParamType):  # type: ignore[type-arg]
    """An experiment that need not be here any more; its value is what was typed."""

    name = "experiment"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the same as for one that is here."""
        return ExperimentReference().shell_complete(ctx, param, incomplete)


def known_ids(incomplete: str) -> list[CompletionItem]:
    """Return the ids that begin so, the newest first, each with its experiment's name."""
    from shadho_like.known_experiments import known_experiments

    return [CompletionItem(known.id, help=known.name) for known in known_experiments() if known.id.startswith(incomplete)]


EXPERIMENT = click.argument("directory", metavar="EXPERIMENT", type=ExperimentReference())
NUMBER = click.argument("number", type=click.IntRange(min=0))
