"""The `invokeq` command: `main` runs it, and `app` is the typer application, made on demand.

Other packages add commands by an entry point of the group `invokeq.cli` that names a function
`register(app)`.
"""

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    app: typer.Typer

__all__ = ["app", "main"]


def main() -> None:
    """Run the command with the arguments of this process; ends it with the command's status."""
    missing = [package for package in ("typer", "rich") if find_spec(package) is None]
    if missing:
        needs = " and ".join(missing)
        sys.stderr.write(f"error: The invokeq command needs {needs}: pip install 'invokeq[cli]'\n")
        raise SystemExit(1)
    from invokeq.cli.root import app, run

    raise SystemExit(run(app, sys.argv[1:]))


def __getattr__(name: str) -> object:
    """Make `app` on demand, so that this module can say what is missing when typer is."""
    if name == "app":
        from invokeq.cli.root import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
