"""`invokeq invoke embed`: turn texts into vectors."""

from typing import Annotated, Final, Literal

import typer

from invokeq.cli.errors import exit_on_error
from invokeq.cli.invoke.inputs import read_texts
from invokeq.cli.options import (
    Deadline,
    Detach,
    Json,
    LinesFile,
    Model,
    OwnId,
    Plugin,
    Redis,
    split_model,
)

EXAMPLES: Final = (
    'invokeq invoke embed -m local/minilm "A cat sleeps." "A dog barks."',
    "invokeq invoke embed -m local/minilm --input-type document -f lines.txt --json > vectors.json",
    "fortune | invokeq invoke embed -m local/minilm --json | jq '.embeddings[0]'",
)


@exit_on_error()
def embed(
    model: Model,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="The texts; without them, the lines of stdin."),
    ] = None,
    file: LinesFile = None,
    input_type: Annotated[
        Literal["query", "document"],
        typer.Option(help="What the vectors are for: to search with, or to be found."),
    ] = "query",
    as_json: Json = False,
    request_id: OwnId = None,
    deadline: Deadline = None,
    detach: Detach = False,
    redis: Redis = None,
    plugin: Plugin = "cli",
) -> None:
    """Turn texts into vectors.

    Without --json this says how many there are and of how many dimensions; with it, the whole
    result is one JSON document.
    """
    from invokeq.cli.invoke.run_invocation import run_invocation
    from invokeq.cli.render.meter import Meter
    from invokeq.cli.render.results import show_vectors
    from invokeq.protocol.entities import EmbeddingInputType
    from invokeq.session import Session

    meter = Meter()
    with Session(plugin, redis=redis) as session:
        invocation = session.model.text_embedding.submit(
            split_model(model),
            read_texts("TEXT", texts, file),
            EmbeddingInputType(input_type),
            request_id=request_id,
            deadline=deadline,
            detached=detach,
        )
        run_invocation(
            invocation,
            lambda: show_vectors(invocation, invocation, meter, as_json=as_json),
            detach=detach,
        )
