"""`invokeq acl`: print the commands for setting up Redis users."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from invokeq_worker.commands.acl import Role

User = Annotated[str | None, typer.Option(help="Name of the Redis user. Default: ROLE-NAME.")]
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read the password from stdin and print its SHA-256. Default: a placeholder.",
    ),
]
Redis6 = Annotated[
    bool,
    typer.Option(
        "--redis6",
        help="Print rules for Redis 6.2. They are wider: 6.2 cannot tie commands to keys.",
    ),
]
Name = Annotated[
    str, typer.Argument(help="The plugin_id of the plugin or gateway.", metavar="NAME")
]

acl: typer.Typer = typer.Typer(
    help="Print Redis ACL rules, for redis-cli or valkey-cli.", no_args_is_help=True
)


@acl.command(epilog="\b\nExamples:\n  invokeq acl plugin acme --password-stdin < password")
def plugin(
    name: Name, user: User = None, password_stdin: PasswordStdin = False, redis6: Redis6 = False
) -> None:
    """Rules for a plugin: enqueue into its lanes, and read streams by request id."""
    _print("plugin", name, user, password_stdin, redis6)


@acl.command(epilog="\b\nExamples:\n  invokeq acl gateway front --password-stdin < password")
def gateway(
    name: Name, user: User = None, password_stdin: PasswordStdin = False, redis6: Redis6 = False
) -> None:
    """Rules for a gateway: those of a plugin, and the sessions of plugin processes."""
    _print("gateway", name, user, password_stdin, redis6)


@acl.command(epilog="\b\nExamples:\n  invokeq acl worker --password-stdin < password")
def worker(user: User = None, password_stdin: PasswordStdin = False) -> None:
    """Rules for workers: claim and run invocations, and write RQ's job records."""
    _print("worker", None, user, password_stdin)


@acl.command(epilog="\b\nExamples:\n  invokeq acl operator --password-stdin < password")
def operator(user: User = None, password_stdin: PasswordStdin = False) -> None:
    """Rules for operators: RQ's tools, `invokeq status` and `invokeq cancel` on all lanes."""
    _print("operator", None, user, password_stdin)


def _print(
    role: "Role", name: str | None, user: str | None, password_stdin: bool, redis6: bool = False
) -> None:
    from invokeq_worker.commands.acl import acl_rules, set_user, user_name
    from invokeq_worker.process.exit_status import exit_on_error

    with exit_on_error():
        rules = acl_rules(role, name, selectors=not redis6)
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
        if password == "":
            raise typer.BadParameter("stdin has no password in its first line")
        typer.echo(set_user(user or user_name(role, name), password, rules))
