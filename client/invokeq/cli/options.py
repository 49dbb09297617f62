"""Options of several commands, the parsing of values, and the examples in help texts."""

from typing import Annotated

import typer

from invokeq.protocol.errors import InvalidRequestError

Redis = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        envvar="INVOKEQ_REDIS_URL",
        help="The Redis server: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://."
        " [default: redis://localhost:6379/0]",
    ),
]

Plugin = Annotated[
    str, typer.Option("--plugin", metavar="NAME", help="The plugin on whose behalf this is done.")
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

RequestId = Annotated[
    str, typer.Argument(metavar="REQUEST_ID", help="The 32 hex characters that name an invocation.")
]

Model = Annotated[
    str,
    typer.Option("--model", "-m", metavar="PROVIDER/MODEL", help="See `invokeq models`."),
]

File = Annotated[
    str | None,
    typer.Option("--file", "-f", metavar="FILE", help="Read it from this file; - is stdin."),
]

LinesFile = Annotated[
    str | None,
    typer.Option("--file", "-f", metavar="FILE", help="Read them, one a line; - is stdin."),
]

OwnId = Annotated[
    str | None,
    typer.Option(
        "--request-id",
        metavar="ID",
        help="An id of your own, 32 hex characters; a known one attaches.",
    ),
]

Deadline = Annotated[float | None, typer.Option(metavar="SECONDS", help="Give up after this time.")]

Detach = Annotated[
    bool, typer.Option("--detach", help="Print the request id and leave it running.")
]


def split_model(text: str) -> dict[str, str]:
    """Return provider and model, split at the first slash; names of models may have slashes."""
    provider, _, model = text.partition("/")
    if not provider or not model:
        raise InvalidRequestError(
            field="--model", problem=f"must look like PROVIDER/MODEL, not {text!r}"
        )
    return {"provider": provider, "model": model}


def examples(*lines: str) -> str:
    """Return the epilog of a help text with `lines` as examples."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
