"""`invokeq invoke rerank`: rank documents by relevance to a query."""

from functools import partial
from typing import Annotated, Final

import typer

from invokeq.cli.invoke.frame import Frame, invoke_command
from invokeq.cli.invoke.inputs import read_texts
from invokeq.cli.options import Json, LinesFile, Model, split_model

EXAMPLES: Final = (
    'invokeq invoke rerank -m local/minilm-rerank "pets" "A cat sleeps." "Rain in Oslo."',
    'grep -h "" notes/*.txt | invokeq invoke rerank -m local/minilm-rerank "pets" --top-n 3',
    'invokeq invoke rerank -m cohere/rerank-v3.5 "pets" -f lines.txt --score-threshold 0.5 --json',
)


@invoke_command
def rerank(
    frame: Frame,
    model: Model,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="What the documents are ranked for.")
    ],
    docs: Annotated[
        list[str] | None,
        typer.Argument(metavar="DOC", help="The documents; without them, the lines of stdin."),
    ] = None,
    file: LinesFile = None,
    top_n: Annotated[
        int | None, typer.Option(metavar="N", help="Show the best N; all of them without it.")
    ] = None,
    score_threshold: Annotated[
        float | None,
        typer.Option(metavar="SCORE", help="Leave out what scores less; each model has its scale."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank documents by relevance to a query.

    Shows the best first, with score and index, from 0, among the given documents.
    """
    from invokeq.cli.render.results import show_ranking

    bounds = {"top_n": top_n, "score_threshold": score_threshold}
    frame.run_invocation(
        lambda session: session.model.rerank.submit(
            {**split_model(model), **bounds},
            read_texts("DOC", docs, file),
            query,
            **frame.extras,
        ),
        partial(show_ranking, as_json=as_json),
    )
