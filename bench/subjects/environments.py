"""The peers' virtual environments under .cache/bench, installed on first use."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = ROOT / ".cache" / "bench"
INSTALL_SECONDS: Final = 600.0


def requirements(name: str) -> Path:
    """Return the file with the pinned packages of a peer's environment."""
    return ROOT / "bench" / "peers" / f"{name}.txt"


def versions(name: str) -> list[str]:
    """Return the pinned packages of an environment as `name==version`."""
    return requirements(name).read_text().split()


def bin_directory(name: str | None) -> Path:
    """Return the folder with the interpreter of an environment; install a missing environment."""
    if name is None:
        return Path(sys.executable).parent
    home = CACHE / name
    pins = requirements(name).read_bytes()
    mark = home / ".installed"
    digest = hashlib.sha256(pins + sys.version.encode()).hexdigest()
    if not mark.exists() or mark.read_text() != digest:
        print(f"installing {name} into {home}", file=sys.stderr)
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _run([*pip, "install", "-qq", "--no-input", "--no-deps", "-r", str(requirements(name))])
        mark.write_text(digest)
    return home / "bin"


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS, stdout=sys.stderr)
