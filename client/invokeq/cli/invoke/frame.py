"""The frame of every `invokeq invoke` command: common options, session, Ctrl-C, detaching.

A command declares the options of the call, a function to submit the call, and a function to show
the answer. The frame does the rest.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from invokeq.cli.errors import exit_on_error, write_note
from invokeq.cli.options import Deadline, Detach, OwnId, Plugin, Redis

if TYPE_CHECKING:
    from invokeq.cli.render.meter import Meter
    from invokeq.invocation import Invocation
    from invokeq.operations.options import CallExtras
    from invokeq.session import Session

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Show(Protocol[T_co]):
    """Reads an invocation to the end and prints the answer."""

    def __call__(
        self, invocation: "Invocation[Any, Any]", items: "Invocation[Any, Any]", meter: "Meter"
    ) -> T_co: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """The common options of one command line; `meter` has been timing since the command began."""

    plugin: str
    redis: str | None
    extras: "CallExtras"
    detach: bool
    meter: "Meter"

    def run_invocation(
        self, submit: "Callable[[Session], Invocation[Any, Any]]", show: Show[T]
    ) -> T | None:
        """Submit a call and return the result of `show`; Ctrl-C cancels the invocation.

        With --detach, print the request id, leave the invocation running and return None.
        """
        from invokeq.session import Session  # late: --help must not load the client

        with Session(self.plugin, redis=self.redis) as session, submit(session) as invocation:
            if self.detach:
                typer.echo(invocation.request_id)
                return None
            # Leaving the `with` block cancels an invocation that has not ended.
            try:
                return show(invocation, invocation, self.meter)
            except KeyboardInterrupt:
                write_note(f"cancelled: request {invocation.request_id}")
                raise


def invoke_command(command: Callable[..., None]) -> Callable[..., None]:
    """Return a typer command with the options of `command`, then the common options.

    The first parameter of `command` is a Frame and no option.
    """

    @exit_on_error()
    def run(
        *,
        request_id: OwnId = None,
        deadline: Deadline = None,
        detach: Detach = False,
        redis: Redis = None,
        plugin: Plugin = "cli",
        **own: object,
    ) -> None:
        from invokeq.cli.render.meter import Meter

        extras: CallExtras = {
            "request_id": request_id,
            "deadline": deadline,
            "detached": detach,
        }
        command(Frame(plugin, redis, extras, detach, Meter()), **own)

    # A typer callback is read by signature alone, so the two sets of options can be joined here
    # instead of being repeated in every command.
    _, *declared = inspect.signature(command).parameters.values()
    *common, _ = inspect.signature(run).parameters.values()
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    # typer reads options off the signature, and shows them in its order.
    run.__signature__ = inspect.Signature([*declared, *common])  # pyright: ignore[reportFunctionMemberAccess] -- inspect looks for the attribute
    return run
