"""`invokeq models`: list the models of live workers."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from invokeq.cli.errors import exit_on_error, fail
from invokeq.cli.options import Json, Redis
from invokeq.cli.render.text import amount

if TYPE_CHECKING:
    from invokeq.dify.model_selector import Scope
    from invokeq.operations.directory import LiveWorker
    from invokeq.protocol.entities import AIModelEntity, ModelType

_MILLION: Final = 1_000_000


@exit_on_error()
def models(
    model_type: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="Only these: llm, rerank, tts and the like."),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(
            metavar="SCOPE",
            help="Only what a model-selector of this scope offers, such as 'tool-call&llm'.",
        ),
    ] = None,
    as_json: Json = False,
    redis: Redis = None,
) -> None:
    """List the models of live workers.

    With features, context size (tokens) and price. `PROVIDER/*` stands for a provider with further
    model names. Exits with 1 if the list is empty.
    """
    from invokeq.dify.model_selector import Scope
    from invokeq.session import Session

    wanted = parse_type(model_type)
    offered = None if scope is None else Scope.parse(scope)
    with Session("cli", redis=redis) as session:
        workers = session.workers()
    if not workers:
        fail("No worker is alive; start one with `invokeq worker --pool NAME`")
    rows = rows_of(workers, wanted, offered)
    if not rows:
        what = " ".join(filter(None, (model_type, "models", scope and f"of scope {scope}")))
        fail(f"No live worker serves {what}")
    if as_json:
        _print_json(rows)
    else:
        _print_table(rows)


def parse_type(text: str | None) -> "ModelType | None":
    """Parse a model type; InvalidRequestError lists the known types."""
    from invokeq.protocol.entities import ModelType
    from invokeq.protocol.errors import InvalidRequestError

    try:
        return ModelType(text) if text is not None else None
    except ValueError:
        known = ", ".join(kind.value for kind in ModelType)
        raise InvalidRequestError(
            field="--type", problem=f"must be one of {known}, not {text!r}"
        ) from None


def rows_of(
    workers: "tuple[LiveWorker, ...]",
    wanted: "ModelType | None",
    offered: "Scope | None" = None,
) -> "list[tuple[str, AIModelEntity]]":
    """Return (provider, facts) in order of name; an entry `*` stands for any name of a model."""
    from invokeq.dify.model_selector import wildcard_entries
    from invokeq.operations.directory import list_models

    rows = [
        (provider, facts)
        for provider, facts in (*list_models(workers), *wildcard_entries(workers))
        if wanted in (None, facts.model_type) and (offered is None or offered.admits(facts))
    ]
    return sorted(rows, key=lambda row: (row[0], row[1].model_type.value, row[1].model))


def _print_json(rows: "list[tuple[str, AIModelEntity]]") -> None:
    import orjson

    listed: list[dict[str, Any]] = [
        {"provider": provider, **facts.model_dump(mode="json")} for provider, facts in rows
    ]
    typer.echo(orjson.dumps(listed, option=orjson.OPT_INDENT_2))


def _print_table(rows: "list[tuple[str, AIModelEntity]]") -> None:
    from invokeq.cli.render.table import print_table

    headers = ("model", "type", "context", "features", "price per 1M tokens, in/out")
    print_table(
        headers,
        [
            (
                f"{provider}/{facts.model}",
                facts.model_type.value,
                _context(facts),
                ", ".join(feature.value for feature in facts.features or ()) or "-",
                _price(facts),
            )
            for provider, facts in rows
        ],
        right=("context",),
    )


def _context(facts: "AIModelEntity") -> str:
    from invokeq.protocol.entities import ModelPropertyKey

    return str(facts.model_properties.get(ModelPropertyKey.CONTEXT_SIZE, "-"))


def _price(facts: "AIModelEntity") -> str:
    pricing = facts.pricing
    if pricing is None:
        return "-"

    def per_million(price: Decimal | None) -> str:
        return "-" if price is None else amount(price * pricing.unit * _MILLION)

    return f"{per_million(pricing.input)} / {per_million(pricing.output)} {pricing.currency}"
