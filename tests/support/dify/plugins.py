"""The model plugin that tests run unmodified, and the interpreters that there are to run it.

Real, public ones are not fetched: their index is not reachable from where tests run.
"""

import os
import sys
from typing import Any

from tests.support.paths import PLUGINS

ECHO = PLUGINS / "model_echo"
KEY = "echo-1234567890"

VARIABLE = "INVOKEQ_DIFY_PYTHON"
"""Names an interpreter with another version of the SDK, such as 0.10 on Python 3.12."""

PYTHONS = [sys.executable, *filter(None, [os.environ.get(VARIABLE)])]


def echo_options(**options: Any) -> dict[str, Any]:
    """Return the plugin's table in invokeq.toml, with the interpreter of the tests."""
    return {
        "path": str(ECHO),
        "python": sys.executable,
        "credentials": {"api_key": KEY},
        **options,
    }
