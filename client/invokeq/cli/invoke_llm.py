"""`invokeq invoke llm`: ask a large language model from a terminal or a script."""

import sys
from typing import Annotated, Any, Final

import typer

from invokeq.cli.errors import exit_on_error, say
from invokeq.cli.options import Plugin, Redis
from invokeq.protocol.errors import InvalidRequestError

EXAMPLES: Final = (
    'invokeq invoke llm -m local/smollm2 "Name three rivers."',
    'invokeq invoke llm -m openai/gpt-4o-mini --system "Answer in French." -p temperature=0.2 "Hi"',
    'invokeq invoke llm -m local/smollm2 --system "Summarise." < notes.txt',
    'id=$(invokeq invoke llm -m local/smollm2 --detach "Tell a story.") && invokeq attach $id',
)


@exit_on_error()
def llm(
    model: Annotated[
        str,
        typer.Option("--model", "-m", metavar="PROVIDER/MODEL", help="See `invokeq models`."),
    ],
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="The prompt; without it, or with -, stdin."),
    ] = None,
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
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Show the answer when it is whole.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print each chunk (--no-stream: the result) as a line of JSON."
        ),
    ] = False,
    request_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="An id of your own, 32 hex characters; a known one attaches."
        ),
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Give up after this time.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the request id and leave it running.")
    ] = False,
    redis: Redis = None,
    plugin: Plugin = "cli",
) -> None:
    """Ask a large language model and show its answer while it is made.

    The answer goes to stdout. Tokens, price, times, worker and request id follow on stderr. Ctrl-C
    cancels the invocation.
    """
    from invokeq.cli.answer import Meter, show
    from invokeq.session import Session

    meter = Meter()
    config = {**split_model(model), "completion_params": parse_parameters(param or [])}
    messages = prompt_messages(system, read_prompt(prompt))
    with (
        Session(plugin, redis=redis) as session,
        session.model.llm.submit(
            config,
            messages,
            stop=stop,
            stream=not no_stream,
            request_id=request_id,
            deadline=deadline,
            detached=detach,
        ) as invocation,
    ):
        if detach:
            typer.echo(invocation.request_id)
            return
        try:
            show(invocation, meter, whole=no_stream, as_json=as_json)
        except KeyboardInterrupt:
            say(f"cancelled: request {invocation.request_id}")
            raise


def split_model(text: str) -> dict[str, str]:
    """Split at the first slash: names of models may have slashes, names of providers do not."""
    provider, _, model = text.partition("/")
    if not provider or not model:
        raise InvalidRequestError(
            field="--model", problem=f"must look like PROVIDER/MODEL, not {text!r}"
        )
    return {"provider": provider, "model": model}


def parse_parameters(texts: list[str]) -> dict[str, Any]:
    """Read `key=value` texts; a value that is not JSON is a text itself."""
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


def read_prompt(prompt: str | None) -> str:
    """Give the argument, or what stdin holds; InvalidRequestError if there is no text in either."""
    if prompt is None and sys.stdin.isatty():
        raise InvalidRequestError(field="PROMPT", problem="is missing: give one, or pipe it in")
    text = _read_stdin() if prompt in (None, "-") else prompt
    if not text.strip():
        raise InvalidRequestError(field="PROMPT", problem="is empty")
    return text


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(field="stdin", problem="is not UTF-8 text") from None


def prompt_messages(system: str | None, prompt: str) -> list[Any]:
    """Give the conversation: what the model is told, then the prompt."""
    from invokeq.protocol.entities import SystemPromptMessage, UserPromptMessage

    before = [SystemPromptMessage(content=system)] if system is not None else []
    return [*before, UserPromptMessage(content=prompt)]
