"""`invokeq status`: show lanes, workers and running invocations, or one invocation."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from invokeq.cli.errors import exit_on_error
from invokeq.cli.options import Json, Redis
from invokeq.cli.render.text import duration, one_line

if TYPE_CHECKING:
    from invokeq.cli.operate.overview import LaneView, Overview, RunView
    from invokeq.operations.control import InvocationStatus
    from invokeq.operations.history import VendorRetry

SHOWN_RUNS: Final = 20
"""Limit of invocations shown, from the oldest; --all and --json show up to a thousand."""


@exit_on_error()
def status(
    request_id: Annotated[
        str | None, typer.Argument(metavar="REQUEST_ID", help="Show this invocation only.")
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show idle lanes, and more of what runs.")
    ] = False,
    as_json: Json = False,
    redis: Redis = None,
) -> None:
    """Show lanes, workers and running invocations, or one invocation.

    Without REQUEST_ID, shows the operator's view, which needs the right to read all of RQ's keys.
    Lanes show how many invocations wait, run and have failed, how long the first in line has been
    waiting, and how many live workers listen.
    """
    import orjson

    from invokeq.cli.operate.overview import read_overview
    from invokeq.operations.history import read_retries
    from invokeq.session import Session
    from invokeq.session_base import parts_of

    with Session("cli", redis=redis) as session:
        if request_id is None:
            parts = parts_of(session)
            overview = parts.transport.run(read_overview(parts.directory))
            if as_json:
                typer.echo(orjson.dumps(overview, option=orjson.OPT_INDENT_2))
            else:
                _print_overview(overview, show_all)
            return
        found = session.attach(request_id).status()
        retries = parts_of(session).transport.run(read_retries(request_id))
    if as_json:
        counted = {"retries": len(retries), "last_retry": retries[-1] if retries else None}
        typer.echo(orjson.dumps({**asdict(found), **counted}, option=orjson.OPT_INDENT_2))
    else:
        _print_invocation(found, retries)


def _print_invocation(found: "InvocationStatus", retries: Sequence["VendorRetry"]) -> None:
    """Print one field a line, without empty fields."""
    from invokeq.cli.render.retries import retry_line

    for name, value in asdict(found).items():
        if isinstance(value, datetime):
            _print_field(name, value.isoformat(sep=" ", timespec="milliseconds"))
        elif value is not None:
            _print_field(name, str(value))
    if retries:
        _print_field("retries", str(len(retries)))
        _print_field("last_retry", retry_line(retries[-1]))


def _print_field(name: str, value: str) -> None:
    typer.echo(f"{name.replace('_', ' ') + ':':<13}{one_line(value)}")


def _print_overview(found: "Overview", show_all: bool) -> None:
    from invokeq.cli.render.table import print_table

    if found.suspended:
        typer.secho("Suspended: workers claim nothing until `rq resume`", fg="yellow")
    if not found.workers:
        typer.secho("No worker is alive; start one with `invokeq worker --pool NAME`", fg="yellow")
    else:
        print_table(
            ("worker", "pool", "host", "pid", "running", "queues"),
            [
                (
                    w.name,
                    w.pool,
                    w.host,
                    str(w.pid),
                    f"{w.running}/{w.concurrency}",
                    ", ".join(w.queues),
                )
                for w in found.workers
            ],
            title="Workers",
            right=("pid", "running"),
        )
    _print_lanes(found, show_all)
    _print_runs(found, show_all)


def _print_lanes(found: "Overview", show_all: bool) -> None:
    from invokeq.cli.render.table import print_table

    shown = [lane for lane in found.lanes if show_all or not lane.idle]
    if shown:
        print_table(
            ("lane", "waiting", "oldest", "running", "failed", "workers"),
            [_lane_row(lane, found.now) for lane in shown],
            title="\nLanes",
            right=("waiting", "oldest", "running", "failed", "workers"),
        )
    hidden = len(found.lanes) - len(shown)
    if hidden:
        typer.echo(f"\nIdle lanes: {hidden} (shown with --all)")


def _lane_row(lane: "LaneView", now: datetime) -> tuple[str, ...]:
    return (
        lane.name,
        str(lane.waiting),
        _age(lane.oldest, now),
        str(lane.running),
        str(lane.failed),
        str(lane.workers),
    )


def _print_runs(found: "Overview", show_all: bool) -> None:
    from invokeq.cli.render.table import print_table

    shown = found.running if show_all else found.running[:SHOWN_RUNS]
    if shown:
        print_table(
            ("request", "lane", "model", "worker", "attempt", "for"),
            [_run_row(run, found.now) for run in shown],
            title="\nRunning, oldest first",
            right=("attempt", "for"),
        )
    hidden = sum(lane.running for lane in found.lanes) - len(shown)
    if hidden > 0:
        typer.echo(f"and {hidden} more")


def _run_row(run: "RunView", now: datetime) -> tuple[str, ...]:
    return (
        run.request_id,
        run.lane,
        run.model,
        run.worker,
        str(run.attempt),
        _age(run.since, now),
    )


def _age(since: datetime | None, now: datetime) -> str:
    return "-" if since is None else duration((now - since).total_seconds())
