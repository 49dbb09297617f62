"""The entry point of the `invokeq` command, which must work where typer is not installed."""

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command with the arguments of the process and exit with the command's status."""
    missing = [package for package in ("typer", "rich") if find_spec(package) is None]
    if missing:
        needs = " and ".join(missing)
        sys.stderr.write(f"error: The invokeq command needs {needs}: pip install 'invokeq[cli]'\n")
        raise SystemExit(1)
    from invokeq.cli.root import app, run

    raise SystemExit(run(app, sys.argv[1:]))
