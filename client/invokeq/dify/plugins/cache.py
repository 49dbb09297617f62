"""The user's cache folder, where packages are unpacked and environments kept."""

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return `$XDG_CACHE_HOME/invokeq/plugins/<kind>`, created if need be."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "invokeq" / "plugins" / kind
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
