"""`invokeq gateway`: serve Dify's plugins and Dify's plugin daemon over HTTP."""

from importlib.util import find_spec
from typing import Annotated, Final, Literal

import typer

from invokeq.cli.errors import exit_on_error
from invokeq.cli.options import Redis
from invokeq.protocol.errors import MissingExtraError

EXAMPLES: Final = (
    "INVOKEQ_GATEWAY_KEY=... invokeq gateway",
    "INVOKEQ_INNER_API_KEY=... invokeq gateway --host 0.0.0.0 --port 5001",
)

_MEBIBYTE: Final = 1024 * 1024


@exit_on_error()
def gateway(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one, shown in the log.")
    ] = 5002,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="SECRET",
            envvar="INVOKEQ_GATEWAY_KEY",
            help="Who has it may open sessions. Others see a flag: better set the variable.",
        ),
    ] = None,
    inner_key: Annotated[
        str | None,
        typer.Option(
            metavar="SECRET",
            envvar="INVOKEQ_INNER_API_KEY",
            help="Dify's daemon sends it: its DIFY_INNER_API_KEY. Without it, no inner API.",
        ),
    ] = None,
    plugin: Annotated[
        str,
        typer.Option(
            "--plugin", metavar="NAME", help="The gateway's own name, and that of its lane."
        ),
    ] = "gateway",
    max_body_mb: Annotated[
        int, typer.Option("--max-body-mb", min=1, max=128, help="MiB that one request may have.")
    ] = 64,
    heartbeat: Annotated[
        float, typer.Option(metavar="SECONDS", help="Silence after which a blank line is sent.")
    ] = 25.0,
    session_ttl: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="How long a session stays open.")
    ] = 1800,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long calls may go on after SIGTERM.")
    ] = 30.0,
    log_format: Annotated[
        Literal["console", "json"], typer.Option(help="For people, or an object a line.")
    ] = "console",
    redis: Redis = None,
) -> None:
    """Serve plugins of Dify's install method serverless, and Dify's plugin daemon.

    The first SIGTERM or Ctrl-C lets running calls finish within the grace time; the second ends
    all calls.

    The operator must trust the gateway: [plugins.gateway] trusted = true in invokeq.toml.
    """
    # Checked by hand, so that a missing extra is an error with the pip command, not a traceback.
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            feature = "invokeq gateway"
            raise MissingExtraError(feature=feature, package=package, extra="gateway")
    from invokeq.gateway import GatewaySettings, run_gateway

    settings = GatewaySettings(
        plugin_id=plugin,
        redis=redis,
        host=host,
        port=port,
        key=key or None,
        inner_key=inner_key or None,
        max_body_bytes=max_body_mb * _MEBIBYTE,
        heartbeat=heartbeat,
        session_ttl=session_ttl,
        grace=grace,
        log_format=log_format,
    )
    status = run_gateway(settings)
    if status:
        raise typer.Exit(status)
