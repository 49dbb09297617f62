"""`invokeq invoke rerank`: put documents in the order in which they fit a query."""

from typing import Annotated, Final

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
    'invokeq invoke rerank -m local/minilm-rerank "pets" "A cat sleeps." "Rain in Oslo."',
    'grep -h "" notes/*.txt | invokeq invoke rerank -m local/minilm-rerank "pets" --top-n 3',
    'invokeq invoke rerank -m cohere/rerank-v3.5 "pets" -f lines.txt --score-threshold 0.5 --json',
)


@exit_on_error()
def rerank(
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
    request_id: OwnId = None,
    deadline: Deadline = None,
    detach: Detach = False,
    redis: Redis = None,
    plugin: Plugin = "cli",
) -> None:
    """Rank documents by how well they fit a query.

    Shows the best first, with its score and its place, from 0, among those given.
    """
    from invokeq.cli.invoke.run_invocation import run_invocation
    from invokeq.cli.render.meter import Meter
    from invokeq.cli.render.results import show_ranking
    from invokeq.session import Session

    meter = Meter()
    bounds = {"top_n": top_n, "score_threshold": score_threshold}
    with Session(plugin, redis=redis) as session:
        invocation = session.model.rerank.submit(
            {**split_model(model), **bounds},
            read_texts("DOC", docs, file),
            query,
            request_id=request_id,
            deadline=deadline,
            detached=detach,
        )
        run_invocation(
            invocation,
            lambda: show_ranking(invocation, invocation, meter, as_json=as_json),
            detach=detach,
        )
