"""`invokeq invoke llm`: ask a large language model from a terminal or a script."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from invokeq.cli.invoke.frame import Frame, invoke_command
from invokeq.cli.invoke.inputs import read_text
from invokeq.cli.options import File, Model, split_model
from invokeq.protocol.errors import InvalidRequestError

if TYPE_CHECKING:
    from invokeq.invocation import Invocation
    from invokeq.session import Session

EXAMPLES: Final = (
    'invokeq invoke llm -m local/smollm2 "Name three rivers."',
    'invokeq invoke llm -m openai/gpt-4o-mini --system "Answer in French." -p temperature=0.2 "Hi"',
    'invokeq invoke llm -m local/smollm2 --system "Summarise." < notes.txt',
    'invokeq invoke llm -m local/smollm2 --schema city.json "A city in Norway" | jq .name',
    'id=$(invokeq invoke llm -m local/smollm2 --detach "Tell a story.") && invokeq attach $id',
)


@invoke_command
def llm(
    frame: Frame,
    model: Model,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="The prompt; without it, or with -, stdin."),
    ] = None,
    file: File = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the model is told about its task.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            metavar="KEY=VALUE",
            help="A model parameter, read as JSON if it is JSON, else as text. Repeatable.",
        ),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Where the answer stops. Repeatable."),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|JSON",
            help="Answer with JSON that obeys this schema, and print only that.",
        ),
    ] = None,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Show the answer when it is whole.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print each chunk (--no-stream: the result) as a line of JSON."
        ),
    ] = False,
) -> None:
    """Ask a large language model and show the answer as it arrives.

    The answer goes to stdout. Tokens, price, times, worker and request id follow on stderr. Ctrl-C
    cancels the invocation.
    """
    from invokeq.cli.invoke.schema import read_schema
    from invokeq.cli.render.answer import show_answer

    # All input is read and checked before the frame connects: a typing error costs no round trip.
    config = {**split_model(model), "completion_params": parse_parameters(param or [])}
    wanted = None if schema is None else read_schema(schema)
    messages = prompt_messages(system, read_text("PROMPT", prompt, file))

    def submit(session: "Session") -> "Invocation[Any, Any]":
        stream, extras = not no_stream, frame.extras
        if wanted is None:
            return session.model.llm.submit(config, messages, stop=stop, stream=stream, **extras)
        return session.model.llm_structured_output.submit(
            config, messages, wanted, stop=stop, stream=stream, **extras
        )

    whole = no_stream or (wanted is not None and not as_json)
    frame.run_invocation(submit, partial(show_answer, whole=whole, as_json=as_json))


def parse_parameters(texts: list[str]) -> dict[str, Any]:
    """Parse `key=value` texts; a value outside JSON stays a text."""
    import orjson

    parameters: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidRequestError(
                field="--param", problem=f"must look like KEY=VALUE, not {text!r}"
            )
        try:
            parameters[key] = orjson.loads(value)
        except orjson.JSONDecodeError:
            parameters[key] = value
    return parameters


def prompt_messages(system: str | None, prompt: str) -> list[Any]:
    """Return the conversation: the system prompt, if any, then the user prompt."""
    from invokeq.protocol.entities import SystemPromptMessage, UserPromptMessage

    before = [SystemPromptMessage(content=system)] if system is not None else []
    return [*before, UserPromptMessage(content=prompt)]
