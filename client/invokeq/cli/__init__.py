"""The `invokeq` command: `main` runs the command, `app` is the typer application.

One folder for each family of commands: `invoke` calls models, `plugin` runs Dify plugins, `operate`
is for operators; `render` prints. Other packages add commands with an entry point of the group
`invokeq.cli`, a function `register(app)`.

Internal: may change without notice, except for `main`, `app` and the command line itself.
"""

from typing import TYPE_CHECKING

from invokeq.cli.entry import main

if TYPE_CHECKING:
    import typer

    app: typer.Typer

__all__ = ["app", "main"]


def __getattr__(name: str) -> object:
    """Build `app` on first use, so that `main` can report a missing typer."""
    if name == "app":
        from invokeq.cli.root import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
