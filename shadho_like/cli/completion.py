"""`shadho completion`: has a shell complete commands, options, directories and ids of experiments."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete this command: commands, options, directories, ids of experiments.

    \b
    For good, in bash:  echo 'eval "$(shadho completion bash)"' >> ~/.bashrc
              in zsh:   echo 'eval "$(shadho completion zsh)"' >> ~/.zshrc
              in fish:  shadho completion fish > ~/.config/fish/completions/shadho.fish

    Example: shadho completion bash > shadho-completion.sh
    """  # noqa: D301 - \b is click's
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "shadho", "_SHADHO_COMPLETE").source())
