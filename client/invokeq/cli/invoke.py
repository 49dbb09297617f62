"""`invokeq invoke`: one command a model type, one file a command."""

import typer

from invokeq.cli.invoke_llm import EXAMPLES, llm
from invokeq.cli.options import examples


def build() -> typer.Typer:
    """Make the group."""
    group = typer.Typer(help="Call a model and show what it answers.", no_args_is_help=True)
    group.command(epilog=examples(*EXAMPLES))(llm)
    return group
