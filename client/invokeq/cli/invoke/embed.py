"""`invokeq invoke embed`: turn texts into vectors."""

from functools import partial
from typing import Annotated, Final, Literal

import typer

from invokeq.cli.invoke.frame import Frame, invoke_command
from invokeq.cli.invoke.inputs import read_texts
from invokeq.cli.options import Json, LinesFile, Model, split_model

EXAMPLES: Final = (
    'invokeq invoke embed -m local/minilm "A cat sleeps." "A dog barks."',
    "invokeq invoke embed -m local/minilm --input-type document -f lines.txt --json > vectors.json",
    "fortune | invokeq invoke embed -m local/minilm --json | jq '.embeddings[0]'",
)


@invoke_command
def embed(
    frame: Frame,
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
) -> None:
    """Turn texts into vectors.

    Prints the number of vectors and dimensions; with --json, the whole result as one JSON document.
    """
    from invokeq.cli.render.results import show_vectors
    from invokeq.protocol.entities import EmbeddingInputType

    frame.run_invocation(
        lambda session: session.model.text_embedding.submit(
            split_model(model),
            read_texts("TEXT", texts, file),
            EmbeddingInputType(input_type),
            **frame.extras,
        ),
        partial(show_vectors, as_json=as_json),
    )
