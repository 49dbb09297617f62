"""`invokeq plugin`: what the author of a Dify plugin needs."""

import typer

from invokeq.cli import plugin_run
from invokeq.cli.options import examples


def build() -> typer.Typer:
    """Make the group."""
    group = typer.Typer(help="Run a Dify plugin from its directory.", no_args_is_help=True)
    group.command("run", epilog=examples(*plugin_run.EXAMPLES))(plugin_run.run)
    return group
