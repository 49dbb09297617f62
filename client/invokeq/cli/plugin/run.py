"""`invokeq plugin run`: call an unmodified Dify plugin, in a separate process."""

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from invokeq.cli.errors import exit_on_error, write_note
from invokeq.cli.options import Redis
from invokeq.protocol.errors import InvalidRequestError, InvokeqError

if TYPE_CHECKING:
    from invokeq.dify.platform import PlatformOptions, Plugin
    from invokeq.dify.plugins import PluginPackage

EXAMPLES: Final = (
    "invokeq plugin run my-plugin --tool ask --param prompt=Hello --param model=local/smollm2",
    "invokeq plugin run my-plugin --tool ask --param model.temperature=0.2 ... --json | jq .type",
    "invokeq plugin run my-plugin --tool find --credentials api_key=env:ACME_KEY --param q=rivers",
    "invokeq plugin run cot_agent --strategy function_calling --plugin-dir time --param ...",
)


@exit_on_error()
def run(
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="The plugin: its directory, or a .difypkg file.")
    ],
    tool: Annotated[
        str | None, typer.Option(metavar="NAME", help="The tool to run; may be left out if alone.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(metavar="NAME", help="The agent strategy to run instead.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", "-p", metavar="KEY=VALUE", help="A parameter, read by its type. Repeatable."
        ),
    ] = None,
    param_json: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=JSON", help="A parameter that is JSON. Repeatable."),
    ] = None,
    credentials: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A credential; KEY=env:NAME takes a variable, @FILE a file of them."
            " PROVIDER:KEY=... is for another plugin's. Repeatable.",
        ),
    ] = None,
    plugin_dir: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="A plugin whose tools an agent may call. Repeatable."),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Run with this Python instead of a venv of its own."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where files are saved.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="On whose behalf.")] = None,
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="In which tenant.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each message as a line of JSON.")
    ] = False,
    redis: Redis = None,
) -> None:
    """Run a tool or an agent strategy of an unmodified Dify plugin.

    The plugin runs in a separate process; on first use a venv is made from the plugin's
    requirements. Model calls go over the queue under the plugin's name, AUTHOR/NAME.

    Messages go to stdout as they arrive. Ctrl-C ends the plugin and cancels the plugin's calls.
    """
    import asyncio

    from invokeq.cli.plugin.inputs import read_credentials, read_given
    from invokeq.dify.platform import PlatformOptions, load_plugin

    given = read_given(param or [], param_json or [])
    plugin = load_plugin(directory)
    # Before any process starts, so that a wrong path costs no venv.
    others = [load_plugin(path) for path in plugin_dir or []]
    kind, name = _choose(plugin, tool, strategy)
    options = PlatformOptions(
        python_of=lambda package: _python_of(package, python),
        tenant_id=tenant,
        user_id=user,
        redis=redis,
        credentials=read_credentials(credentials or []),
    )
    try:
        asyncio.run(_run_call(plugin, others, options, kind, name, given, output, as_json))
    except KeyboardInterrupt:
        write_note(f"cancelled: {name} of {plugin.id}")
        raise
    except InvokeqError as error:
        _show_output(error)
        raise


async def _run_call(
    plugin: "Plugin",
    others: "list[Plugin]",
    options: "PlatformOptions",
    kind: str,
    name: str,
    given: dict[str, Any],
    output: Path | None,
    as_json: bool,
) -> None:
    from invokeq.cli.plugin.messages import show_messages
    from invokeq.cli.render.meter import Meter
    from invokeq.dify.platform import Catalog, PluginPlatform

    meter = Meter()
    async with PluginPlatform(Catalog(plugin, others), options) as host:
        messages = (host.run_tool if kind == "tool" else host.run_strategy)(name, given)
        # Closed before the host ends: Ctrl-C in the middle must end the plugin's call first.
        async with aclosing(messages):
            await show_messages(meter.watch_async(messages), output=output, as_json=as_json)
        parts = [f"messages: {meter.count}", f"calls: {host.calls}", *meter.times("message")]
    typer.secho("; ".join([*parts, f"plugin: {plugin.id}"]), err=True, dim=True)


def _choose(plugin: "Plugin", tool: str | None, strategy: str | None) -> tuple[str, str]:
    """Return the kind to run, tool or strategy, and the name.

    Without options, the plugin must have exactly one tool or strategy. Raises InvalidRequestError
    otherwise.
    """
    tools = [known.name for known in plugin.declarations.tools]
    strategies = [known.name for known in plugin.declarations.strategies]
    named = [pair for pair in (("tool", tool), ("strategy", strategy)) if pair[1] is not None]
    if len(named) > 1:
        raise InvalidRequestError(field="--strategy", problem="does not go with --tool")
    if named:
        kind, name = named[0][0], str(named[0][1])
        # A lookup for the error alone: an unknown name must not cost a process.
        (plugin.tool if kind == "tool" else plugin.strategy)(name)
        return kind, name
    alone = [*(("tool", known) for known in tools), *(("strategy", known) for known in strategies)]
    if len(alone) == 1:
        return alone[0]
    listed = f"tools: {', '.join(tools) or 'none'}; strategies: {', '.join(strategies) or 'none'}"
    raise InvalidRequestError(field="--tool or --strategy", problem=f"is missing; {listed}")


async def _python_of(package: "PluginPackage", python: Path | None) -> Path:
    """Return the Python of a plugin; show a status while a venv is built."""
    if python is not None:
        return python
    from rich.console import Console

    from invokeq.dify.plugins import prepare_environment

    console = Console(stderr=True)
    with console.status(f"preparing the Python environment of {package.id} ..."):
        return await prepare_environment(package)


def _show_output(error: InvokeqError) -> None:
    """Print the end of the plugin's or pip's output, for the author of the plugin."""
    from invokeq.cli.render.text import printable

    for name in ("output", "stderr"):
        text = error.fields.get(name)
        if isinstance(text, str) and text:
            typer.secho(printable(text), err=True, dim=True)
