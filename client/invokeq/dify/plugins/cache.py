"""Where plugins are unpacked and their environments kept: the user's cache folder."""

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Give the folder for one kind of thing, made if need be: $XDG_CACHE_HOME/invokeq/plugins."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "invokeq" / "plugins" / kind
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
