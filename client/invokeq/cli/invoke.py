"""`invokeq invoke`: one command a kind of call, one file a command."""

import typer

from invokeq.cli import (
    invoke_embed,
    invoke_llm,
    invoke_moderate,
    invoke_rerank,
    invoke_stt,
    invoke_summary,
    invoke_tts,
)
from invokeq.cli.options import examples


def build() -> typer.Typer:
    """Make the group."""
    group = typer.Typer(help="Call a model and show what it answers.", no_args_is_help=True)
    for command, lines in (
        (invoke_llm.llm, invoke_llm.EXAMPLES),
        (invoke_embed.embed, invoke_embed.EXAMPLES),
        (invoke_rerank.rerank, invoke_rerank.EXAMPLES),
        (invoke_tts.tts, invoke_tts.EXAMPLES),
        (invoke_stt.stt, invoke_stt.EXAMPLES),
        (invoke_moderate.moderate, invoke_moderate.EXAMPLES),
        (invoke_summary.summary, invoke_summary.EXAMPLES),
    ):
        group.command(epilog=examples(*lines))(command)
    return group
