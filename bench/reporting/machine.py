"""The machine, the interpreter and the packages of a run."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = ("invokeq", "redis", "hiredis", "rq", "pydantic", "orjson", "uvloop", "openai")


def machine() -> dict[str, Any]:
    """Return a description of the machine, the interpreter and the packages."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in PACKAGES},
    }


def cpu_model() -> str:
    """Return the model name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def host_class() -> str:
    """Return the class of machine for file names: system, architecture and cores."""
    return f"{platform.system().lower()}-{platform.machine()}-{os.cpu_count()}cores"


def load() -> list[float]:
    """Return the load average of the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]
