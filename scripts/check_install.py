"""Check that an environment holds invokeq without extras: the dependencies, and no other package.

    <environment>/bin/python scripts/check_install.py

The exit code is 1 otherwise.
"""

import re
import sys
from importlib.metadata import distributions, requires

WANTED = {"orjson", "pydantic", "redis", "hiredis", "rq"}
SHIPPED_WITH_PYTHON = {"pip", "setuptools"}


def needed_by(names: set[str]) -> set[str]:
    """Return `names` and all direct and indirect dependencies, without extras."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        # A semicolon begins a marker, which every requirement of an extra has.
        plain = [line for line in requires(name) or [] if ";" not in line]
        waiting.extend(_normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in plain)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Print the installed packages; return 1 for a missing or surplus package, else 0."""
    installed = {_normal(found.metadata["Name"]) for found in distributions()}
    installed -= SHIPPED_WITH_PYTHON
    expected = needed_by(WANTED) | {"invokeq"}
    surplus, missing = installed - expected, WANTED - installed
    print("installed:", " ".join(sorted(installed)))
    if surplus or missing:
        print(f"uncalled for: {sorted(surplus)}; missing: {sorted(missing)}", file=sys.stderr)
        return 1
    # Imported last: a missing dependency is better told by name than by an ImportError.
    import invokeq

    print("import works:", invokeq.__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
