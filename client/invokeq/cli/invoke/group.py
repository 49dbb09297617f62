"""Builds the group `invokeq invoke`."""

import typer

from invokeq.cli.invoke import embed, llm, moderate, rerank, stt, summary, tts
from invokeq.cli.options import examples


def build_invoke() -> typer.Typer:
    """Return the group, with one command for each kind of call."""
    group = typer.Typer(help="Call a model and show what it answers.", no_args_is_help=True)
    for command, lines in (
        (llm.llm, llm.EXAMPLES),
        (embed.embed, embed.EXAMPLES),
        (rerank.rerank, rerank.EXAMPLES),
        (tts.tts, tts.EXAMPLES),
        (stt.stt, stt.EXAMPLES),
        (moderate.moderate, moderate.EXAMPLES),
        (summary.summary, summary.EXAMPLES),
    ):
        group.command(epilog=examples(*lines))(command)
    return group
