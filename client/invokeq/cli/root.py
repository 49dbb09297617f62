"""The typer application: the commands of invokeq and of other installed packages."""

import re
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated, Final

import typer

from invokeq.cli.errors import INTERRUPTED, MISUSED, fail, write_note
from invokeq.cli.invoke.group import build_invoke
from invokeq.cli.operate.attach import attach
from invokeq.cli.operate.cancel import cancel
from invokeq.cli.operate.gateway import EXAMPLES as GATEWAY_EXAMPLES
from invokeq.cli.operate.gateway import gateway
from invokeq.cli.operate.models import models
from invokeq.cli.operate.status import status
from invokeq.cli.options import examples
from invokeq.cli.plugin.group import build_plugin
from invokeq.protocol.errors import MissingExtraError

ENTRY_POINTS: Final = "invokeq.cli"
"""The entry-point group of functions `register(app)`, which add commands."""


def run(application: typer.Typer, arguments: Sequence[str]) -> int:
    """Run one command line and return the exit status, or raise SystemExit with it."""
    for number, argument in enumerate(arguments, 1):
        if not _is_text(argument):
            fail(f"Argument {number} is not UTF-8 text", MISUSED)
    try:
        result = application(arguments, prog_name="invokeq", standalone_mode=False)
    except typer.TyperException as error:
        return _report_misuse(error)
    except typer.Abort:
        return INTERRUPTED
    except ModuleNotFoundError as error:
        extra = extra_for(error.name or "")
        if extra is None:
            raise
        fail(str(MissingExtraError(feature="This command", package=error.name or "?", extra=extra)))
    return result if isinstance(result, int) else 0


def _report_misuse(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is None or message.startswith("Usage:"):  # a group without a command shows help
        sys.stderr.write(f"{message}\n")
        return MISUSED
    write_note(f"error: {message.rstrip('.')} (see '{context.command_path} --help')")
    return MISUSED


def _is_text(argument: str) -> bool:
    """Return whether an argument was UTF-8; Python escapes other bytes as lone surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def extra_for(module: str) -> str | None:
    """Return the extra of invokeq with a module's package, or None."""
    wanted = module.partition(".")[0].replace("_", "-").lower()
    try:
        requirements = metadata.requires("invokeq") or ()
    except metadata.PackageNotFoundError:
        return None
    for line in requirements:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == [\"']([\w-]+)[\"']", line)
        if name and extra and name[0].replace("_", "-").lower() == wanted:
            return extra[1]
    return None


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"invokeq {metadata.version('invokeq')}")
    except metadata.PackageNotFoundError:
        fail("invokeq runs from its source without being installed, so it has no version")
    raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Call AI models over a Redis queue, and look after the queue."""


def build() -> typer.Typer:
    """Return the application with every installed command."""
    application = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,  # plain help starts twice as fast, and examples can be copied
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    application.callback()(root)
    application.add_typer(build_invoke(), name="invoke")
    application.add_typer(build_plugin(), name="plugin")
    for command, lines in (
        (attach, ("invokeq attach 4f0c...e1", "invokeq attach 4f0c...e1 --after 1-57")),
        (status, ("invokeq status", "invokeq status 4f0c...e1", "watch invokeq status")),
        (cancel, ("invokeq cancel 4f0c...e1",)),
        (
            models,
            (
                "invokeq models",
                "invokeq models --type llm --json",
                "invokeq models --scope 'tool-call&llm'",
            ),
        ),
        (gateway, GATEWAY_EXAMPLES),
    ):
        application.command(epilog=examples(*lines))(command)
    _add_entry_points(application)
    return application


def _add_entry_points(application: typer.Typer) -> None:
    for entry_point in metadata.entry_points(group=ENTRY_POINTS):
        try:
            register = entry_point.load()
        except (ImportError, AttributeError) as error:  # a broken package must not break the rest
            write_note(f"warning: the commands of {entry_point.value} are left out: {error}")
        else:
            register(application)


app: Final = build()
