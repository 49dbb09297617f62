"""Builds the group `invokeq plugin`."""

import typer

from invokeq.cli.options import examples
from invokeq.cli.plugin import run


def build_plugin() -> typer.Typer:
    """Return the group for authors of Dify plugins."""
    group = typer.Typer(help="Run a Dify plugin from its directory.", no_args_is_help=True)
    group.command("run", epilog=examples(*run.EXAMPLES))(run.run)
    return group
