"""Add the worker's subcommands to `invokeq`: worker, up, health, acl and config check.

Each command imports its own slow modules, so `--help` stays fast.
"""

from pathlib import Path
from typing import Annotated

import typer

from invokeq_worker.commands.acl_cli import acl

Config = Annotated[
    Path | None,
    typer.Option(
        help="Configuration file. Default: $INVOKEQ_CONFIG, else ./invokeq.toml, else built-in."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the operator's commands to `app`."""
    for command, lines in (
        (worker, ("invokeq worker --pool llm", "invokeq worker --pool llm --processes 4")),
        (up, ("invokeq up", "invokeq up --port 6399 --config invokeq.toml")),
        (health, ("invokeq health --pool llm",)),
    ):
        app.command(epilog=_examples(*lines))(command)
    config = typer.Typer(help="Inspect the configuration.", no_args_is_help=True)
    config.command("check", epilog=_examples("invokeq config check"))(check)
    app.add_typer(config, name="config")
    app.add_typer(acl, name="acl")


def _examples(*lines: str) -> str:
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def worker(
    pool: Annotated[str, typer.Option(help="Name of the pool to serve.")],
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="Number of processes. Default: that of the pool."),
    ] = None,
    config: Config = None,
    name: Annotated[
        str | None,
        typer.Option(help="Worker name. Several processes get NAME.1, NAME.2 ..."),
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="Exit once the queues are empty.")] = False,
) -> None:
    """Serve a pool until SIGTERM or Ctrl-C.

    After the first signal, running invocations may finish within the grace time. A second signal
    ends them at once.

    With several processes, a process that dies is restarted.
    """
    from invokeq_worker.config.loading import load_settings
    from invokeq_worker.logs import configure_logging
    from invokeq_worker.process.exit_status import exit_on_error

    with exit_on_error():
        settings = load_settings(config)
        count = processes or settings.pool(pool).processes
        configure_logging(settings.log, settings.secrets())
        if count > 1:
            from invokeq_worker.process.supervisor import supervise

            status = supervise(settings, pool, count, config, name=name, burst=burst)
        else:
            from invokeq_worker.engine.worker import run_worker

            status = run_worker(settings, pool, name=name, burst=burst)
    raise typer.Exit(status)


def up(
    config: Config = None,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port of the embedded server; 0 takes a free one."),
    ] = 0,
) -> None:
    """Run an embedded Valkey server and all pools, for development.

    No server is started when the configuration or INVOKEQ_REDIS_URL names one.

    Without a configuration there is one pool, llm, with the embedded local model.
    """
    from invokeq_worker.commands.up import up as run_everything
    from invokeq_worker.config.loading import load_settings
    from invokeq_worker.logs import configure_logging
    from invokeq_worker.process.exit_status import exit_on_error

    with exit_on_error():
        settings = load_settings(config)
        configure_logging(settings.log, settings.secrets())
        status = run_everything(settings, config, port)
    raise typer.Exit(status)


def health(
    pool: Annotated[str | None, typer.Option(help="Count workers of this pool only.")] = None,
    config: Config = None,
) -> None:
    """Exit with 0 if a live worker runs on this host.

    A worker is live while its event loop renews its lease, once a second. The command prints the
    names of the live workers and is made for container health checks.
    """
    from invokeq_worker.config.loading import load_settings
    from invokeq_worker.process.exit_status import exit_on_error
    from invokeq_worker.redis.server_check import local_workers

    with exit_on_error():
        workers = local_workers(load_settings(config).redis, pool)
    if not workers:
        typer.echo("error: no live worker on this host", err=True)
        raise typer.Exit(1)
    for name in workers:
        typer.echo(name)


def check(config: Config = None) -> None:
    """Check and show the configuration, the options of the providers, and the Redis server.

    Credentials are shown as ***. Each problem is one line on stderr, and makes the exit code 1.
    """
    from invokeq_worker.commands.config_check import check_config

    raise typer.Exit(check_config(config))
