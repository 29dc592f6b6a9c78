"""`ubmc completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ubmc.cli.settings import Leaf

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Leaf)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; for bash: source <(ubmc completion bash)."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(found(ctx.find_root().command, {}, "ubmc", "_UBMC_COMPLETE").source())
