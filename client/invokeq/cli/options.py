"""The options that several commands have, and the look of examples in help texts."""

from typing import Annotated

import typer

Redis = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        envvar="INVOKEQ_REDIS_URL",
        help="The Redis server: redis://, rediss:// or unix://. [default: redis://localhost:6379/0]",
    ),
]

Plugin = Annotated[
    str, typer.Option("--plugin", metavar="NAME", help="The plugin on whose behalf this is done.")
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

RequestId = Annotated[
    str, typer.Argument(metavar="REQUEST_ID", help="The 32 hex characters that name an invocation.")
]


def examples(*lines: str) -> str:
    """Give the end of a help text that shows `lines` as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
