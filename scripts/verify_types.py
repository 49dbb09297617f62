"""Measure the share of typed symbols in the public interface, as seen by a user's type checker.

Build the wheel, unpack the files into an environment without the source tree, and run
`pyright --verifytypes` on each package. Exit with 1 when a package is below the bound. Needs no
network: third-party packages come from the environment of the script.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zipfile import ZipFile

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("invokeq", "invokeq_worker", "invokeq_providers")
BOUND: Final = 99.0
"""Percent of the symbols with a completely known type, at least."""

BUILD: Final = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
SHOWN: Final = 40
"""Symbols listed for a package below the bound."""


def main() -> int:
    """Print a line for each package; return the exit code."""
    with TemporaryDirectory() as folder:
        scripts = make_environment(Path(folder))
        with ThreadPoolExecutor(2) as threads:
            reports = list(threads.map(partial(verify, scripts), PACKAGES))
    scores = [show(package, report) for package, report in zip(PACKAGES, reports, strict=True)]
    if min(scores) >= BOUND:
        return 0
    print(f"Types: below {BOUND:.0f} %: annotate the symbols above, or underscore them")
    return 1


def make_environment(folder: Path) -> Path:
    """Create an environment in `folder` with the unpacked wheel; return the folder of `python`."""
    command = [sys.executable, "-c", BUILD, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("invokeq-*.whl")
    environment = folder / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    names = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", vars=names))
    with ZipFile(wheel) as archive:
        archive.extractall(packages)
    # pyright reads the lines of a .pth file as further import roots.
    (packages / "third_party.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Path(sysconfig.get_path("scripts", vars=names))


def verify(scripts: Path, package: str) -> dict[str, Any]:
    """Return pyright's report on the completeness of the types of a package."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--ignoreexternal"]
    # With --verifytypes pyright ignores --pythonpath and asks the first Python of PATH.
    env = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    # Not in the source tree: pyright would read its configuration and find its modules.
    command += ["--verifytypes", package]
    ran = subprocess.run(command, check=False, cwd=scripts, env=env, capture_output=True, text=True)
    try:
        report: dict[str, Any] = json.loads(ran.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        sys.exit(f"pyright gave no report on {package}: {ran.stdout}{ran.stderr}")
    return report


def show(package: str, report: dict[str, Any]) -> float:
    """Print the result for a package; return the percentage of symbols of known type."""
    counts: dict[str, int] = report["exportedSymbolCounts"]
    total = sum(counts.values())
    score = 100.0 * counts["withKnownType"] / total if total else 0.0
    print(f"{package}: {score:.1f} % of {total} public symbols have a known type")
    if score >= BOUND:
        return score
    causes = [
        (symbol["name"], cause) for symbol in report["symbols"] for cause in causes_of(symbol)
    ]
    for name, cause in causes[:SHOWN]:
        print(f"  {name}: {cause}")
    if len(causes) > SHOWN:
        print(f"  and {len(causes) - SHOWN} more")
    return score


def causes_of(symbol: dict[str, Any]) -> list[str]:
    """Return the messages on a symbol's unknown type, without consequences of other symbols."""
    messages = [diagnostic["message"].splitlines()[0] for diagnostic in symbol["diagnostics"]]
    return [m for m in messages if "partially unknown" not in m and "docstring" not in m]


if __name__ == "__main__":
    sys.exit(main())
