"""`invokeq plugin`: what the author of a Dify plugin needs."""

import typer

from invokeq.cli.options import examples
from invokeq.cli.plugin import run


def build() -> typer.Typer:
    """Make the group."""
    group = typer.Typer(help="Run a Dify plugin from its directory.", no_args_is_help=True)
    group.command("run", epilog=examples(*run.EXAMPLES))(run.run)
    return group
